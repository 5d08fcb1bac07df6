"""What a shim leaves in its directory: `pid.json`, `exit.json`, `shim.lock` (docs/reference/daemon.md, Shim)."""

import contextlib
import fcntl
import os
import signal
import struct
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

RECORD_LIMIT = 4096  # bytes; the shim writes far less

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid

Positive = Annotated[int, msgspec.Meta(gt=0)]


class ProcessId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One process for ever: its pid and its start time in clock ticks since boot, since pids are used again."""

    pid: Positive
    start: Positive


class Pids(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The two processes of an instance or build."""

    shim: ProcessId
    child: ProcessId


class Exit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a child ended: exactly one of `status` and `signal`; times in nanoseconds since the epoch.

    `killed` says that SIGKILL was needed for the child or for another process of its tree.
    """

    status: Annotated[int, msgspec.Meta(ge=0, le=255)] | None
    signal: Annotated[int, msgspec.Meta(ge=1, le=127)] | None
    started_ns: int
    ended_ns: int
    killed: bool

    def __post_init__(self) -> None:
        if (self.status is None) == (self.signal is None):
            raise ValueError("exactly one of status and signal")

    @property
    def signal_name(self) -> str | None:
        """`SIGKILL` and so on; None for a child that exited."""
        if self.signal is None:
            return None
        try:
            return signal.Signals(self.signal).name
        except ValueError:
            return f"signal {self.signal}"

    @property
    def text(self) -> str:
        """`exit status 3` or `SIGKILL`, as messages have it."""
        return self.signal_name or f"exit status {self.status}"


Record = TypeVar("Record", bound=msgspec.Struct)


def read_pids(directory: Path) -> Pids | None:
    """The pids in `pid.json`, or None when there is no valid one."""
    return _read(directory / "pid.json", Pids)


def read_exit(directory: Path) -> Exit | None:
    """The record in `exit.json`, or None when there is no valid one."""
    return _read(directory / "exit.json", Exit)


def _read(path: Path, kind: type[Record]) -> Record | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(RECORD_LIMIT), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_alive(directory: Path) -> bool:
    """Whether the shim of `directory` lives: it holds a lock on `shim.lock` for life. Takes none itself."""
    try:
        descriptor = os.open(directory / "shim.lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, question)
    finally:
        os.close(descriptor)
    return _FLOCK.unpack(answer)[0] != fcntl.F_UNLCK


def start_time(pid: int) -> int | None:
    """The start time of process `pid` in clock ticks since boot, or None when there is no such process."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[19])
    return None


def is_same(process: ProcessId) -> bool:
    """Whether the process lives (or is a zombie) and is the one that was recorded, not another one with its pid."""
    return start_time(process.pid) == process.start


def descends_from(pid: int, ancestor: int) -> bool:
    """Whether process `pid` is `ancestor` or descends from it (who says `hello` for an instance must)."""
    seen: set[int] = set()
    while pid > 1 and pid not in seen:
        if pid == ancestor:
            return True
        seen.add(pid)
        pid = _parent(pid)
    return False


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except OSError:
        return 0
