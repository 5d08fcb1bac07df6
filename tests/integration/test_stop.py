"""`peppy node stop` at a real daemon (docs/reference/daemon.md, Stop sequence)."""

import threading
from collections.abc import Callable
from pathlib import Path

from living import LivingDaemon, configure, eventually, is_alive, make_node, make_python_node, processes_of

from peppy.protocol.answers import StoppedInstance
from peppy.protocol.frames import NodeStop

STUBBORN = "trap '' TERM; while :; do sleep 0.1; done"


def test_a_stopped_instance_is_finished_and_its_directory_gone(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "one")
    assert shared.ask(NodeStop(("one",))).stopped == (StoppedInstance("one", False),)
    row = shared.instance_row("one")
    assert (row.state, row.exit.signal, row.exit.killed, row.pid) == ("finished", "SIGTERM", False, None)
    assert not (shared.home / "instances/one").exists()
    assert not (shared.home / "run/instances/one").exists()
    assert "Exited with signal SIGTERM" in (shared.home / "logs/run/one.log").read_text()


def test_a_python_node_is_asked_over_its_connection(shared: LivingDaemon, tmp_path: Path):
    body = "def setup(params, runner): runner.on_shutdown(lambda: print('hook ran', flush=True))"
    shared.run(shared.ready(make_python_node(tmp_path, body=body)), "one")
    shared.ask(NodeStop(("one",)))
    row = shared.instance_row("one")
    assert (row.state, row.exit.status, row.exit.signal) == ("finished", 0, None)
    assert "[stdout] hook ran" in (shared.home / "logs/run/one.log").read_text()


def test_a_node_that_ignores_sigterm_is_killed(shared: LivingDaemon, tmp_path: Path):
    pid = shared.run(shared.ready(make_node(tmp_path, run_cmd=["sh", "-c", STUBBORN])), "one").pid
    assert shared.ask(NodeStop(("one",))).stopped == (StoppedInstance("one", True),)
    row = shared.instance_row("one")
    assert (row.state, row.exit.killed) == ("finished", True)
    assert not is_alive(pid)
    assert "(killed)" in shared.stack_log()


def test_no_descendant_survives(shared: LivingDaemon, tmp_path: Path):
    before = set(processes_of(shared.home))
    script = f'setsid sh -c "{STUBBORN}" & (sh -c \'sh -c "sleep 1000 & sleep 1000" &\') ; exec sleep 1000'
    shared.run(shared.ready(make_node(tmp_path, run_cmd=["sh", "-c", script])), "one")
    eventually(lambda: len(set(processes_of(shared.home)) - before) >= 5, "the tree")
    shared.ask(NodeStop(("one",)))
    assert set(processes_of(shared.home)) == before


def test_several_instances_share_one_grace(new_daemon: Callable[..., LivingDaemon], tmp_path: Path):
    daemon = new_daemon()
    configure(daemon.home, "{lifecycle: {shutdown_grace_secs: 1}}")
    daemon.start()
    hook = "def hook():\n    print('asked', flush=True)\n    time.sleep(1000)\n"
    body = f"import time\n{hook}def setup(params, runner): runner.on_shutdown(hook)"
    node = daemon.ready(make_python_node(tmp_path, body=body))
    names = ("a", "b", "c")
    for name in names:
        daemon.run(node, name)
    answer = daemon.ask(NodeStop(names))
    assert answer.stopped == tuple(StoppedInstance(name, True) for name in names)
    asked = [line_time(daemon.home / f"logs/run/{name}.log", "asked") for name in names]
    assert max(asked) < line_time(daemon.home / "logs/stack.log", "stopped")


def line_time(log: Path, text: str) -> str:
    """The time of the first line of a log that has the text."""
    return next(line.split("]")[0] for line in log.read_text().splitlines() if text in line)


def test_an_ended_instance_is_only_named(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "one")
    shared.ask(NodeStop(("one",)))
    assert shared.ask(NodeStop(("one",))).stopped == (StoppedInstance("one", False, "finished"),)


def test_an_unknown_instance_stops_nothing_and_the_nearest_is_named(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "left_wheels")
    error = shared.refusal(NodeStop(("left_wheels", "left_wheel")))
    assert error.kind == "NotFound"
    assert "nearest is `left_wheels`" in error.message
    assert shared.instance_row("left_wheels").state == "running"


def test_the_core_node_is_not_stopped(shared: LivingDaemon):
    name = shared.ask_core_name()
    error = shared.refusal(NodeStop((name,)))
    assert error.kind == "Refused"
    assert "peppy service stop" in (error.hint or "")


def test_two_who_stop_the_same_instance_both_get_an_answer(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path, run_cmd=["sh", "-c", STUBBORN])), "one")
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(shared.ask(NodeStop(("one",))))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 2
    assert shared.stack_log().count("one of echoer:0.1.0 stopped (killed)") >= 1
