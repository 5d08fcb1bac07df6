"""docs/reference/daemon.md, Shim: the files of a shim are input from outside."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from peppy.process.records import (
    Exit,
    Pids,
    ProcessId,
    descends_from,
    is_alive,
    is_same,
    read_exit,
    read_pids,
    start_time,
)

PIDS = '{"shim": {"pid": 10, "start": 7}, "child": {"pid": 11, "start": 8}}'
EXIT = '{"status": 3, "signal": null, "started_ns": 1, "ended_ns": 2, "killed": false}'


def test_pids_are_read(tmp_path: Path):
    (tmp_path / "pid.json").write_text(PIDS)
    assert read_pids(tmp_path) == Pids(ProcessId(10, 7), ProcessId(11, 8))


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", PIDS.replace("10", "-1"), PIDS.replace("10", "0"), PIDS + PIDS]
)
def test_a_damaged_pid_file_is_none(tmp_path: Path, text: str):
    (tmp_path / "pid.json").write_text(text)
    assert read_pids(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        EXIT.replace("3", "300"),
        EXIT.replace("null", "9"),
        EXIT.replace("3", "null"),
        EXIT.replace("false", "0"),
        EXIT[:-1] + ', "more": 1}',
        " " * 5000 + EXIT,
    ],
)
def test_a_damaged_exit_file_is_none(tmp_path: Path, text: str):
    (tmp_path / "exit.json").write_text(text)
    assert read_exit(tmp_path) is None


def test_missing_files_are_none(tmp_path: Path):
    assert read_pids(tmp_path) is None
    assert read_exit(tmp_path) is None
    assert not is_alive(tmp_path)


@pytest.mark.parametrize(
    ("status", "signal", "text"), [(3, None, "exit status 3"), (None, 9, "SIGKILL"), (None, 100, "signal 100")]
)
def test_an_exit_has_a_text(status: int | None, signal: int | None, text: str):
    assert Exit(status, signal, 0, 0, killed=False).text == text


def test_a_lock_held_by_another_process_means_alive(tmp_path: Path):
    script = (
        "import fcntl, os, struct, sys\n"
        "file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)\n"
        "fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "shim.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert is_alive(tmp_path)
        assert is_alive(tmp_path), "asking takes no lock"
        holder.communicate()
    assert not is_alive(tmp_path)


def test_a_symbolic_link_is_no_lock(tmp_path: Path):
    target = tmp_path / "target"
    with target.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (tmp_path / "shim.lock").symlink_to(target)
        assert not is_alive(tmp_path)


def test_a_process_is_known_by_its_start_time():
    mine = start_time(os.getpid())
    assert mine is not None
    assert is_same(ProcessId(os.getpid(), mine))
    assert not is_same(ProcessId(os.getpid(), mine + 1))


def test_no_process_has_no_start_time():
    with subprocess.Popen(["true"]) as process:
        process.wait()
        assert start_time(process.pid) is None


def test_descent_goes_through_all_parents():
    script = "import subprocess, sys; subprocess.run(['sh', '-c', 'echo $$; read x'], check=True)"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        assert descends_from(grandchild, process.pid)
        assert descends_from(grandchild, os.getpid())
        assert not descends_from(os.getpid(), process.pid)
        process.communicate(b"\n")
