"""Starts a daemon that outlives its starter (docs/reference/cli.md, Daemon start).

Any number of starters may do this at once: the daemons settle among themselves who stays (the lock of the data root),
and every starter waits for the socket, whoever listens there.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from peppy.errors import DaemonUnavailable, PeppyError
from peppy.model.home import daemon_log, daemon_program, daemon_socket
from peppy.protocol.blocking import DaemonNotRunning, connect
from peppy.protocol.wire import peer_credentials

if TYPE_CHECKING:
    from subprocess import Popen

START_SECS = 10.0
"""How long a starter waits until a daemon listens."""

_POLL_SECS = 0.02
_LOST_THE_RACE = b"another peppy daemon"
_LAST_LINES = 5


def start_daemon(home: Path, words: Sequence[str] = ()) -> int:
    """Start a daemon for the data root `home` and wait until one listens; its pid, whoever started it.

    `words` are further arguments of `peppy service serve`.

    Raises `DaemonUnavailable` when `PEPPY_NO_AUTOSTART` is 1, or when no daemon listens after 10 s or this one failed.
    """
    if os.environ.get("PEPPY_NO_AUTOSTART") == "1":
        raise DaemonNotRunning(
            "the peppy daemon is not running", kind="DaemonUnreachable", hint="run peppy service serve"
        )
    log = daemon_log(home)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        written_before = log.stat().st_size if log.exists() else 0
        process = _spawn(home, log, words)
    except OSError as error:
        reason = f"`{error.filename}`: {error.strerror}" if error.filename else str(error)
        raise DaemonUnavailable(
            f"cannot start the peppy daemon: {reason}",
            kind="DaemonUnreachable",
            hint=f"check that you can write to `{home}`",
        ) from None
    deadline = time.monotonic() + START_SECS
    while (pid := _listening(home)) is None:
        if process.poll() is not None and not _lost_the_race(log, written_before):
            raise _failed(f"the peppy daemon ended with exit status {process.returncode}", log, written_before)
        if time.monotonic() > deadline:
            raise _failed(f"the peppy daemon did not start within {START_SECS:g} s", log, written_before)
        time.sleep(_POLL_SECS)
    process.returncode = 0  # it outlives this process: there is no exit status to wait for
    return pid


def program(home: Path) -> list[str]:
    """The words that run peppy: the installation's link, else `peppy` on PATH, else this interpreter."""
    link = daemon_program(home)
    if os.access(link, os.X_OK):
        return [str(link)]
    from shutil import which

    on_path = which("peppy")
    return [on_path] if on_path else [sys.executable, "-m", "peppy.cli"]


def _spawn(home: Path, log: Path, words: Sequence[str]) -> "Popen[bytes]":
    from subprocess import DEVNULL, STDOUT, Popen

    with log.open("ab") as output:
        return Popen(
            [*program(home), "service", "serve", *words],
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            cwd="/",
            env={**os.environ, "PEPPY_HOME": str(home)},
            start_new_session=True,
        )


def _listening(home: Path) -> int | None:
    try:
        with connect(daemon_socket(home)) as connected:
            return peer_credentials(connected).pid
    except DaemonNotRunning:
        return None


def _lost_the_race(log: Path, written_before: int) -> bool:
    return _LOST_THE_RACE in _written_since(log, written_before)


def _written_since(log: Path, position: int) -> bytes:
    try:
        with log.open("rb") as text:
            text.seek(position)
            return text.read()
    except OSError:
        return b""


def _failed(message: str, log: Path, written_before: int | None = None) -> PeppyError:
    """The error, with the last lines that the daemon has written."""
    text = b"" if written_before is None else _written_since(log, written_before)
    lines = text.decode(errors="replace").splitlines()[-_LAST_LINES:]
    return DaemonUnavailable("\n".join([message, *lines]), kind="DaemonUnreachable", hint=f"see {log}")
