"""What the daemon itself writes: `daemon.log`, `stack.log` and the log of an add (docs/reference/daemon.md, Logs)."""

import logging
import os
import sys
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

from peppy.model.text import escaped

STACK = "peppy.stack"


class _Formatter(logging.Formatter):
    """`[<local time, ms>] [LEVEL] <text>`; a traceback follows on lines of its own."""

    def __init__(self, *, level: bool) -> None:
        super().__init__("[%(asctime)s] [%(levelname)s] %(message)s" if level else "[%(asctime)s] %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return local_time(datetime.fromtimestamp(record.created))


def local_time(moment: datetime | None = None) -> str:
    """The time of a log line, local, milliseconds."""
    return (moment or datetime.now()).isoformat(timespec="milliseconds")


def open_logs(daemon_log: Path, stack_log: Path, *, max_bytes: int, keep: int) -> None:
    """From now on the daemon's words go to these files, and to stderr unless that is `daemon.log` already."""
    logging.raiseExceptions = False  # a full disk silences the log, not the daemon
    root = logging.getLogger("peppy")
    root.setLevel(logging.INFO)
    root.addHandler(_file(daemon_log, max_bytes, keep, level=True))
    if not _is_stderr(daemon_log):
        console = logging.StreamHandler(sys.stderr)
        console.setFormatter(_Formatter(level=True))
        root.addHandler(console)
    stack = logging.getLogger(STACK)
    stack.propagate = False
    stack.addHandler(_file(stack_log, max_bytes, keep, level=False))


def _file(path: Path, max_bytes: int, keep: int, *, level: bool) -> logging.Handler:
    handler = RotatingFileHandler(path, maxBytes=max_bytes, backupCount=keep, encoding="utf-8", errors="replace")
    handler.setFormatter(_Formatter(level=level))
    return handler


def _is_stderr(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(2))
    except OSError:
        return False


class OperationLog:
    """The log of one add: a line per step, written as it happens."""

    def __init__(self, path: Path) -> None:
        """Creates the file; OSError when it cannot be."""
        self.path = path
        self._file = path.open("a", encoding="utf-8", errors="replace")

    def line(self, text: str, label: str | None = None) -> None:
        """One line, as the shim writes them; `label` is `warning` or `error`."""
        mark = f"[{label}] " if label else ""
        for part in text.splitlines() or [""]:
            self._file.write(f"[{local_time()}] {mark}{escaped(part)}\n")
        self._file.flush()

    def rename(self, path: Path) -> None:
        """Gives the log its name once that is known."""
        self.path = self.path.rename(path)

    def __enter__(self) -> "OperationLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
