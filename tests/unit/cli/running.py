"""Runs the program `peppy` as people do: a process of its own, with pipes or with a terminal of a given size."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

GOLDEN = Path(__file__).parents[2] / "golden"
PROGRAM = [sys.executable, "-m", "peppy.cli"]
WATCHDOG_SECS = 60


def peppy(*words: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """One call with pipes; no daemon is started unless `PEPPY_NO_AUTOSTART` is given as empty."""
    return subprocess.run(
        [*PROGRAM, *words],
        env=environment_of(home, environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WATCHDOG_SECS,
        check=False,
    )


def environment_of(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Our environment for a program whose data root is `home`."""
    return {**os.environ, "PEPPY_HOME": str(home), "PEPPY_NO_AUTOSTART": "1", "COLUMNS": "80", **extra}


def on_terminal(*words: str, home: Path, columns: int = 80, typed: bytes = b"", **environment: str) -> tuple[str, int]:
    """What one call writes to a terminal, and its exit code; `typed` waits there for whoever reads it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    given = environment_of(home, {"TERM": "xterm", **environment})
    del given["COLUMNS"]
    with subprocess.Popen([*PROGRAM, *words], env=given, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        os.write(master, typed)
        text = _all_of(master)
        code = process.wait(WATCHDOG_SECS)
    os.close(master)
    return text.replace("\r\n", "\n"), code


def _all_of(master: int) -> str:
    taken = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:  # the other side has been closed
            return taken.decode()
        if not block:
            return taken.decode()
        taken += block


def golden(path: str, text: str) -> str:
    """The text kept in `tests/golden/<path>`; with PEPPY_GOLDEN=write it becomes `text`."""
    file = GOLDEN / path
    if os.environ.get("PEPPY_GOLDEN") == "write":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return file.read_text()
