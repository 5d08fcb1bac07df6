"""A daemon that takes over from one that was killed (docs/reference/daemon.md, State and recovery)."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from living import LivingDaemon, configure, eventually, is_alive, make_node, make_python_node, processes_of

from peppy.errors import PeppyError
from peppy.protocol.frames import NodeBuild, NodeStop, Output

NODE = "echoer:0.1.0"
Make = Callable[..., LivingDaemon]


def state(daemon: LivingDaemon) -> Path:
    return daemon.home / "state/stack.json"


def refused_start(daemon: LivingDaemon) -> str:
    process = daemon.spawn()
    _, errors = process.communicate(timeout=60)
    daemon.process = None
    assert process.returncode == 1
    return errors


def tried(ask: Callable[[], object]) -> threading.Thread:
    """Asks in a thread; the daemon's death is no failure."""

    def attempt() -> None:
        try:
            ask()
        except PeppyError:
            return

    thread = threading.Thread(target=attempt)
    thread.start()
    return thread


# --- instances -------------------------------------------------------------------------------------------------------


def test_a_killed_daemon_stops_nobody_and_the_next_one_takes_over(daemon: LivingDaemon, tmp_path: Path):
    python_pid = daemon.run(daemon.ready(make_python_node(tmp_path)), "p").pid
    other_pid = daemon.run(daemon.ready(make_node(tmp_path)), "o").pid
    daemon.kill()
    assert is_alive(python_pid)
    assert is_alive(other_pid)
    daemon.start()
    eventually(lambda: daemon.instance_row("p").healthy, "the reconnection")
    rows = {name: daemon.instance_row(name) for name in ("p", "o")}
    assert {name: (row.state, row.healthy, row.pid) for name, row in rows.items()} == {
        "p": ("running", True, python_pid),
        "o": ("running", True, other_pid),
    }
    daemon.ask(NodeStop(("p", "o")))
    assert (daemon.instance_row("p").exit.status, daemon.instance_row("o").exit.signal) == (0, "SIGTERM")


def test_output_and_exit_status_outlive_the_daemon(daemon: LivingDaemon, tmp_path: Path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    node = daemon.ready(make_node(tmp_path, run_cmd=["sh", "-c", f"cat {gate}; exit 7"]))
    pid = daemon.run(node, "one").pid
    daemon.kill()
    gate.write_text("last words\n")
    eventually(lambda: not is_alive(pid), "the end")
    eventually(lambda: (daemon.home / "run/instances/one/exit.json").exists(), "the record")
    daemon.start()
    row = daemon.instance_row("one")
    assert (row.state, row.exit.status) == ("failed", 7)
    assert "[stdout] last words" in (daemon.home / "logs/run/one.log").read_text()


def test_an_instance_that_ended_well_meanwhile_is_finished(daemon: LivingDaemon, tmp_path: Path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    daemon.run(daemon.ready(make_node(tmp_path, run_cmd=["sh", "-c", f"cat {gate}"])), "one")
    daemon.kill()
    gate.write_text("")
    eventually(lambda: (daemon.home / "run/instances/one/exit.json").exists(), "the record")
    daemon.start()
    assert daemon.instance_row("one").state == "finished"
    assert not (daemon.home / "instances/one").exists()


def test_an_instance_without_a_record_has_failed(daemon: LivingDaemon, tmp_path: Path):
    pid = daemon.run(daemon.ready(make_node(tmp_path)), "one").pid
    shim = json.loads((daemon.home / "run/instances/one/pid.json").read_text())["shim"]["pid"]
    daemon.kill()
    os.kill(shim, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid), "the end")
    daemon.start()
    row = daemon.instance_row("one")
    assert (row.state, row.exit.status, row.exit.signal) == ("failed", None, None)


def test_a_start_is_finished(daemon: LivingDaemon, tmp_path: Path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    node = daemon.ready(make_python_node(tmp_path, body=f"def setup(params, runner): open({str(gate)!r}).read()"))
    thread = tried(lambda: daemon.run(node, "one"))
    with gate.open("w"):
        daemon.kill()
        thread.join()
        daemon.start()
        assert daemon.instance_row("one").state == "starting"
    eventually(lambda: (row := daemon.instance_row("one")).state == "running" and row.healthy, "the start")


def test_a_start_that_fails_later_is_failed(daemon: LivingDaemon, tmp_path: Path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    body = f"def setup(params, runner):\n    open({str(gate)!r}).read()\n    raise ValueError('late')"
    node = daemon.ready(make_python_node(tmp_path, body=body))
    thread = tried(lambda: daemon.run(node, "one"))
    with gate.open("w"):
        daemon.kill()
        thread.join()
        daemon.start()
    eventually(lambda: daemon.instance_row("one").state == "failed", "the failure")


def test_a_stop_is_finished(new_daemon: Make, tmp_path: Path):
    daemon = new_daemon()
    configure(daemon.home, "{lifecycle: {shutdown_grace_secs: 2}}")
    daemon.start()
    body = "import time\ndef setup(params, runner): runner.on_shutdown(lambda: time.sleep(1000))"
    node = daemon.ready(make_python_node(tmp_path, body=body))
    daemon.run(node, "one")
    thread = tried(lambda: daemon.ask(NodeStop(("one",))))
    eventually(lambda: '"stopping"' in state(daemon).read_text(), "the stop")
    daemon.kill()
    thread.join()
    daemon.start()
    row = eventually(lambda: (row := daemon.instance_row("one")).state == "finished" and row, "the end")
    assert row.exit.killed


def test_a_second_takeover_is_like_the_first(daemon: LivingDaemon, tmp_path: Path):
    pid = daemon.run(daemon.ready(make_python_node(tmp_path)), "one").pid
    for _ in range(3):
        daemon.kill()
        daemon.start()
        eventually(lambda: daemon.instance_row("one").healthy, "the reconnection")
    assert daemon.instance_row("one").pid == pid


def test_values_of_variables_are_not_stored(daemon: LivingDaemon, tmp_path: Path):
    daemon.run(daemon.ready(make_node(tmp_path)), "one", SECRET="hunter2")
    assert "SECRET" in state(daemon).read_text()
    assert "hunter2" not in state(daemon).read_text()
    assert "hunter2" not in daemon.log()


# --- nodes -----------------------------------------------------------------------------------------------------------


def test_nodes_come_back(daemon: LivingDaemon, tmp_path: Path):
    daemon.ready(make_node(tmp_path, "a"))
    daemon.add(make_node(tmp_path, "b"))
    before = [daemon.node_row(node) for node in ("a:0.1.0", "b:0.1.0")]
    daemon.kill()
    daemon.start()
    assert [daemon.node_row(node) for node in ("a:0.1.0", "b:0.1.0")] == before
    assert daemon.run("a:0.1.0", "one").instance_id == "one"


def test_a_build_whose_daemon_has_gone_is_ended(daemon: LivingDaemon, tmp_path: Path):
    daemon.add(make_node(tmp_path, build_cmd=["sh", "-c", "echo begun; exec sleep 1000"]))
    begun = threading.Event()
    request = NodeBuild(NODE, False, False, {"PATH": os.environ["PATH"]}, 60.0)

    def seen(_: Output) -> None:
        begun.set()

    thread = tried(lambda: daemon.ask(request, seen))
    assert begun.wait(60)
    daemon.kill()
    thread.join()
    daemon.start()
    assert daemon.process is not None
    assert processes_of(daemon.home) == [daemon.process.pid]
    assert daemon.node_row(NODE).stage == "Added"
    assert list((daemon.home / "run/builds").iterdir()) == []


def test_a_missing_or_changed_artifact_makes_the_node_added(daemon: LivingDaemon, tmp_path: Path):
    for name in ("missing", "changed"):
        daemon.ready(make_node(tmp_path, name))
    daemon.stop()
    (daemon.home / "built_nodes/missing_0.1.0.tar.zst").unlink()
    (daemon.home / "built_nodes/changed_0.1.0.tar.zst").write_bytes(b"x")
    daemon.start()
    assert [daemon.node_row(f"{name}:0.1.0").stage for name in ("missing", "changed")] == ["Added", "Added"]
    assert "`missing:0.1.0` has to be built again" in daemon.log()
    daemon.build("changed:0.1.0")


def test_a_node_without_snapshot_cannot_be_built(daemon: LivingDaemon, tmp_path: Path):
    daemon.ready(make_node(tmp_path))
    daemon.stop()
    shutil.rmtree(daemon.home / "staging/echoer_0.1.0")
    daemon.start()
    assert daemon.node_row(NODE).stage == "Added"
    error = daemon.refusal(NodeBuild(NODE, False, False, {}, 60.0))
    assert "no staged snapshot" in error.message
    assert "peppy node add" in (error.hint or "")


# --- the file --------------------------------------------------------------------------------------------------------


def test_a_damaged_file_is_replaced_by_the_one_before(daemon: LivingDaemon, tmp_path: Path):
    daemon.add(make_node(tmp_path, "a"))
    daemon.add(make_node(tmp_path, "b"))
    daemon.stop()
    state(daemon).write_text("{")
    daemon.start()
    assert daemon.node_row("a:0.1.0") is not None
    assert "damaged" in daemon.log()
    assert len(list(state(daemon).parent.glob("stack.json.corrupt-*"))) == 1


def test_a_file_of_a_newer_peppy_refuses_the_start(daemon: LivingDaemon):
    daemon.stop()
    text = state(daemon).read_text().replace('"version": 1', '"version": 2')
    state(daemon).write_text(text)
    assert "version `2`" in refused_start(daemon)
    assert state(daemon).read_text() == text
    state(daemon).unlink()


def test_what_belongs_to_nobody_is_removed(daemon: LivingDaemon, tmp_path: Path):
    daemon.ready(make_node(tmp_path))
    daemon.stop()
    for place in ("instances/x", "staging/x", "run/instances/x", "run/builds/x", "tmp/x"):
        (daemon.home / place).mkdir()
    log = daemon.home / "logs/run/x.log"
    log.touch()
    daemon.start()
    for place in ("instances", "run/instances", "run/builds", "tmp"):
        assert list((daemon.home / place).iterdir()) == []
    assert [path.name for path in (daemon.home / "staging").iterdir()] == ["echoer_0.1.0"]
    assert log.exists()
