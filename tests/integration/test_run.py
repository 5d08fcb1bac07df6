"""`peppy node run` at a real daemon (docs/reference/daemon.md, Run)."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from living import LivingDaemon, configure, eventually, is_alive, make_node, make_python_node, processes_of

from peppy.errors import PeppyError
from peppy.protocol.answers import StoppedInstance
from peppy.protocol.frames import Cancel, NodeInfo, NodeRun, NodeStop

NODE = "echoer:0.1.0"


def request(instance_id: str | None = "one", *, node: str = NODE, timeout: float = 60.0, **variables: str) -> NodeRun:
    return NodeRun(node, instance_id, (), (), {"PATH": os.environ["PATH"], **variables}, timeout)


def log_of(daemon: LivingDaemon, instance_id: str = "one") -> str:
    return (daemon.home / f"logs/run/{instance_id}.log").read_text()


def ended(daemon: LivingDaemon, instance_id: str = "one") -> object:
    """The row of an instance once it has ended."""
    return eventually(
        lambda: (row := daemon.instance_row(instance_id)) and row.state in ("finished", "failed") and row,
        "the end of the instance",
    )


# --- coming up -------------------------------------------------------------------------------------------------------


def test_an_instance_runs_in_its_own_directory(shared: LivingDaemon, tmp_path: Path):
    node = shared.ready(make_node(tmp_path, build_cmd=["touch", "made"], files={"a": "1"}))
    answer = shared.run(node, "one")
    directory = shared.home / "instances/one"
    assert {path.name for path in directory.iterdir()} == {"peppy.json5", "made", "a"}
    assert Path(f"/proc/{answer.pid}/cwd").resolve() == directory.resolve()
    assert (answer.node, answer.instance_id, answer.log) == (node, "one", str(shared.home / "logs/run/one.log"))
    row = shared.instance_row("one")
    assert (row.state, row.healthy, row.pid) == ("running", True, answer.pid)


def test_the_run_log_has_header_and_lines(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "one")
    eventually(lambda: "[stdout] up\n" in log_of(shared), "the line of the node")
    header, line = log_of(shared).splitlines()
    command = "sh -c echo up; exec sleep 1000"
    directory = shared.home / "instances/one"
    assert re.fullmatch(r"\[[\d-]{10}T[\d:.]{12}\] .*", header)
    assert header.partition("] ")[2] == f"Executing run_cmd: {command} (working_dir: {directory})"
    assert line.partition("] ")[2] == "[stdout] up"


def test_without_an_id_a_name_is_made(shared: LivingDaemon, tmp_path: Path):
    answer = shared.run(shared.ready(make_node(tmp_path)))
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{4}", answer.instance_id)


def test_an_instance_gets_its_runtime_config_for_this_user_only(shared: LivingDaemon, tmp_path: Path):
    parameters = {"rate": {"$type": "f64", "$default": 2.5}, "video": {"width": "u16"}, "key": "bytes"}
    node = shared.ready(make_node(tmp_path, parameters=parameters))
    shared.run(node, "one", [("video.width", "640"), ("key", "ab")])
    path = shared.home / "run/instances/one/config.json"
    config = json.loads(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert config["version"] == 1
    assert config["socket"] == str(shared.home / "run/daemon.sock")
    assert (config["node_name"], config["node_tag"]) == ("echoer", "0.1.0")
    assert config["node_instance"]["instance_id"] == "one"
    assert config["node_instance"]["arguments"] == {"rate": 2.5, "video": {"width": 640}, "key": "YWI="}
    assert config["topics"]["depth"] == {"sensor_data": 32, "standard": 128, "reliable": 128, "critical": 128}


def test_an_instance_gets_the_environment_of_the_caller_and_ours(shared: LivingDaemon, tmp_path: Path):
    node = shared.ready(make_node(tmp_path, run_cmd=["sh", "-c", "env; exec sleep 1000"]))
    pid = shared.run(node, "one", COLOUR="red", VIRTUAL_ENV="/x").pid
    text = Path(f"/proc/{pid}/environ").read_text()
    environment = dict(entry.partition("=")[::2] for entry in text.split("\0") if entry)
    assert environment["COLOUR"] == "red"
    assert environment["UV_NO_SYNC"] == "1"
    assert environment["PWD"] == str(shared.home / "instances/one")
    assert environment["PEPPY_RUNTIME_CONFIG"] == str(shared.home / "run/instances/one/config.json")
    assert "VIRTUAL_ENV" not in environment


def test_a_python_node_is_running_when_its_setup_has_returned(shared: LivingDaemon, tmp_path: Path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    node = shared.ready(make_python_node(tmp_path, body=f"def setup(params, runner): open({str(gate)!r}).read()"))
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(shared.run(node, "one")))
    thread.start()
    with gate.open("w"):  # opens when setup reads
        assert shared.instance_row("one").state == "starting"
    thread.join()
    assert shared.instance_row("one").state == "running"
    assert len(answers) == 1


def test_several_instances_of_a_node_start_at_the_same_time(shared: LivingDaemon, tmp_path: Path):
    node = shared.ready(make_node(tmp_path))
    names = [f"i{number}" for number in range(5)]
    threads = [threading.Thread(target=shared.run, args=(node, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [shared.instance_row(name).state for name in names] == ["running"] * 5


# --- not coming up ---------------------------------------------------------------------------------------------------


def test_a_node_that_is_not_built_is_refused(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path))
    error = shared.refusal(request())
    assert "added but not built" in error.message
    assert f"peppy node build {NODE}" in (error.hint or "")


def test_an_unknown_node_is_not_found(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path))
    error = shared.refusal(request(node="echo:0.1.0"))
    assert error.kind == "NotFound"
    assert f"nearest is `{NODE}`" in error.message
    assert "peppy node add" in (error.hint or "")


def test_an_exit_during_startup_shows_status_and_last_words(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path, run_cmd=["sh", "-c", "echo bad wiring >&2; exit 3"]))
    error = shared.refusal(request())
    assert error.kind == "CommandFailed"
    assert "exited during startup: exit status 3" in error.message
    assert error.message.endswith("--- stderr (last lines) ---\nbad wiring")
    row = shared.instance_row("one")
    assert (row.state, row.exit.status, row.pid) == ("failed", 3, None)
    assert not (shared.home / "instances/one").exists()
    assert not (shared.home / "run/instances/one").exists()


def test_a_setup_that_raises_shows_its_traceback(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_python_node(tmp_path, "echoer", body="def setup(params, runner): raise ValueError('no camera')"))
    error = shared.refusal(request())
    assert "ValueError: no camera" in error.message
    assert shared.instance_row("one").state == "failed"


def test_a_program_that_is_not_there_is_named(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path, run_cmd=["no-such-program"]))
    error = shared.refusal(request())
    assert "`no-such-program` not found" in error.message
    assert shared.instance_row("one").state == "failed"


def test_a_shell_that_finds_no_program_says_so(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path, run_cmd=["sh", "-c", "no-such-program"]))
    assert "command not found (exit status 127)" in shared.refusal(request()).message


def test_a_node_that_never_connects_fails_in_time(new_daemon: Callable[..., LivingDaemon], tmp_path: Path):
    daemon = new_daemon()
    configure(daemon.home, "{lifecycle: {ready_timeout_secs: 1}}")
    daemon.start()
    node = daemon.ready(make_node(tmp_path, language="python"))
    error = daemon.refusal(request(node=node))
    assert "startup timed out" in error.message
    assert daemon.instance_row("one").state == "failed"
    assert set(processes_of(daemon.home)) == {daemon.process.pid}  # pyright: ignore[reportOptionalMemberAccess]


def test_a_setup_that_does_not_return_fails_in_time(new_daemon: Callable[..., LivingDaemon], tmp_path: Path):
    daemon = new_daemon()
    configure(daemon.home, "{lifecycle: {health_timeout_secs: 1}}")
    daemon.start()
    node = daemon.ready(make_python_node(tmp_path, body="import time\ndef setup(params, runner): time.sleep(1000)"))
    assert "did not become healthy" in daemon.refusal(request(node=node)).message


def test_a_start_over_its_total_limit_ends(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path, language="python"))
    error = shared.refusal(request(timeout=0.5))
    assert error.kind == "Timeout"
    assert "`--timeout`" in (error.hint or "")
    assert shared.instance_row("one").state == "failed"


def test_a_cancelled_start_is_a_stop_and_leaves_no_process(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path, language="python"))
    with shared.client() as client:
        connection = client._connection  # pyright: ignore[reportPrivateUsage]
        connection.send(request(), 7)
        eventually(lambda: (row := shared.instance_row("one")) and row.pid, "the process")
        connection.send(Cancel(), 7)
        assert connection.receive(60).frame.kind == "Aborted"
    assert shared.instance_row("one").state == "finished"
    assert "one of echoer:0.1.0 stopped" in shared.stack_log()
    assert not (shared.home / "run/instances/one").exists()


def test_ctrl_c_while_a_setup_takes_its_time_is_told_as_a_stop_everywhere(shared: LivingDaemon, tmp_path: Path):
    body = "import asyncio\nasync def setup(params, runner): print('slow'); await asyncio.sleep(1000)"
    node = shared.ready(make_python_node(tmp_path, body=body))
    words = [sys.executable, "-m", "peppy.cli", "node", "run", node, "-i", "one"]
    with subprocess.Popen(words, env=shared.environment, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: (shared.home / "logs/run/one.log").exists() and "slow" in log_of(shared), "the setup")
        process.send_signal(signal.SIGINT)
        assert process.communicate()[1] == "[ERROR] Aborted: interrupted\n"
    assert process.returncode == 130
    row = shared.instance_row("one")
    assert (row.state, row.exit.killed) == ("finished", False)
    assert shared.ask(NodeInfo(node)).instances[0].state == "finished"
    assert shared.stack_log().endswith(f"one of {node} stopped\n")


def test_a_starting_instance_can_be_stopped(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path, language="python"))
    errors: list[str] = []
    thread = threading.Thread(target=lambda: errors.append(shared.refusal(request()).message))
    thread.start()
    eventually(lambda: (row := shared.instance_row("one")) and row.pid, "the process")
    assert shared.ask(NodeStop(("one",))).stopped == (StoppedInstance("one", False),)
    thread.join()
    assert "was stopped while it started" in errors[0]
    assert shared.instance_row("one").state == "finished"


def test_everything_that_is_wrong_is_reported_together(shared: LivingDaemon, tmp_path: Path):
    depends = {"nodes": [{"name": "imu", "tag": "v1", "link_id": "left"}]}
    shared.ready(make_node(tmp_path, "imu", tag="v1"))
    node = shared.ready(make_node(tmp_path, depends_on=depends, parameters={"rate": "f64"}))
    error = shared.refusal(NodeRun(node, "one", (), (), {"LD_PRELOAD": "x"}, 60.0))
    assert [problem.kind for problem in error.details] == [
        "BindingMissingForPinnedDep",
        "MissingParameters",
        "EnvVarForbidden",
    ]
    assert shared.instance_row("one") is None


def test_a_bound_slot_names_its_producer(shared: LivingDaemon, tmp_path: Path):
    depends = {"nodes": [{"name": "imu", "tag": "v1", "link_id": "left"}]}
    shared.run(shared.ready(make_node(tmp_path, "imu", tag="v1")), "i1")
    answer = shared.run(shared.ready(make_node(tmp_path, depends_on=depends)), "one", bindings=[("left", "i1")])
    assert (answer.bindings["left"].kind, answer.bindings["left"].producer_instance_id) == ("pinned", "i1")
    config = json.loads((shared.home / "run/instances/one/config.json").read_text())
    assert config["node_instance"]["slot_bindings"] == {"left": {"kind": "pinned", "producer_instance_id": "i1"}}


def test_an_id_in_use_is_refused(shared: LivingDaemon, tmp_path: Path):
    node = shared.ready(make_node(tmp_path))
    pid = shared.run(node, "one").pid
    assert shared.refusal(request()).kind == "DuplicateInstanceIdAcrossStack"
    assert shared.instance_row("one").pid == pid


def test_of_two_who_want_one_id_one_gets_it(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path))
    kinds: list[str] = []

    def attempt() -> None:
        try:
            shared.ask(request())
            kinds.append("started")
        except PeppyError as error:
            kinds.append(error.kind)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kinds) == [*["DuplicateInstanceIdAcrossStack"] * 3, "started"]
    assert shared.instance_row("one").state == "running"


def test_the_core_nodes_id_is_in_use(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path))
    name = shared.ask_core_name()
    assert shared.refusal(request(name)).kind == "DuplicateInstanceIdAcrossStack"


def test_a_failed_record_gives_its_id_up_and_its_log_moves(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path, run_cmd=["sh", "-c", "echo first $$; exit 1"]))
    first = shared.refusal(request())
    second = shared.refusal(request())
    assert first.kind == second.kind == "CommandFailed"
    assert "first" in (shared.home / "logs/run/one.log.1").read_text()
    assert len(shared.node_row(NODE).instances) == 1


def test_ended_records_but_the_newest_ten_go_when_the_node_is_run_again(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path, run_cmd=["false"]))
    for number in range(13):
        shared.refusal(request(f"i{number}"))
    ids = [row.instance_id for row in shared.node_row(NODE).instances]
    assert ids == [f"i{number}" for number in range(2, 13)]


# --- ending ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "state", "status", "name"),
    [
        ("exit 0", "finished", 0, None),
        ("exit 3", "failed", 3, None),
        ("kill -KILL $$", "failed", None, "SIGKILL"),
    ],
)
def test_an_instance_that_ends_by_itself(
    shared: LivingDaemon, tmp_path: Path, command: str, state: str, status: int | None, name: str | None
):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    shared.run(shared.ready(make_node(tmp_path, run_cmd=["sh", "-c", f"cat {gate}; {command}"])), "one")
    gate.write_text("")
    row = ended(shared)
    assert (row.state, row.exit.status, row.exit.signal, row.exit.killed) == (state, status, name, False)
    assert row.exit.time is not None
    assert f"one of {NODE} {state}" in shared.stack_log()


def test_a_failed_instance_keeps_its_directory_and_a_finished_one_does_not(shared: LivingDaemon, tmp_path: Path):
    node = shared.ready(make_node(tmp_path))
    for name, number in (("bad", signal.SIGKILL), ("good", signal.SIGTERM)):
        pid = shared.run(node, name).pid
        os.kill(pid, number)
        ended(shared, name)
    assert (shared.home / "instances/bad").is_dir()
    shared.ask(NodeStop(("bad",)))
    assert (shared.home / "instances/bad").is_dir()


def test_what_an_ended_node_leaves_running_is_ended(shared: LivingDaemon, tmp_path: Path):
    gate, told = tmp_path / "gate", tmp_path / "told"
    os.mkfifo(gate)
    script = f"setsid sh -c 'echo $$ > {told}; exec sleep 1000' & cat {gate}"
    shared.run(shared.ready(make_node(tmp_path, run_cmd=["sh", "-c", script])), "one")
    pid = int(eventually(told.read_text))
    assert is_alive(pid)
    gate.write_text("")
    ended(shared)
    eventually(lambda: not is_alive(pid), "the end of what was left")


def test_an_id_is_free_when_no_process_of_it_is_left(shared: LivingDaemon, tmp_path: Path):
    told = tmp_path / "told"
    script = f"setsid sh -c 'trap \"\" TERM; echo $$ > {told}; while :; do sleep 1; done' & sleep 1.2"
    node = shared.ready(make_node(tmp_path, run_cmd=["sh", "-c", script]))
    shared.run(node, "one")
    ended(shared)
    pid = int(told.read_text())
    shared.run(node, "one")
    assert not is_alive(pid)


def test_a_running_node_that_does_not_answer_is_unhealthy_until_it_does(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_python_node(tmp_path)), "one")
    row = shared.instance_row("one")
    os.kill(row.pid, signal.SIGSTOP)
    try:
        eventually(lambda: not shared.instance_row("one").healthy, "the failed probe")
        assert "did not answer" in shared.stack_log()
        assert shared.instance_row("one").state == "running"
    finally:
        os.kill(row.pid, signal.SIGCONT)
    eventually(lambda: shared.instance_row("one").healthy, "the recovery")


def test_a_python_node_ends_by_itself_with_status_0(shared: LivingDaemon, tmp_path: Path):
    body = (
        "import asyncio\n"
        "async def later(runner):\n"
        "    await asyncio.sleep(0.05)\n"
        "    runner.cancellation_token().cancel()\n"
        "async def setup(params, runner):\n"
        "    return [asyncio.create_task(later(runner))]\n"
    )
    shared.run(shared.ready(make_python_node(tmp_path, body=body)), "one")
    assert ended(shared).state == "finished"
    assert sys.executable in log_of(shared)
