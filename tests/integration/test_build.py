"""`peppy node build` at a real daemon (docs/reference/daemon.md, Build)."""

import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

from living import LivingDaemon, configure, eventually, make_node, make_python_node, processes_of

from peppy.errors import PeppyError
from peppy.protocol.frames import Cancel, NodeBuild, Output

NODE = "echoer:0.1.0"
LINE = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\] (.*)")
SLOW = ("sh", "-c", "echo begun; exec sleep 1000")


def request(*, force: bool = False, timeout: float = 60.0, **variables: str) -> NodeBuild:
    return NodeBuild(NODE, force, False, {"PATH": os.environ["PATH"], **variables}, timeout)


def in_background(daemon: LivingDaemon, begun: threading.Event) -> tuple[threading.Thread, list[PeppyError]]:
    """Builds in a thread; `begun` is set with the first line of output."""
    errors: list[PeppyError] = []

    def build() -> None:
        try:
            daemon.ask(request(), lambda _: begun.set())
        except PeppyError as error:
            errors.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    assert begun.wait(60)
    return thread, errors


def test_a_built_node_is_ready_with_its_artifact(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=["touch", "made"]))
    answer = shared.build(NODE)
    row = shared.node_row(NODE)
    assert (row.stage, row.artifact_path) == ("Ready", answer.artifact)
    assert Path(answer.artifact) == shared.home / "built_nodes/echoer_0.1.0.tar.zst"
    assert Path(answer.artifact).is_file()


def test_the_output_of_the_command_comes_while_it_runs(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=["sh", "-c", "echo one; echo two >&2; read nothing; echo three"]))
    lines: list[Output] = []
    shared.ask(request(), lines.append)
    assert sorted((line.stream, line.text) for line in lines) == [
        ("stderr", "two"),
        ("stdout", "one"),
        ("stdout", "three"),
    ]


def test_the_build_log_has_header_lines_and_exit(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=["sh", "-c", "echo one"]))
    log = Path(shared.build(NODE).log)
    assert log.parent == shared.home / "logs/build"
    texts = [LINE.fullmatch(line)[1] for line in log.read_text().splitlines()]  # pyright: ignore
    snapshot = shared.home / "staging/echoer_0.1.0"
    assert texts == [
        f"Executing build_cmd: sh -c echo one (working_dir: {snapshot})",
        "[stdout] one",
        "Exited with status 0",
    ]


def test_a_node_without_build_cmd_is_archived_as_it_is(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path))
    assert Path(shared.build(NODE).artifact).is_file()


def test_one_element_runs_in_a_shell(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=["echo $((40 + 2))"]))
    lines: list[Output] = []
    shared.ask(request(), lines.append)
    assert [line.text for line in lines] == ["42"]


def test_variables_are_replaced_and_unknown_ones_stay(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=["echo", "${COLOUR}", "${UNKNOWN}"]))
    lines: list[Output] = []
    shared.ask(request(COLOUR="red"), lines.append)
    assert [line.text for line in lines] == ["red ${UNKNOWN}"]


def test_a_build_gets_the_environment_of_the_caller_and_ours(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=["env"]))
    lines: list[Output] = []
    shared.ask(request(COLOUR="red", PYTHONPATH="/x"), lines.append)
    environment = dict(line.text.partition("=")[::2] for line in lines)
    assert environment["COLOUR"] == "red"
    assert environment["PEPPY_HOME"] == str(shared.home)
    assert (environment["PEPPY_NODE_NAME"], environment["PEPPY_NODE_TAG"]) == ("echoer", "0.1.0")
    assert environment["UV_NO_EDITABLE"] == "1"
    assert "PYTHONPATH" not in environment


def test_a_forbidden_variable_is_refused(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path))
    error = shared.refusal(request(LD_PRELOAD="/x.so"))
    assert error.kind == "EnvVarForbidden"
    assert "LD_PRELOAD" in error.message
    assert shared.node_row(NODE).stage == "Added"


def test_a_failing_command_leaves_the_node_added(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=["sh", "-c", "echo no luck >&2; exit 3"]))
    error = shared.refusal(request())
    assert error.kind == "CommandFailed"
    assert "exit status 3" in error.message
    assert "no luck" in error.message
    log = shared.ask_logs(NODE, "build")
    assert log in (error.hint or "")
    row = shared.node_row(NODE)
    assert (row.stage, row.artifact_path) == ("Added", None)
    assert Path(row.config_path).is_dir()


def test_a_command_that_is_not_there_is_named(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=["no-such-program", "x"]))
    error = shared.refusal(request())
    assert "`no-such-program` not found" in error.message
    assert "install `no-such-program`" in (error.hint or "")
    assert shared.node_row(NODE).stage == "Added"


def test_a_shell_that_does_not_find_a_command_says_so(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=["no-such-program"]))
    error = shared.refusal(request())
    assert "command not found (exit status 127)" in error.message
    assert "--toolchain pip" in (error.hint or "")


def test_a_ready_node_is_not_built_again(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path))
    error = shared.refusal(request())
    assert error.message == f"`{NODE}` is in stage `Ready`; cannot build"
    assert "--force" in (error.hint or "")


def test_a_ready_node_is_skipped_if_that_is_wanted(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path))
    answer = shared.build(NODE, if_needed=True)
    assert (answer.skipped, answer.log) == (True, None)


def test_a_failed_forced_build_keeps_the_old_artifact(shared: LivingDaemon, tmp_path: Path):
    node = shared.ready(make_node(tmp_path, build_cmd=["sh", "-c", "[ ! -e again ] && touch again"]))
    before = Path(shared.node_row(node).artifact_path).read_bytes()
    assert shared.refusal(request(force=True)).kind == "CommandFailed"
    row = shared.node_row(node)
    assert row.stage == "Ready"
    assert Path(row.artifact_path).read_bytes() == before
    assert shared.run(node, "one").instance_id == "one"


def test_a_forced_build_makes_a_new_artifact(shared: LivingDaemon, tmp_path: Path):
    node = shared.ready(make_node(tmp_path, build_cmd=["sh", "-c", "date +%N > stamp"]))
    before = Path(shared.node_row(node).artifact_path).read_bytes()
    shared.build(node, force=True)
    assert Path(shared.node_row(node).artifact_path).read_bytes() != before
    assert len(list((shared.home / "cache/artifacts").iterdir())) == 1


def test_a_second_build_of_a_node_is_busy(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=SLOW))
    begun = threading.Event()
    thread, errors = in_background(shared, begun)
    error = shared.refusal(request())
    assert error.kind == "Busy"
    assert re.fullmatch(rf"`{NODE}` is busy: build has been running for \d+ s, \d+ s to its limit", error.message)
    assert "--force" in (error.hint or "")
    assert shared.node_row(NODE).stage == "Building"
    assert shared.refusal(request(force=True, timeout=0.5)).kind == "Timeout"
    thread.join()
    assert [error.kind for error in errors] == ["Aborted"]


def test_a_cancelled_build_ends_with_all_its_processes(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=["sh", "-c", "(trap '' TERM; sleep 1000) & echo begun; wait"]))
    before = set(processes_of(shared.home))
    with shared.client() as client:
        connection = client._connection  # pyright: ignore[reportPrivateUsage]
        connection.send(request(), 7)
        while not isinstance(connection.receive(60).frame, Output):
            pass
        assert set(processes_of(shared.home)) > before
        connection.send(Cancel(), 7)
        answer = connection.receive(60).frame
    assert (type(answer).__name__, getattr(answer, "kind", None)) == ("Failed", "Aborted")
    assert set(processes_of(shared.home)) == before
    assert shared.node_row(NODE).stage == "Added"


def test_a_build_over_its_total_limit_is_cancelled(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=SLOW))
    error = shared.refusal(request(timeout=0.3))
    assert error.kind == "Timeout"
    assert "`--timeout`" in (error.hint or "")
    assert shared.node_row(NODE).stage == "Added"


def test_a_silent_build_is_cancelled(new_daemon: Callable[..., LivingDaemon], tmp_path: Path):
    daemon = new_daemon()
    configure(daemon.home, "{operations: {idle_timeout_secs: 1}}")
    daemon.start()
    daemon.add(make_node(tmp_path, build_cmd=["sleep", "1000"]))
    error = daemon.refusal(request())
    assert error.kind == "Timeout"
    assert "operations.idle_timeout_secs" in (error.hint or "")


def test_a_client_that_goes_away_does_not_cancel_its_build(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, build_cmd=["sh", "-c", f"echo begun; cat {tmp_path}/go"]))
    os.mkfifo(tmp_path / "go")
    with shared.client() as client:
        connection = client._connection  # pyright: ignore[reportPrivateUsage]
        connection.send(request(), 1)
        while not isinstance(connection.receive(60).frame, Output):
            pass
    assert shared.node_row(NODE).stage == "Building"
    (tmp_path / "go").write_text("")
    eventually(lambda: shared.node_row(NODE).stage == "Ready", "the build")


def test_what_a_build_leaves_running_is_ended(shared: LivingDaemon, tmp_path: Path):
    before = set(processes_of(shared.home))
    shared.ready(make_node(tmp_path, build_cmd=["sh", "-c", "sleep 1000 & echo done"]))
    assert set(processes_of(shared.home)) == before


def test_an_unknown_node_is_not_found_and_the_nearest_is_named(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path))
    error = shared.refusal(NodeBuild("echoe:0.1.0", False, False, {}, 60.0))
    assert error.kind == "NotFound"
    assert f"nearest is `{NODE}`" in error.message


def test_a_library_that_names_another_wheel_is_made_anew(shared: LivingDaemon, tmp_path: Path):
    node = shared.add(make_python_node(tmp_path)).node
    project = Path(shared.node_row(node).config_path, ".peppy/libs/peppygen/pyproject.toml")
    text = project.read_text()
    project.write_text(text.replace("peppy_stack-", "older-"))
    shared.build(node)
    assert project.read_text() == text
