"""How instances end, in words: exits, and why a start has failed (docs/reference/daemon.md, Run)."""

from datetime import datetime
from pathlib import Path

from peppy.daemon.registry import Instance
from peppy.errors import PeppyError
from peppy.process.logs import last_errors
from peppy.process.records import Exit as ExitRecord
from peppy.protocol import answers

NOT_FOUND_STATUS = 127


def exit_of(record: ExitRecord | None) -> answers.Exit:
    """The exit of an instance as everybody sees it; without a record its status is unknown."""
    if record is None:
        return answers.Exit(None, None, datetime.now().astimezone().isoformat(timespec="milliseconds"))
    ended = datetime.fromtimestamp(record.ended_ns / 1e9).astimezone()
    return answers.Exit(record.status, record.signal_name, ended.isoformat(timespec="milliseconds"), record.killed)


def startup_failure(error: PeppyError, instance: Instance, log: Path, command: tuple[str, ...]) -> PeppyError:
    """The error of a failed start with what the process left: exit status and its last words on stderr."""
    message, hint, kind = error.message, error.hint, error.kind
    ended = instance.exit
    if ended is not None and message.endswith("exited during startup"):
        message += f": {exit_text(ended)}"
        if ended.status == NOT_FOUND_STATUS:
            message += f", command not found (exit status {NOT_FOUND_STATUS})"
            hint = f"check that `{command[0]}` and what it runs are installed"
    if lines := last_errors(log):
        message += "\n--- stderr (last lines) ---\n" + "\n".join(lines)
    return PeppyError(message, kind=kind, hint=hint or f"see {log}", details=error.details)


def exit_text(ended: answers.Exit) -> str:
    """`exit status 3`, `SIGKILL` or `exit status unknown`."""
    if ended.signal is not None:
        return ended.signal
    return "exit status unknown" if ended.status is None else f"exit status {ended.status}"
