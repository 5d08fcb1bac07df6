"""Life of the daemon itself (docs/reference/daemon.md, Process)."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from living import LivingDaemon, configure, eventually, is_alive, make_node, make_python_node, processes_of

from peppy.board import BoardReader
from peppy.model.home import daemon_socket
from peppy.protocol.answers import ServiceStopped
from peppy.protocol.frames import Info, NodeBuild, NodePrune, ServiceStop

Make = Callable[..., LivingDaemon]
AS_ROOT_OF_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")


def failure(daemon: LivingDaemon, *arguments: str) -> str:
    """What a daemon that cannot serve says; it ends with status 1."""
    process = daemon.spawn(*arguments)
    _, errors = process.communicate(timeout=60)
    daemon.process = None
    assert process.returncode == 1
    return errors


# --- start -----------------------------------------------------------------------------------------------------------


def test_a_ready_daemon_is_recorded_and_its_socket_is_ours_alone(daemon: LivingDaemon):
    record = json.loads((daemon.home / "run/daemon.json").read_text())
    assert daemon.process is not None
    assert record["pid"] == daemon.process.pid
    assert set(record) == {"pid", "version", "core_node_name"}
    assert daemon_socket(daemon.home).stat().st_mode & 0o777 == 0o600
    assert (daemon.home / "run").stat().st_mode & 0o777 == 0o700


def test_a_second_daemon_on_a_data_root_ends(daemon: LivingDaemon, new_daemon: Make):
    assert daemon.process is not None
    errors = failure(new_daemon(daemon.home))
    assert f"another peppy daemon (pid {daemon.process.pid}) uses {daemon.home}" in errors
    assert daemon.ask(Info()).pid == daemon.process.pid


def test_the_core_node_keeps_its_name(new_daemon: Make):
    daemon = new_daemon().start()
    first = daemon.ask(Info()).core_node_name
    daemon.stop()
    assert daemon.start().ask(Info()).core_node_name == first


def test_the_core_node_can_be_named(new_daemon: Make):
    assert new_daemon().start("--core-node-name", "robot").ask(Info()).core_node_name == "robot"


def test_a_wrong_configuration_refuses_the_start_and_is_left_alone(new_daemon: Make):
    daemon = new_daemon()
    configure(daemon.home, "{\n  lifecycle: { shutdown_grace_secs: 0 },\n}")
    errors = failure(daemon)
    assert f"{daemon.home}/conf/peppy_config.json5:2:37: lifecycle.shutdown_grace_secs" in errors
    assert errors.startswith("[ERROR] OutOfRange: ")
    assert "hint:" in errors


def test_a_socket_path_that_is_too_long_refuses_the_start(new_daemon: Make, tmp_path: Path):
    home = tmp_path / ("x" * 100)
    assert "PEPPY_HOME" in failure(new_daemon(home))


def test_a_run_directory_that_is_open_to_others_refuses_the_start(new_daemon: Make):
    daemon = new_daemon()
    (daemon.home / "run").mkdir(mode=0o777)
    (daemon.home / "run").chmod(0o777)
    assert "open to other users" in failure(daemon)
    (daemon.home / "run").chmod(0o700)


def test_a_read_only_data_root_refuses_the_start(new_daemon: Make, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    script = f'mount -t tmpfs -o ro tmpfs "{home}" && exec "{sys.executable}" -m peppy.daemon'
    environment = new_daemon(home).environment
    done = subprocess.run(
        [*AS_ROOT_OF_A_NAMESPACE, script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert f"`{home}/" in done.stderr
    assert "Read-only file system" in done.stderr
    assert "hint: choose a writable directory with PEPPY_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stale_socket_is_replaced(new_daemon: Make):
    daemon = new_daemon().start()
    daemon.kill()
    assert daemon_socket(daemon.home).exists()
    assert daemon.start().ask(Info()).node_count == 1


def test_of_many_starters_one_survives_and_all_are_served(new_daemon: Make):
    daemon = new_daemon()
    starters = [
        subprocess.Popen(
            [sys.executable, "-m", "peppy.cli", "stack", "list", "--json"],
            env=daemon.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(20)
    ]
    try:
        answers = [starter.communicate(timeout=60) for starter in starters]
        assert [starter.returncode for starter in starters] == [0] * 20, answers
        names = {json.loads(output)["data"]["nodes"][0]["name"] for output, _ in answers}
        assert len(names) == 1
        assert len(processes_of(daemon.home)) == 1
    finally:
        pid = json.loads((daemon.home / "run/daemon.json").read_text())["pid"]
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not is_alive(pid), "the end of the daemon")


def test_the_status_board_says_who_serves_and_counts(daemon: LivingDaemon, tmp_path: Path):
    daemon.add(make_node(tmp_path))
    assert daemon.process is not None
    with BoardReader.open(daemon.home) as board:
        snapshot = eventually(lambda: (seen := board.snapshot()).counts.nodes == 2 and seen, "the next heartbeat")
    assert snapshot.daemon_pid == daemon.process.pid
    assert snapshot.core_node_name == daemon.ask(Info()).core_node_name


# --- end -------------------------------------------------------------------------------------------------------------


def test_service_stop_ends_instances_and_daemon(daemon: LivingDaemon, tmp_path: Path):
    daemon.run(daemon.ready(make_node(tmp_path)), "one")
    process = daemon.process
    assert process is not None
    assert daemon.ask(ServiceStop(False)) == ServiceStopped(1)
    assert process.wait(60) == 0
    process.communicate()
    daemon.process = None
    assert not (daemon.home / "run/daemon.json").exists()
    assert not daemon_socket(daemon.home).exists()
    assert processes_of(daemon.home) == []
    assert daemon.start().instance_row("one").state == "finished"


def test_sigterm_ends_instances_and_daemon(daemon: LivingDaemon, tmp_path: Path):
    daemon.run(daemon.ready(make_node(tmp_path)), "one")
    process = daemon.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    daemon.process = None
    assert process.returncode == 0
    assert processes_of(daemon.home) == []


def test_a_second_signal_skips_the_grace(new_daemon: Make, tmp_path: Path):
    daemon = new_daemon()
    configure(daemon.home, "{lifecycle: {shutdown_grace_secs: 1000}}")
    daemon.start()
    body = "import time\ndef setup(params, runner): runner.on_shutdown(lambda: time.sleep(1000))"
    daemon.run(daemon.ready(make_python_node(tmp_path, body=body)), "one")
    process = daemon.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    eventually(lambda: daemon.instance_row("one").state == "stopping", "the first signal")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    daemon.process = None
    assert process.returncode == 0


def test_what_runs_is_cancelled_and_what_comes_is_refused(new_daemon: Make, tmp_path: Path):
    daemon = new_daemon()
    configure(daemon.home, "{lifecycle: {shutdown_grace_secs: 1000}}")
    daemon.start()
    body = "import time\ndef setup(params, runner): runner.on_shutdown(lambda: time.sleep(1000))"
    daemon.run(daemon.ready(make_python_node(tmp_path, body=body)), "one")
    daemon.add(make_node(tmp_path, build_cmd=["sleep", "1000"]))
    process = daemon.process
    assert process is not None
    with daemon.client() as client:
        connection = client._connection  # pyright: ignore[reportPrivateUsage]
        connection.send(NodeBuild("echoer:0.1.0", False, False, {"PATH": os.environ["PATH"]}, 60.0), 1)
        eventually(lambda: daemon.node_row("echoer:0.1.0").stage == "Building", "the build")
        process.send_signal(signal.SIGTERM)
        assert connection.receive(60).frame.kind == "Aborted"
        connection.send(NodePrune(None), 2)
        answer = connection.receive(60).frame
        assert (answer.kind, answer.message) == ("Refused", "the peppy daemon is stopping")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    daemon.process = None


def test_kept_instances_are_taken_over_by_the_next_daemon(daemon: LivingDaemon, tmp_path: Path):
    pid = daemon.run(daemon.ready(make_python_node(tmp_path)), "one").pid
    daemon.stop(keep_instances=True)
    assert is_alive(pid)
    daemon.start()
    row = eventually(lambda: (row := daemon.instance_row("one")).healthy and row, "the reconnection")
    assert (row.state, row.pid) == ("running", pid)


# --- the socket ------------------------------------------------------------------------------------------------------


def test_bytes_that_are_no_frame_end_the_connection_and_nothing_else(shared: LivingDaemon):
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\0" * 16):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(daemon_socket(shared.home)))
            peer.sendall(garbage)
            peer.settimeout(60)
            assert peer.recv(1) == b""
    assert shared.ask(Info()).node_count == 1


def test_a_peer_that_says_nothing_is_dropped(shared: LivingDaemon):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(daemon_socket(shared.home)))
        peer.settimeout(60)
        assert peer.recv(1) == b""
    assert "no hello within 5 s" in shared.log()


@pytest.mark.parametrize("number", [200])
def test_many_connections_do_not_keep_others_out(shared: LivingDaemon, number: int):
    peers = [socket.socket(socket.AF_UNIX) for _ in range(number)]
    try:
        for peer in peers:
            peer.connect(str(daemon_socket(shared.home)))
        assert shared.ask(Info()).node_count == 1
    finally:
        for peer in peers:
            peer.close()
