"""What one run of a command tells: result lines, notices, live output, and its end as exit code or JSON envelope."""

import json
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from peppy.cli.failure import error_lines, error_object
from peppy.cli.live import LiveOutput
from peppy.cli.terminal import YELLOW, coloured, harmless, is_terminal
from peppy.errors import PeppyError

if TYPE_CHECKING:
    from peppy.protocol.frames import Output

SCHEMA = 1
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes (docs/reference/cli.md, Exit codes)."""


class Report:
    """The words of one command. Results go to stdout, or as one object when JSON is asked for; the rest to stderr."""

    def __init__(self, command: str, *, as_json: bool = False) -> None:
        self.command = command
        self.as_json = as_json
        self.envelope = as_json
        """Whether stdout ends with the envelope; a command that prints one object per line has none."""
        self.ends_by_interrupt = False
        """Whether Ctrl-C is how the command is meant to end: that is nothing to complain about."""
        self.warnings: list[str] = []
        self._live: LiveOutput | None = None
        self._failure: PeppyError | None = None
        self._interrupted = False

    def result(self, text: str) -> None:
        """Lines of the result; JSON has them as data."""
        if self.as_json:
            return
        self._end_live()
        print(text, flush=True)

    def info(self, text: str) -> None:
        """`[INFO] …` on stderr."""
        self._notice(f"[INFO] {harmless(text)}")

    def warning(self, text: str) -> None:
        """`[WARNING] …` on stderr, once, and in the envelope."""
        if text in self.warnings:
            return
        self.warnings.append(text)
        self._notice(f"{coloured('[WARNING]', YELLOW, sys.stderr)} {harmless(text)}")

    def output(self, output: "Output") -> None:
        """Something that the daemon shows while an operation runs."""
        if output.stream == "info":
            return self.info(output.text)
        if output.stream == "warning":
            return self.warning(output.text)
        self._live = self._live or LiveOutput(sys.stderr)
        for line in output.text.splitlines():
            self._live.line(line)
        return None

    def interrupted(self) -> None:
        """Ends the line on which a terminal shows `^C`, once; a moving region takes that line away with itself."""
        if self._live and self._live.is_drawn:
            self._end_live()
        elif is_terminal(sys.stderr) and not self._interrupted:
            self._notice("")
        self._interrupted = True

    def unsuccessful(self, error: PeppyError) -> None:
        """The result already shown means failure: exit code 1, and `error` in the envelope."""
        self._failure = error

    def conclude(self, work: Callable[[], object]) -> int:
        """Does the work, tells how it ended and gives the exit code. `work` returns the `data` of the envelope."""
        try:
            data = work()
        except KeyboardInterrupt:
            self.interrupted()
            if self.ends_by_interrupt:
                sys.stdout.flush()
                return INTERRUPTED
            return self._failed(PeppyError("interrupted", kind="Aborted"), INTERRUPTED)
        except PeppyError as error:
            return self._failed(error)
        except (click.UsageError, BrokenPipeError):
            raise
        except OSError as error:
            return self._failed(_system_error(error))
        except Exception as error:
            traceback.print_exc()
            return self._failed(PeppyError(f"{type(error).__name__}: {error}", kind="Internal"))
        self._end_live()
        self._envelope(data, self._failure)
        return FAILED if self._failure else DONE

    def _failed(self, error: PeppyError, code: int = FAILED) -> int:
        last_lines = list(self._live.last_lines) if self._live and code == FAILED else []
        self._end_live()
        sys.stdout.flush()
        for line in error_lines(with_last_lines(error, last_lines), sys.stderr):
            print(line, file=sys.stderr)
        self._envelope(None, error)
        return code

    def _envelope(self, data: object, error: PeppyError | None) -> None:
        if not self.envelope:
            return
        envelope: dict[str, Any] = {
            "schema": SCHEMA,
            "ok": error is None,
            "command": self.command,
            "data": None if error else data,
            "warnings": self.warnings,
        }
        if error:
            envelope["error"] = error_object(error)
        print(json.dumps(envelope, ensure_ascii=False, default=_plain), flush=True)

    def _notice(self, line: str) -> None:
        sys.stdout.flush()
        if self._live:
            return self._live.beside(line)
        print(line, file=sys.stderr, flush=True)
        return None

    def _end_live(self) -> None:
        if self._live:
            self._live.close()
            self._live = None


def with_last_lines(error: PeppyError, lines: list[str]) -> PeppyError:
    """`error` followed by the last lines of output that was seen, unless its text already holds them."""
    if not lines or lines[-1] in error.message:
        return error
    message = "\n".join([error.message, "--- output (last lines) ---", *lines])
    return PeppyError(message, kind=error.kind, hint=error.hint, details=error.details)


def _system_error(error: OSError) -> PeppyError:
    reason = error.strerror or str(error)
    message = f"`{error.filename}`: {reason}" if error.filename else reason
    return PeppyError(message, kind="CommandFailed")


def _plain(value: object) -> object:
    import msgspec

    return msgspec.to_builtins(value)
