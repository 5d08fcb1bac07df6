"""Starting a node or a build under a shim (docs/reference/daemon.md, Shim)."""

import asyncio
import contextlib
import errno
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from peppy.errors import PeppyError
from peppy.faults import fault
from peppy.process.records import Pids, ProcessId, read_pids, start_time
from peppy.process.watch import Shim, WatchedProcess

PROGRAM = Path(__file__).parents[1] / "_bin" / "peppy-shim"
STATUS_FD = 3
TAKE_BACK_SECS = 2.0
STATUS_LIMIT = 64 << 10  # bytes of the one line that the shim says


@dataclass(frozen=True, slots=True)
class Start:
    """What a shim is asked to run; all paths are absolute and `directory` and the log's directory exist.

    `header` is the log's first line without its time; `open_files` is the soft limit of open files that the process
    gets (None: as this process); `max_bytes` and `keep` rule the rotation of the log.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    working_directory: Path
    directory: Path
    log: Path
    header: str
    max_bytes: int
    keep: int
    open_files: int | None = None


class CommandNotExecutable(PeppyError):
    """The command cannot be executed: not found, no permission, no program. `number` is the errno."""

    def __init__(self, message: str, number: int, *, hint: str) -> None:
        super().__init__(message, kind="CommandFailed", hint=hint)
        self.number = number


def header(which: str, command: tuple[str, ...], working_directory: Path) -> str:
    """The header of a log: `Executing run_cmd: uv run wheels (working_dir: /…)`; `which` is the manifest's key."""
    text = f"Executing {which}: {' '.join(command)} (working_dir: {working_directory})"
    return text.replace("\r", "\\r").replace("\n", "\\n")


async def start_shim(start: Start) -> Shim:
    """Starts the shim and waits until its child has executed the command.

    Raises CommandNotExecutable, or PeppyError when the shim itself cannot work (directory, log, disk). A cancelled
    start ends what it started, and waits for that, at most 2 s.
    """
    reader, writer = os.pipe()
    try:
        process = _spawn(start, writer)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    fault("shim.spawned")
    try:
        status = await _read_status(reader)
    except BaseException:
        await asyncio.shield(_taken_back(process))
        raise
    finally:
        os.close(reader)
    if status.startswith("started "):
        return Shim(start.directory, _recorded(start, process))
    await WatchedProcess(process).ended.wait()
    raise _failure(start, status)


async def _taken_back(process: ProcessId) -> None:
    """Ends a shim before it has said anything, and waits: its directory may be deleted then.

    Not for ever: one that hangs on a stuck disk ends when the disk lets it.
    """
    shim = WatchedProcess(process)
    shim.signal(signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TAKE_BACK_SECS):
            await shim.ended.wait()


def _spawn(start: Start, status_writer: int) -> ProcessId:
    arguments = [
        str(PROGRAM),
        *("--dir", str(start.directory), "--log", str(start.log), "--cwd", str(start.working_directory)),
        *("--max-bytes", str(start.max_bytes), "--keep", str(start.keep), "--status-fd", str(STATUS_FD)),
        *("--header", start.header),
        *(("--nofile", str(start.open_files)) if start.open_files else ()),
        *("--", *start.command),
    ]
    streams = [
        (os.POSIX_SPAWN_DUP2, status_writer, STATUS_FD),
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        pid = os.posix_spawn(PROGRAM, arguments, start.environment, file_actions=streams)
    except OSError as error:
        raise PeppyError(
            f"cannot start `{PROGRAM}`: {error.strerror}", kind="Internal", hint="install peppy-stack again"
        ) from error
    return ProcessId(pid, start_time(pid) or 1)  # our child: it has a start time until it is reaped


async def _read_status(reader: int) -> str:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    os.set_blocking(reader, False)
    loop.add_reader(reader, readable.set)
    line = b""
    try:
        while not line.endswith(b"\n") and len(line) < STATUS_LIMIT:
            await readable.wait()
            readable.clear()
            part = os.read(reader, STATUS_LIMIT)
            if not part:
                break
            line += part
    finally:
        loop.remove_reader(reader)
    return line.decode(errors="replace").rstrip("\n")


def _recorded(start: Start, process: ProcessId) -> Pids:
    pids = read_pids(start.directory)
    if pids is None or pids.shim != process:
        raise PeppyError(f"`{start.directory / 'pid.json'}` does not name the shim that wrote it", kind="Internal")
    return pids


def _failure(start: Start, status: str) -> PeppyError:
    kind, _, rest = status.partition(" ")
    number, _, reason = rest.partition(" ")
    command = start.command[0]
    if kind == "exec":
        return _not_executable(start, int(number), reason)
    if kind == "error":
        what, _, why = reason.rpartition(": ")
        return PeppyError(f"cannot start `{command}`: `{what}`: {why}", kind="CommandFailed")
    return PeppyError(f"cannot start `{command}`: `{PROGRAM.name}` ended without a word", kind="Internal")


def _not_executable(start: Start, number: int, reason: str) -> CommandNotExecutable:
    command = start.command[0]
    if number != errno.ENOENT:
        return CommandNotExecutable(
            f"`{command}` cannot be executed: {reason}", number, hint=f"check the file that `{command}` names"
        )
    found = shutil.which(command, path=start.environment.get("PATH")) if "/" not in command else None
    file = Path(found) if found else start.working_directory / command
    if file.exists():  # the system reports the program in the first line of a script as if it were the script
        return CommandNotExecutable(
            f"`{command}` cannot be executed: the interpreter in its first line does not exist",
            number,
            hint=f"install the interpreter that `{file}` names",
        )
    choice = " or make the node with `--toolchain pip`" if command == "uv" else ""
    return CommandNotExecutable(f"`{command}` not found", number, hint=f"install `{command}`{choice}")
