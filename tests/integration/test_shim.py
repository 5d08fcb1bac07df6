"""The program peppy-shim, asked by a shell, and started by `peppy.process` (docs/reference/daemon.md, Shim)."""

import asyncio
import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from peppy.errors import PeppyError
from peppy.process import stop as stop_module
from peppy.process.follow import follow
from peppy.process.logs import LogLine, parse_line, read_log
from peppy.process.records import Exit, is_alive, is_same, read_exit, read_pids, start_time
from peppy.process.spawn import CommandNotExecutable, Start, header, start_shim
from peppy.process.stop import Stopped, stop
from peppy.process.watch import Shim, adopt

Result = TypeVar("Result")
WATCHDOG_SECS = 20.0
EVIL_ROUNDS = 50 if os.environ.get("PEPPY_TORTURE") == "full" else 1  # of twenty trees each
FOREVER = "import signal\nwhile True: signal.pause()\n"


def watched(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    async def limited() -> Result:
        return await asyncio.wait_for(work(), WATCHDOG_SECS)

    return asyncio.run(limited())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory for shims; whatever a failed test left running in it is ended."""
    (tmp_path / "run").mkdir()
    yield tmp_path
    for record in tmp_path.rglob("pid.json"):
        pids = read_pids(record.parent)
        if pids is not None and is_same(pids.shim):
            os.kill(pids.shim.pid, signal.SIGKILL)


def start_of(place: Path, *command: str, max_bytes: int = 10 << 20, keep: int = 4, **variables: str) -> Start:
    return Start(
        command=command,
        environment={"PATH": os.environ["PATH"], **variables},
        working_directory=place,
        directory=place / "run",
        log=place / "node.log",
        header=header("run_cmd", command, place),
        max_bytes=max_bytes,
        keep=keep,
    )


def python(place: Path, program: str, **options: Any) -> Start:
    return start_of(place, sys.executable, "-c", textwrap.dedent(program), **options)


async def run_to_end(start: Start) -> Exit:
    shim = await start_shim(start)
    record = await shim.end()
    assert record is not None
    return record


async def wait_for_line(place: Path, text: str) -> None:
    """Until the node has said `text`."""
    async for line in follow(place / "node.log", asyncio.Event()):
        if line.text == text:
            return


async def open_gate(gate: Path) -> int:
    """The writing end of a pipe, as soon as the other side waits at it."""
    while True:
        try:
            return os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            await asyncio.sleep(0.01)


async def let_through(gate: Path, words: str = "") -> None:
    descriptor = await open_gate(gate)
    os.write(descriptor, words.encode())
    os.close(descriptor)


def texts(lines: list[LogLine], stream: str) -> list[str]:
    return [line.text for line in lines if line.stream == stream]


# ---- log -----------------------------------------------------------------------------------------------------------


def test_the_log_has_header_lines_of_both_streams_and_last_line(place: Path):
    record = watched(lambda: run_to_end(start_of(place, "sh", "-c", "echo one; echo two >&2; exit 3")))
    assert (record.status, record.signal, record.killed) == (3, None, False)
    lines = read_log(place / "node.log")
    assert lines[0].text == f"Executing run_cmd: sh -c echo one; echo two >&2; exit 3 (working_dir: {place})"
    assert lines[0].is_header
    assert texts(lines, "stdout") == ["one"]
    assert texts(lines, "stderr") == ["two"]
    assert lines[-1].text == "Exited with status 3"
    assert all(line.time for line in lines)


def test_the_last_line_names_the_signal(place: Path):
    record = watched(lambda: run_to_end(start_of(place, "sh", "-c", "kill -SEGV $$")))
    assert record.signal_name == "SIGSEGV"
    assert read_log(place / "node.log")[-1].text == "Exited with signal SIGSEGV"


def test_a_header_stays_one_line(place: Path):
    watched(lambda: run_to_end(start_of(place, "sh", "-c", "true\ntrue")))
    assert len(read_log(place / "node.log")) == 2


def test_an_unfinished_line_is_in_the_log_while_the_node_lives(place: Path):
    async def work() -> None:
        shim = await start_shim(start_of(place, "sh", "-c", "printf part; exec sleep 600"))
        await wait_for_line(place, "part")
        assert not shim.child_has_ended
        shim.terminate()
        await shim.end()

    watched(work)


def test_an_unfinished_line_is_in_the_log_at_exit(place: Path):
    watched(lambda: run_to_end(start_of(place, "printf", "no newline")))
    assert texts(read_log(place / "node.log"), "stdout") == ["no newline"]


def test_the_rest_of_a_flushed_line_makes_no_empty_line(place: Path):
    program = """
        import sys
        print("part", end="", flush=True)
        sys.stdin = open("go")
        sys.stdin.read()
        print(flush=True)
        print("next")
        """

    async def work() -> None:
        os.mkfifo(place / "go")
        shim = await start_shim(python(place, program))
        await wait_for_line(place, "part")
        await let_through(place / "go")
        await shim.end()

    watched(work)
    assert texts(read_log(place / "node.log"), "stdout") == ["part", "next"]


@pytest.mark.parametrize(
    ("written", "logged"),
    [
        (b"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa4\x96", "café € 🤖"),
        (b"a\xffb", "a\ufffdb"),
        (b"cut \xe2\x82", "cut \ufffd\ufffd"),
        (b"overlong \xc0\xaf", "overlong \ufffd\ufffd"),
        (b"surrogate \xed\xa0\x80", "surrogate \ufffd\ufffd\ufffd"),
        (b"too high \xf4\x90\x80\x80", "too high \ufffd\ufffd\ufffd\ufffd"),
        (b"windows\r", "windows"),
        (b"", ""),
    ],
)
def test_bytes_that_are_no_text_are_replaced(place: Path, written: bytes, logged: str):
    (place / "said").write_bytes(written + b"\n")
    watched(lambda: run_to_end(start_of(place, "cat", "said")))
    raw = (place / "node.log").read_bytes().decode()
    assert texts([parse_line(line) for line in raw.split("\n")], "stdout") == [logged]


def test_a_character_that_arrives_in_two_parts_stays_whole(place: Path):
    program = """
        import os
        os.write(1, b"one \\xe2\\x82")
        with open("go") as go: go.read()
        os.write(1, b"\\xac\\n")
        """

    async def work() -> None:
        os.mkfifo(place / "go")
        shim = await start_shim(python(place, program))
        await wait_for_line(place, "one ")
        await let_through(place / "go")
        await shim.end()

    watched(work)
    assert texts(read_log(place / "node.log"), "stdout") == ["one ", "€"]


def test_a_line_without_end_is_cut_and_loses_nothing(place: Path):
    watched(lambda: run_to_end(python(place, "print('€' * 100_000)")))
    assert "".join(texts(read_log(place / "node.log"), "stdout")) == "€" * 100_000


def test_a_log_is_rotated_by_size_and_bounded(place: Path):
    start = python(place, "for n in range(20_000): print(f'{n:05}', 'x' * 50)", max_bytes=65_536, keep=3)
    watched(lambda: run_to_end(start))
    files = sorted(path.name for path in place.glob("node.log*"))
    assert files == ["node.log", "node.log.1", "node.log.2", "node.log.3"]
    assert all((place / name).stat().st_size <= 65_536 for name in files)
    numbers = [int(text[:5]) for text in texts(read_log(place / "node.log"), "stdout")]
    assert numbers == list(range(numbers[0], 20_000))


def test_a_log_with_keep_zero_is_one_file(place: Path):
    watched(lambda: run_to_end(python(place, "for n in range(5_000): print('x' * 50)", max_bytes=65_536, keep=0)))
    assert [path.name for path in place.glob("node.log*")] == ["node.log"]
    assert (place / "node.log").stat().st_size <= 65_536


def test_the_log_of_an_earlier_run_is_kept_as_1(place: Path):
    watched(lambda: run_to_end(start_of(place, "echo", "first")))
    watched(lambda: run_to_end(start_of(place, "echo", "second")))
    assert texts(read_log(place / "node.log"), "stdout") == ["second"]
    assert texts(read_log(place / "node.log.1"), "stdout") == ["first"]


def test_following_yields_every_line_through_rotations(place: Path):
    start = python(place, "for n in range(50_000): print(n)", max_bytes=65_536, keep=99)

    async def work() -> list[str]:
        ended = asyncio.Event()
        shim = await start_shim(start)

        async def tell_end() -> None:
            await shim.end()
            ended.set()

        teller = asyncio.create_task(tell_end())
        lines = [line async for line in follow(place / "node.log", ended)]
        await teller
        return texts(lines, "stdout")

    assert watched(work) == [str(n) for n in range(50_000)]


# ---- flood and full disks ------------------------------------------------------------------------------------------

SLOW_DISK = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
ssize_t write(int file, const void *bytes, size_t size) {
    struct stat status;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && getenv("GATE") && access(getenv("GATE"), F_OK) == 0) {
        int gate = open(getenv("GATE"), O_RDONLY);
        char end;
        while (read(gate, &end, 1) > 0);
        close(gate);
    }
    return syscall(SYS_write, file, bytes, size);
}
"""


def test_a_node_that_writes_faster_than_the_disk_loses_lines_and_no_time(place: Path):
    """The disk hangs until the node has ended: every write to a file waits at a pipe that the test closes then."""
    (place / "slow.c").write_text(SLOW_DISK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", place / "slow.so", place / "slow.c"], check=True)
    os.mkfifo(place / "gate")
    program = "for n in range(300_000): print(f'{n:06}', 'x' * 60)\nopen('ended', 'w').close()\n"
    start = python(place, program, LD_PRELOAD=str(place / "slow.so"), GATE=str(place / "gate"))

    async def work() -> None:
        starting = asyncio.create_task(start_shim(start))
        gate = await open_gate(place / "gate")  # the log's thread waits at the gate now
        try:
            shim = await starting
            while not (place / "ended").exists():  # the node has written everything though nothing reached the disk
                await asyncio.sleep(0.01)
        finally:
            (place / "gate").unlink()
            os.close(gate)
        await shim.end()

    watched(work)
    lines = read_log(place / "node.log")
    dropped = [int(match[1]) for line in lines if (match := re.fullmatch(r"(\d+) lines dropped", line.text))]
    assert sum(dropped) > 0
    assert len(texts(lines, "stdout")) + sum(dropped) == 300_000
    assert lines[-1].text == "Exited with status 0"


def test_a_flooding_node_is_logged_within_its_bounds(place: Path):
    start = start_of(place, "sh", "-c", "yes 0123456789abcdef | head -c 50000000", max_bytes=1 << 20, keep=2)
    assert watched(lambda: run_to_end(start)).status == 0
    assert sum(path.stat().st_size for path in place.glob("node.log*")) <= 3 << 20
    assert read_log(place / "node.log")[-1].text == "Exited with status 0"


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    disk = place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system takes root")


@needs_root
def test_a_full_disk_costs_lines_but_neither_node_nor_exit_status(place: Path):
    with small_disk(place, "256k") as disk:
        (disk / "run").mkdir()
        program = """
            for n in range(10_000): print(n, "x" * 60)
            print(end="", flush=True)
            with open("go") as go: go.read()
            raise SystemExit(7)
            """
        start = replace(python(place, program), directory=disk / "run", log=disk / "node.log")
        os.mkfifo(place / "go")
        (disk / "ballast").write_bytes(b"x" * 100_000)

        async def work() -> Exit | None:
            shim = await start_shim(start)
            gate = await open_gate(place / "go")  # the node has written everything
            await _until_quiet(disk / "node.log")
            (disk / "ballast").unlink()
            os.close(gate)
            return await shim.end()

        record = watched(work)
        lines = read_log(disk / "node.log")
    assert record is not None
    assert record.status == 7
    dropped = sum(int(line.text.split()[0]) for line in lines if line.stream == "warning")
    assert dropped > 0
    assert len(texts(lines, "stdout")) + dropped == 10_000
    assert lines[-1].text == "Exited with status 7"
    assert all(line.time for line in lines), "no line is cut"


async def _until_quiet(log: Path) -> None:
    """Until the log has stopped to grow: the disk is full, or everything is written."""
    size = -1
    while size != log.stat().st_size:
        size = log.stat().st_size
        await asyncio.sleep(0.2)


@needs_root
def test_the_exit_status_survives_a_disk_that_stays_full(place: Path):
    with small_disk(place, "256k") as disk:
        (disk / "run").mkdir()
        (disk / "log").mkdir()
        program = f"""
            with open({str(disk / "ballast")!r}, "wb", buffering=0) as ballast:
                try:
                    while True: ballast.write(b"x" * 4096)
                except OSError: pass
            print("y" * 100_000)
            raise SystemExit(7)
            """
        start = replace(python(place, program), directory=disk / "run", log=disk / "log/node.log")
        record = watched(lambda: run_to_end(start))
    assert record.status == 7


@needs_root
def test_a_disk_that_is_full_at_the_start_is_named(place: Path):
    with small_disk(place, "64k") as disk:
        (disk / "run").mkdir()
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(b"x" * 4096)
        start = replace(start_of(place, "touch", "started"), directory=disk / "run")
        with pytest.raises(PeppyError, match=os.strerror(errno.ENOSPC)) as failed:
            watched(lambda: start_shim(start))
    assert str(disk / "run") in failed.value.message
    assert not (place / "started").exists()


# ---- start ---------------------------------------------------------------------------------------------------------


def test_the_pids_are_written_before_the_command_runs(place: Path):
    watched(lambda: run_to_end(start_of(place, "cp", "run/pid.json", "seen.json")))
    seen = json.loads((place / "seen.json").read_text())
    pids = read_pids(place / "run")
    assert pids is not None
    assert seen["child"] == {"pid": pids.child.pid, "start": pids.child.start}


def test_the_command_gets_its_environment_directory_and_an_empty_input(place: Path):
    program = """
        import os, sys
        print(os.getcwd(), os.environ["SPEED"], sys.stdin.read() == "", sorted(os.listdir("/proc/self/fd")))
        """
    watched(lambda: run_to_end(python(place, program, SPEED="12")))
    assert texts(read_log(place / "node.log"), "stdout") == [f"{place} 12 True ['0', '1', '2', '3']"]  # 3: the listing


def test_the_command_gets_default_signals_and_the_callers_open_files_limit(place: Path):
    script = "grep -E 'Sig(Blk|Ign)' /proc/self/status; ulimit -Sn"
    start = replace(start_of(place, "sh", "-c", script), open_files=123)
    watched(lambda: run_to_end(start))
    blocked, ignored, open_files = [line.split()[-1] for line in texts(read_log(place / "node.log"), "stdout")]
    assert int(blocked, 16) == 0
    assert int(ignored, 16) & ~(0b11 << 31) == 0, "all but 32 and 33, which belong to the C library"
    assert open_files == "123"


def test_a_command_that_does_not_exist_is_not_found(place: Path):
    with pytest.raises(CommandNotExecutable) as failed:
        watched(lambda: start_shim(start_of(place, "peppy-no-such-command")))
    assert failed.value.message == "`peppy-no-such-command` not found"
    assert failed.value.number == errno.ENOENT
    assert read_exit(place / "run") is not None
    assert not is_alive(place / "run")


def test_a_missing_uv_has_the_hint_of_the_other_toolchain(place: Path):
    with pytest.raises(CommandNotExecutable) as failed:
        watched(lambda: start_shim(replace(start_of(place, "uv", "sync"), environment={"PATH": str(place)})))
    assert "--toolchain pip" in str(failed.value)


def test_a_file_that_is_no_program_is_not_given_to_a_shell(place: Path):
    (place / "script").write_text("touch ran\n")
    (place / "script").chmod(0o755)
    with pytest.raises(CommandNotExecutable, match="Exec format error"):
        watched(lambda: start_shim(start_of(place, "./script")))
    assert not (place / "ran").exists()


def test_a_file_without_permission_is_said_to_be_so(place: Path):
    (place / "script").write_text("#!/bin/sh\n")
    with pytest.raises(CommandNotExecutable, match="Permission denied"):
        watched(lambda: start_shim(start_of(place, "./script")))


def test_a_missing_interpreter_is_named_as_the_cause(place: Path):
    (place / "script").write_text("#!/no/such/python\n")
    (place / "script").chmod(0o755)
    with pytest.raises(CommandNotExecutable, match="interpreter"):
        watched(lambda: start_shim(replace(start_of(place, "script"), environment={"PATH": str(place)})))


@pytest.mark.parametrize("missing", ["working_directory", "directory", "log"])
def test_a_missing_directory_is_named(place: Path, missing: str):
    start = replace(start_of(place, "true"), **{missing: place / "missing" / "x"})
    with pytest.raises(PeppyError, match="No such file or directory") as failed:
        watched(lambda: start_shim(start))
    assert str(place / "missing") in failed.value.message


def test_a_directory_has_one_shim(place: Path):
    async def work() -> None:
        shim = await start_shim(start_of(place, "sleep", "600"))
        with pytest.raises(PeppyError, match=re.escape(str(place / "run"))):
            await start_shim(start_of(place, "touch", "second"))
        assert read_pids(place / "run") == shim.pids
        shim.terminate()
        await shim.end()

    watched(work)
    assert not (place / "second").exists()


def test_a_shim_leaves_no_zombie(place: Path):
    async def work() -> int:
        shim = await start_shim(start_of(place, "true"))
        await shim.end()
        return shim.pids.shim.pid

    assert start_time(watched(work)) is None


# ---- watching ------------------------------------------------------------------------------------------------------


def test_the_end_of_a_child_is_seen_while_descendants_run(place: Path):
    async def work() -> tuple[Exit | None, bool]:
        shim = await start_shim(start_of(place, "sh", "-c", "sleep 600 & exit 4"))
        record = await shim.child_end()
        alive = not shim.has_ended
        shim.terminate()
        await shim.end()
        return record, alive

    record, alive = watched(work)
    assert record is not None
    assert record.status == 4
    assert alive


def test_the_childs_words_are_in_the_log_when_its_exit_is_recorded(place: Path):
    async def work() -> list[str]:
        shim = await start_shim(start_of(place, "sh", "-c", "sleep 600 & seq 1 5000; exit 1"))
        await shim.child_end()
        seen = texts(read_log(place / "node.log"), "stdout")
        shim.terminate()
        await shim.end()
        return seen

    assert watched(work) == [str(n) for n in range(1, 5001)]


def test_another_daemon_adopts_a_living_shim(place: Path):
    """The first daemon is a process that dies by SIGKILL; the node's output and exit status are not lost."""
    os.mkfifo(place / "go")
    daemon = f"""
        import asyncio, os, signal
        from pathlib import Path
        from peppy.process.spawn import Start, start_shim
        place = Path({str(place)!r})
        command = ("sh", "-c", "read word < go; echo $word; exit 5")
        start = Start(command, dict(os.environ), place, place / "run", place / "node.log", "x", 1 << 20, 1)
        asyncio.run(start_shim(start))
        os.kill(os.getpid(), signal.SIGKILL)
        """
    crashed = subprocess.run([sys.executable, "-c", textwrap.dedent(daemon)], check=False)
    assert crashed.returncode == -signal.SIGKILL

    async def work() -> Exit | None:
        shim = adopt(place / "run")
        assert shim is not None
        assert not shim.child_has_ended
        await let_through(place / "go", "still here\n")
        return await shim.end()

    record = watched(work)
    assert record is not None
    assert record.status == 5
    assert texts(read_log(place / "node.log"), "stdout") == ["still here"]


def test_a_shim_that_is_gone_is_not_adopted(place: Path):
    watched(lambda: run_to_end(start_of(place, "true")))
    assert adopt(place / "run") is None


def test_a_killed_shim_takes_its_child_along_and_leaves_no_record(place: Path):
    async def work() -> tuple[Exit | None, bool]:
        shim = await start_shim(python(place, FOREVER))
        os.kill(shim.pids.shim.pid, signal.SIGKILL)
        record = await shim.child_end()
        return record, shim.child_has_ended

    assert watched(work) == (None, True)


# ---- stop ----------------------------------------------------------------------------------------------------------

EVIL = """
    import os, signal, sys
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    written, read = os.pipe()[::-1]
    for way in ("fork", "double fork", "new session"):
        if os.fork() == 0:
            if way == "new session":
                os.setsid()
            if way != "fork" and os.fork():
                os._exit(0)
            with open("pids", "a") as pids:
                pids.write(f"{os.getpid()}\\n")
            os.write(written, b"x")
            while True: signal.pause()
    for way in range(3): os.read(read, 1)
    print("ready", flush=True)
    if sys.argv[1:]: raise SystemExit(0)
    while True: signal.pause()
    """


def survivors(place: Path) -> list[int]:
    """The living processes that work in `place`, as everything started there does."""
    found: list[int] = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if link.readlink() == place:
                found.append(int(link.parent.name))
    return found


async def no_connection(_: str) -> bool:
    return False


@pytest.mark.torture
@pytest.mark.parametrize("round_", range(EVIL_ROUNDS))
def test_twenty_trees_that_ignore_sigterm_have_no_survivor(place: Path, round_: int):
    async def work() -> tuple[dict[str, Stopped], float]:
        shims: dict[str, Shim] = {}
        for number in range(20):
            directory = place / f"run{round_}_{number}"
            directory.mkdir()
            start = replace(python(place, EVIL), directory=directory, log=directory / "node.log")
            shims[str(number)] = await start_shim(start)
        for shim in shims.values():
            async for line in follow(shim.directory / "node.log", asyncio.Event()):
                if line.text == "ready":
                    break
        begun = time.monotonic()
        stopped = await stop(shims, no_connection, grace_secs=1, hurry=asyncio.Event())
        return stopped, time.monotonic() - begun

    stopped, took = watched(work)
    assert len((place / "pids").read_text().split()) == 60
    assert survivors(place) == []
    assert all(one.problem is None and one.killed for one in stopped.values())
    assert took >= 1.0, "TERM comes a second before KILL"


def test_what_a_child_leaves_behind_is_ended_and_the_kill_is_recorded(place: Path):
    async def work() -> Stopped:
        start = python(place, EVIL)
        shim = await start_shim(replace(start, command=(*start.command, "exit")))
        await shim.child_end()
        return (await stop({"evil": shim}, no_connection, grace_secs=1, hurry=asyncio.Event()))["evil"]

    stopped = watched(work)
    assert survivors(place) == []
    assert stopped.record is not None
    assert stopped.record.status == 0
    assert stopped.killed


def test_a_node_that_obeys_its_shutdown_request_is_not_signalled(place: Path):
    os.mkfifo(place / "go")

    async def ask(instance_id: str) -> bool:
        assert instance_id == "left"
        await let_through(place / "go")
        return True

    async def work() -> Stopped:
        script = "trap 'echo signalled' TERM; read word < go; echo hook; exit 0"
        shim = await start_shim(start_of(place, "sh", "-c", script))
        return (await stop({"left": shim}, ask, grace_secs=WATCHDOG_SECS, hurry=asyncio.Event()))["left"]

    stopped = watched(work)
    assert stopped.record is not None
    assert stopped.record.status == 0
    assert not stopped.killed
    assert texts(read_log(place / "node.log"), "stdout") == ["hook"]


async def _ignored(_: str) -> bool:
    return True


def test_a_node_that_ignores_its_request_gets_sigterm_after_the_grace(place: Path):
    async def work() -> tuple[Stopped, float]:
        shim = await start_shim(start_of(place, "sleep", "600"))
        begun = time.monotonic()
        stopped = await stop({"left": shim}, _ignored, grace_secs=0.5, hurry=asyncio.Event())
        return stopped["left"], time.monotonic() - begun

    stopped, took = watched(work)
    assert stopped.record is not None
    assert stopped.record.signal_name == "SIGTERM"
    assert not stopped.killed
    assert took >= 0.5


def test_a_second_signal_skips_the_grace(place: Path):
    async def work() -> Stopped:
        hurry = asyncio.Event()
        hurry.set()
        shim = await start_shim(start_of(place, "sleep", "600"))
        return (await stop({"left": shim}, _ignored, grace_secs=10 * WATCHDOG_SECS, hurry=hurry))["left"]

    stopped = watched(work)
    assert stopped.record is not None
    assert stopped.record.signal_name == "SIGTERM"


def test_all_instances_share_one_grace(place: Path):
    async def work() -> float:
        shims: dict[str, Shim] = {}
        for name in ("a", "b", "c", "d"):
            (place / name).mkdir()
            start = replace(start_of(place, "sleep", "600"), directory=place / name, log=place / f"{name}.log")
            shims[name] = await start_shim(start)
        begun = time.monotonic()
        stopped = await stop(shims, _ignored, grace_secs=2, hurry=asyncio.Event())
        assert list(stopped) == list(shims)
        return time.monotonic() - begun

    assert 2 <= watched(work) < 8


def test_stopping_what_has_ended_is_no_failure(place: Path):
    async def work() -> Stopped:
        shim = await start_shim(start_of(place, "true"))
        await shim.end()
        return (await stop({"left": shim}, no_connection, grace_secs=1, hurry=asyncio.Event()))["left"]

    stopped = watched(work)
    assert stopped.problem is None
    assert stopped.record is not None
    assert stopped.record.status == 0


def test_a_shim_that_does_not_end_is_a_problem_and_no_hang(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stop_module, "END_LIMIT_SECS", 0.2)

    async def work() -> Stopped:
        shim = await start_shim(start_of(place, "sleep", "600"))
        os.kill(shim.pids.shim.pid, signal.SIGSTOP)
        stopped = await stop({"left": shim}, no_connection, grace_secs=1, hurry=asyncio.Event())
        os.kill(shim.pids.shim.pid, signal.SIGCONT)
        await shim.end()
        return stopped["left"]

    stopped = watched(work)
    assert stopped.record is None
    assert stopped.problem is not None
    assert "are left" in stopped.problem


def test_a_cancelled_start_leaves_no_process(place: Path):
    """The start is cancelled while the shim waits for a log that hangs (a pipe without reader)."""
    os.mkfifo(place / "node.log")

    async def work() -> None:
        starting = asyncio.create_task(start_shim(start_of(place, "touch", "started")))
        while not is_alive(place / "run"):
            await asyncio.sleep(0.01)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        reader = os.open(place / "node.log", os.O_RDONLY | os.O_NONBLOCK)
        while is_alive(place / "run"):
            await asyncio.sleep(0.01)
        os.close(reader)

    watched(work)
    assert not (place / "started").exists()
