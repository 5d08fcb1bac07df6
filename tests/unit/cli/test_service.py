"""Starting and ending the daemon."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .running import WATCHDOG_SECS, peppy

OF_ANOTHER_VERSION = """
import contextlib, os, socket, sys
from peppy.protocol.blocking import BlockingConnection
from peppy.protocol.frame import ConnectionClosed
from peppy.protocol.frames import Refuse
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o600)
listener.listen()
print("listening", flush=True)
while True:
    connection = BlockingConnection(listener.accept()[0])
    with contextlib.suppress(ConnectionClosed):
        connection.send(Refuse("VersionMismatch", "the daemon speaks protocol 99", "run peppy service stop"))
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A data root whose daemon, if any, ends with the test."""
    yield tmp_path / "home"
    peppy("service", "stop", home=tmp_path / "home")


def test_a_started_daemon_is_the_one_that_answers_until_it_is_stopped(home: Path) -> None:
    started = peppy("service", "start", home=home)
    assert started.returncode == 0
    assert started.stdout.startswith("Daemon running (pid ")
    assert peppy("service", "start", home=home).stdout == started.stdout
    status = peppy("service", "status", home=home)
    assert status.stdout.splitlines()[1].split() == ["Pid:", started.stdout.rstrip(")\n").rpartition(" ")[2]]
    stopped = peppy("service", "stop", home=home)
    assert (stopped.returncode, stopped.stdout) == (0, "Daemon stopped, 0 instance(s) stopped\n")
    assert peppy("service", "status", home=home).returncode == 1


def test_a_command_that_needs_the_daemon_starts_it_and_says_so(home: Path) -> None:
    answer = peppy("stack", "list", home=home, PEPPY_NO_AUTOSTART="")
    assert answer.returncode == 0
    assert answer.stderr.startswith("[INFO] started the peppy daemon (pid ")
    assert answer.stdout.endswith("\nDependencies\n  (none)\n")


def test_the_core_node_is_called_as_asked(home: Path) -> None:
    peppy("service", "start", "--core-node-name", "robo", home=home)
    assert "│ robo:v" in peppy("stack", "list", home=home).stdout


def test_the_served_program_is_the_daemon_itself(home: Path) -> None:
    peppy("service", "start", home=home)
    second = peppy("service", "serve", home=home)
    assert second.returncode == 1
    assert "another peppy daemon (pid " in second.stderr


def test_a_daemon_of_another_version_is_refused_but_can_be_stopped(home: Path) -> None:
    (home / "run").mkdir(parents=True)
    command = [sys.executable, "-c", OF_ANOTHER_VERSION, str(home / "run" / "daemon.sock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "listening\n"
        refused = peppy("stack", "list", home=home)
        stopped = peppy("service", "stop", home=home)
        daemon.wait(WATCHDOG_SECS)
    assert refused.stderr == ("[ERROR] VersionMismatch: the daemon speaks protocol 99\nhint: run peppy service stop\n")
    assert (stopped.returncode, stopped.stdout) == (0, "Daemon stopped, 0 instance(s) stopped\n")
