"""Starting a daemon (docs/reference/cli.md, Daemon start), with a program that only listens in the daemon's place."""

import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from peppy.client import autostart, start_daemon
from peppy.errors import DaemonUnavailable
from peppy.model.home import daemon_log, daemon_program, daemon_socket

LISTENER = """
    import fcntl, os, signal, socket, sys
    assert sys.argv[1:] == ["service", "serve"]
    run = os.path.join(os.environ["PEPPY_HOME"], "run")
    os.makedirs(run, exist_ok=True)
    lock = open(os.path.join(run, "daemon.lock"), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("another peppy daemon uses this root")
    print("cwd", os.getcwd(), "leader", os.getsid(0) == os.getpid(), flush=True)
    with open(os.path.join(run, "started"), "a") as started:
        print(os.getpid(), file=started)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(run, "daemon.sock"))
    listener.listen(100)
    while True:
        listener.accept()[0].close()
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("PEPPY_NO_AUTOSTART", raising=False)
    yield tmp_path
    for pid in started(tmp_path):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def started(home: Path) -> list[int]:
    record = home / "run" / "started"
    return [int(line) for line in record.read_text().split()] if record.exists() else []


def install(home: Path, program: str) -> None:
    link = daemon_program(home)
    link.parent.mkdir()
    link.write_text(f"#!{sys.executable}\n" + textwrap.dedent(program))
    link.chmod(0o755)


def test_the_daemon_is_detached_and_its_pid_is_told(home: Path) -> None:
    install(home, LISTENER)
    pid = start_daemon(home)
    assert started(home) == [pid]
    assert os.getsid(pid) == pid
    assert daemon_log(home).read_text() == "cwd / leader True\n"


def test_of_many_starters_all_find_the_one_daemon(home: Path) -> None:
    install(home, LISTENER)
    with ThreadPoolExecutor(5) as starters:
        pids = set(starters.map(lambda _: start_daemon(home), range(5)))
    assert list(pids) == started(home)


def test_a_daemon_that_fails_to_start_is_reported_with_its_last_words(home: Path) -> None:
    install(home, "import sys; sys.exit('conf/peppy_config.json5:3:1: unknown key')")
    with pytest.raises(DaemonUnavailable, match=r"exit status 1\nconf/peppy_config.json5:3:1: unknown key") as raised:
        start_daemon(home)
    assert raised.value.hint == f"see {daemon_log(home)}"
    assert raised.value.kind == "DaemonUnreachable"


def test_words_of_an_earlier_daemon_are_not_reported(home: Path) -> None:
    install(home, "import sys; sys.exit(3)")
    daemon_log(home).parent.mkdir()
    daemon_log(home).write_text("another peppy daemon was here\n")
    with pytest.raises(DaemonUnavailable) as raised:
        start_daemon(home)
    assert raised.value.message == "the peppy daemon ended with exit status 3"


def test_a_daemon_that_never_listens_is_given_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autostart, "START_SECS", 0.3)
    install(home, LISTENER.replace("listener.listen(100)", "signal.pause()"))
    with pytest.raises(DaemonUnavailable, match=r"did not start within 0\.3 s"):
        start_daemon(home)


def test_nothing_is_started_where_that_is_forbidden(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEPPY_NO_AUTOSTART", "1")
    install(home, LISTENER)
    with pytest.raises(DaemonUnavailable, match="the peppy daemon is not running") as raised:
        start_daemon(home)
    assert raised.value.hint == "run peppy service serve"
    assert not daemon_socket(home).exists()


def test_a_data_root_that_cannot_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEPPY_NO_AUTOSTART", raising=False)
    (tmp_path / "home").write_text("a file")
    with pytest.raises(DaemonUnavailable) as raised:
        start_daemon(tmp_path / "home")
    place = tmp_path / "home/logs"
    assert raised.value.message == f"cannot start the peppy daemon: `{place}`: Not a directory"
    assert raised.value.hint == f"check that you can write to `{tmp_path / 'home'}`"


def test_the_program_is_the_link_then_the_path_then_this_interpreter(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = home / "somewhere"
    binaries.mkdir()
    monkeypatch.setenv("PATH", str(binaries))
    assert autostart.program(home) == [sys.executable, "-m", "peppy.cli"]
    (binaries / "peppy").touch(0o755)
    assert autostart.program(home) == [str(binaries / "peppy")]
    install(home, LISTENER)
    assert autostart.program(home) == [str(daemon_program(home))]
