"""What commands ask of the daemon and print, with a scripted daemon on a real socket."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from peppy.errors import PeppyError
from peppy.protocol import answers, frames
from peppy.protocol.answers import Answer, InstanceRow, NodeRow, Stack
from peppy.protocol.frames import Frame

from .running import PROGRAM, WATCHDOG_SECS, environment_of, on_terminal, peppy
from .scripted import Say, ScriptedDaemon

NODE = "hello_world:0.1.0"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root below the home directory of its user, so that paths are shortened."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".peppy"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A node's directory."""
    made = tmp_path / "hello_world"
    made.mkdir()
    (made / "peppy.json5").write_text(
        '{ peppy_schema: "node_v1", manifest: { name: "hello_world", tag: "0.1.0" },'
        ' execution: { language: "python", run_cmd: ["true"] } }'
    )
    return made


def synced(home: Path) -> answers.Synced:
    return answers.Synced(f"{home.parent}/hello_world", "ab" * 32, (), (), {"emitted_topics": 1}, ("be warned",))


def added(home: Path) -> answers.Added:
    return answers.Added(NODE, "default", f"{home}/logs/add/a.log", (NODE,))


def built(home: Path, *, skipped: bool = False) -> answers.Built:
    log = None if skipped else f"{home}/logs/build/b.log"
    return answers.Built(NODE, log, f"{home}/built_nodes/hello_world_0.1.0.tar.zst", skipped)


def started(home: Path) -> answers.Started:
    return answers.Started(NODE, "base", 4711, f"{home}/logs/run/base.log", {})


def stack_with(*states: str) -> Stack:
    rows = tuple(InstanceRow(f"base-{place}", state, None, 1, None, {}) for place, state in enumerate(states))
    return Stack((NodeRow("hello_world", "0.1.0", "Ready", "default", None, None, rows),), (), ())


def chain(home: Path) -> dict[type[Frame], Answer]:
    return {
        frames.NodeSync: synced(home),
        frames.NodeAdd: added(home),
        frames.NodeBuild: built(home),
        frames.NodeRun: started(home),
    }


CHAIN_LINES = [
    "Synced node interfaces at ~/hello_world",
    "Adding node from ~/hello_world...",
    "Log file: ~/.peppy/logs/add/a.log",
    f"Added node {NODE} to the node stack",
    f"Building node {NODE}...",
    "Log file: ~/.peppy/logs/build/b.log",
    f"Built node {NODE}. Artifact: ~/.peppy/built_nodes/hello_world_0.1.0.tar.zst",
    f"Running node {NODE}...",
    "Log file: ~/.peppy/logs/run/base.log",
    f"Started instance base of {NODE} (pid: 4711)",
]


def test_the_chain_prints_the_lines_of_each_step_in_order(home: Path, directory: Path) -> None:
    with ScriptedDaemon(home, chain(home)) as daemon:
        answer = peppy("node", "add", str(directory), "-sbr", "rate=3", "-i", "base", "--bind", "a@b,c@d", home=home)
    assert answer.returncode == 0
    assert answer.stderr.splitlines() == [
        "[WARNING] be warned",
        "[INFO] ~/hello_world/.peppy holds generated modules: 1 in emitted_topics",
    ]
    assert answer.stdout.splitlines() == CHAIN_LINES
    assert [type(frame) for frame in daemon.asked] == list(chain(home))
    (run,) = daemon.requests(frames.NodeRun)
    assert isinstance(run, frames.NodeRun)
    assert (run.node, run.instance_id) == (NODE, "base")
    assert (run.arguments, run.bindings) == ((("rate", "3"),), (("a", "b"), ("c", "d")))


def test_the_chain_stops_at_the_first_failure(home: Path, directory: Path) -> None:
    replies = {**chain(home), frames.NodeBuild: PeppyError("`uv sync` failed: exit status 2", kind="CommandFailed")}
    with ScriptedDaemon(home, replies) as daemon:
        answer = peppy("node", "add", "-r", str(directory), home=home)
    assert answer.returncode == 1
    assert answer.stdout.splitlines() == CHAIN_LINES[1:5]
    assert answer.stderr == "[ERROR] CommandFailed: `uv sync` failed: exit status 2\n"
    assert not daemon.requests(frames.NodeRun)


def test_the_chain_in_json_is_one_object_with_absolute_paths(home: Path, directory: Path) -> None:
    with ScriptedDaemon(home, chain(home)):
        answer = peppy("node", "add", "-sr", str(directory), "--json", home=home)
    envelope = json.loads(answer.stdout)
    assert envelope["warnings"] == ["be warned"]
    assert envelope["data"] == {
        "node": NODE,
        "variant": "default",
        "log": f"{home}/logs/add/a.log",
        "added": [NODE],
        "build": {
            "node": NODE,
            "log": f"{home}/logs/build/b.log",
            "artifact": f"{home}/built_nodes/hello_world_0.1.0.tar.zst",
        },
        "run": {"node": NODE, "instance_id": "base", "pid": 4711, "log": f"{home}/logs/run/base.log", "bindings": {}},
    }


def test_variables_on_the_deny_list_stay_here(home: Path) -> None:
    with ScriptedDaemon(home, chain(home)) as daemon:
        peppy("node", "build", NODE, home=home, BASH_ENV="/tmp/rc", ROBOT="yes")
    (build,) = daemon.requests(frames.NodeBuild)
    assert isinstance(build, frames.NodeBuild)
    assert "BASH_ENV" not in build.environment
    assert build.environment["ROBOT"] == "yes"


@pytest.mark.parametrize(("skipped", "note"), [(True, "build skipped"), (False, "")])
def test_run_builds_first_when_that_is_needed(skipped: bool, note: str, home: Path) -> None:
    replies = {**chain(home), frames.NodeBuild: built(home, skipped=skipped)}
    with ScriptedDaemon(home, replies) as daemon:
        answer = peppy("node", "run", NODE, "-b", home=home)
    assert answer.returncode == 0
    assert note in answer.stderr
    assert answer.stdout.splitlines() == CHAIN_LINES[7 if skipped else 4 :]
    assert [type(frame) for frame in daemon.asked] == [frames.NodeBuild, frames.NodeRun]


def details_with(sha256: str) -> answers.NodeDetails:
    nothing = answers.Members((), (), ())
    logs = answers.Logs(None, None, {})
    return answers.NodeDetails(
        "hello_world", "0.1.0", "python", (), None, ("true",), None, "Ready", "default", (), logs, (), nothing, nothing,
        sha256, (),
    )  # fmt: skip


def test_a_directory_names_the_node_and_a_change_in_it_is_told(home: Path, directory: Path) -> None:
    replies = {**chain(home), frames.NodeInfo: details_with("0" * 64)}
    with ScriptedDaemon(home, replies) as daemon:
        answer = peppy("node", "run", f"{directory}/", home=home)
    assert answer.returncode == 0
    assert answer.stderr.startswith(f"[WARNING] `{directory}/` differs from `{NODE}` in the stack")
    assert [frame.node for frame in daemon.asked if isinstance(frame, frames.NodeRun)] == [NODE]


def test_a_directory_without_manifest_is_refused_before_anything_is_asked(home: Path, tmp_path: Path) -> None:
    answer = peppy("node", "run", f"{tmp_path}/", home=home)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"[ERROR] DocumentMissing: no peppy.json5 in `{tmp_path}`")


def test_name_and_tag_may_be_given_apart(home: Path) -> None:
    with ScriptedDaemon(home, chain(home)) as daemon:
        peppy("node", "run", "--node-name", "hello_world", "--tag", "0.1.0", "x=1", home=home)
    assert [(frame.node, frame.arguments) for frame in daemon.asked if isinstance(frame, frames.NodeRun)] == [
        (NODE, (("x", "1"),))
    ]


def test_stopping_tells_who_was_killed_and_who_had_ended(home: Path) -> None:
    stopped = answers.Stopped(
        (
            answers.StoppedInstance("a", False),
            answers.StoppedInstance("b", True),
            answers.StoppedInstance("c", False, "failed"),
        )
    )
    with ScriptedDaemon(home, {frames.NodeStop: stopped}) as daemon:
        answer = peppy("node", "stop", "a", "b", "c", "a", home=home)
    assert answer.returncode == 0
    assert answer.stdout.splitlines() == ["Stopped instance a", "Stopped instance b (killed)"]
    assert [line.partition(" ")[0] for line in answer.stderr.splitlines()] == ["[WARNING]", "[WARNING]"]
    assert daemon.asked == [frames.NodeStop(("a", "b", "c"))]


def refusing_until_allowed(
    allowed: Callable[[Frame], bool], flag: str, answer: Answer
) -> Callable[[Frame, Say], object]:
    refusal = PeppyError(f"`{NODE}` has live instances: `base-0`", kind="Refused", hint=f"use `{flag}`")
    return lambda request, _say: answer if allowed(request) else refusal


def removing(home: Path) -> ScriptedDaemon:
    reply = refusing_until_allowed(
        lambda request: isinstance(request, frames.NodeRemove) and request.stop_instances,
        "--stop-instances",
        answers.Removed(NODE, ("base-0",)),
    )
    return ScriptedDaemon(home, {frames.NodeRemove: reply, frames.StackList: stack_with("running", "failed")})


def answered(home: Path, typed: bytes) -> tuple[str, int]:
    """`node remove` on a terminal where a person types an answer."""
    return on_terminal("node", "remove", NODE, home=home, typed=typed)


@pytest.mark.parametrize("typed", [b"y\n", b"YES\n"])
def test_a_person_who_says_yes_goes_on(typed: bytes, home: Path) -> None:
    with removing(home) as daemon:
        text, code = answered(home, typed)
    assert code == 0
    assert f"Removing `{NODE}` stops `base-0`. Go on? [y/N]" in text
    assert f"Removed node {NODE} from the node stack" in text
    assert len(daemon.requests(frames.NodeRemove)) == 2


@pytest.mark.parametrize("typed", [b"n\n", b"\n", b"yess\n"])
def test_any_other_answer_aborts(typed: bytes, home: Path) -> None:
    with removing(home) as daemon:
        text, code = answered(home, typed)
    assert code == 1
    assert "aborted by user" in text
    assert len(daemon.requests(frames.NodeRemove)) == 1


def test_without_a_terminal_the_answer_is_no_and_the_flag_is_named(home: Path) -> None:
    with removing(home) as daemon:
        answer = peppy("node", "remove", NODE, home=home)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == (f"[ERROR] Refused: `{NODE}` has live instances: `base-0`\nhint: use `--stop-instances`\n")
    assert len(daemon.asked) == 1


def test_the_flag_answers_beforehand(home: Path) -> None:
    with removing(home) as daemon:
        assert peppy("node", "remove", NODE, "--stop-instances", home=home).returncode == 0
    assert daemon.asked == [frames.NodeRemove(NODE, False, True)]


def test_the_end_of_input_is_a_no_on_a_line_of_its_own(home: Path) -> None:
    with removing(home):
        text, code = answered(home, b"\x04")
    assert code == 1
    assert "Go on? [y/N] \n\x1b[31m[ERROR]\x1b[0m Aborted: aborted by user\n" in text


def test_another_refusal_asks_nobody(home: Path) -> None:
    refusal = PeppyError(f"`{NODE}` is needed by `a:v1`", kind="Refused", hint="remove those first, or use `--force`")
    with ScriptedDaemon(home, {frames.NodeRemove: refusal}):
        text, code = answered(home, b"")
    assert code == 1
    assert "Go on?" not in text


def test_live_output_of_a_build_leaves_a_terminal_clean(home: Path) -> None:
    def build(_request: Frame, say: Say) -> Answer:
        for number in range(30):
            say("stdout", f"compiling {number}")
        say("warning", "the cache is cold")
        return built(home)

    with ScriptedDaemon(home, {frames.NodeBuild: build}):
        text, code = on_terminal("node", "build", NODE, home=home)
    assert code == 0
    assert text.rstrip("\n").split("\x1b[J")[-1].splitlines()[-2:] == CHAIN_LINES[5:7]
    assert "\x1b[33m[WARNING]\x1b[0m the cache is cold" in text


def test_the_first_interrupt_cancels_in_the_daemon_and_exits_with_130(home: Path) -> None:
    with ScriptedDaemon(home, {frames.NodeBuild: lambda _request, say: say("info", "begun")}) as daemon:  # type: ignore[func-returns-value]
        given = environment_of(home, {})
        with subprocess.Popen(
            [*PROGRAM, "node", "build", NODE], env=given, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert process.stderr.readline() == "[INFO] begun\n"
            os.kill(process.pid, signal.SIGINT)
            _, rest = process.communicate(timeout=WATCHDOG_SECS)
    assert process.returncode == 130
    assert rest == "[ERROR] Aborted: interrupted\n"
    assert [type(frame) for frame in daemon.asked] == [frames.NodeBuild, frames.Cancel]


RUN_LOG = (
    "[2026-02-17T10:15:23.599] Executing run_cmd: true (working_dir: /x)\n"
    "[2026-02-17T10:15:23.837] [stdout] hello world count 1\n"
    "[2026-02-17T10:15:29.852] Exited with status {status}\n"
)


def run_log(home: Path, status: int) -> Path:
    log = home / "logs" / "run" / "base.log"
    log.parent.mkdir(parents=True)
    log.write_text(RUN_LOG.format(status=status))
    return log


def stack_of_base(state: str) -> Stack:
    row = InstanceRow("base", state, None, 1, None, {})
    return Stack((NodeRow("hello_world", "0.1.0", "Ready", "default", None, None, (row,)),), (), ())


@pytest.mark.parametrize(("state", "status", "code"), [("finished", 0, 0), ("failed", 3, 1)])
def test_following_a_run_ends_as_the_instance_does(state: str, status: int, code: int, home: Path) -> None:
    log = run_log(home, status)
    with ScriptedDaemon(home, {**chain(home), frames.StackList: stack_of_base(state)}):
        answer = peppy("node", "run", NODE, "-f", home=home)
    assert answer.returncode == code
    assert answer.stdout.endswith(log.read_text())


def test_a_log_is_printed_as_it_is(home: Path) -> None:
    log = run_log(home, 0)
    with ScriptedDaemon(home, {frames.NodeLogs: answers.LogPlace(str(log), False, "base")}) as daemon:
        answer = peppy("node", "logs", "base", home=home)
    assert answer.stdout == log.read_text()
    assert daemon.asked == [frames.NodeLogs("base", "run")]


def test_the_last_lines_of_a_log_as_json(home: Path) -> None:
    log = run_log(home, 0)
    with ScriptedDaemon(home, {frames.NodeLogs: answers.LogPlace(str(log), False, None)}):
        answer = peppy("node", "logs", NODE, "--build", "-n", "1", "--json", home=home, TZ="UTC")
    assert json.loads(answer.stdout)["data"] == {
        "log": str(log),
        "lines": [{"time": "2026-02-17T10:15:29.852+00:00", "stream": None, "text": "Exited with status 0"}],
    }


def test_a_followed_log_is_one_object_per_line(home: Path) -> None:
    log = run_log(home, 0)
    with ScriptedDaemon(home, {frames.NodeLogs: answers.LogPlace(str(log), True, "base")}):
        answer = peppy("node", "logs", "base", "-f", "--json", home=home, TZ="UTC")
    assert answer.returncode == 0
    assert [json.loads(line)["stream"] for line in answer.stdout.splitlines()] == [None, "stdout", None]


def test_a_log_that_is_gone_is_named(home: Path) -> None:
    home.mkdir()
    with ScriptedDaemon(home, {frames.NodeLogs: answers.LogPlace(f"{home}/gone.log", False, "base")}):
        answer = peppy("node", "logs", "base", home=home)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"[ERROR] NotFound: the log `{home}/gone.log` cannot be read: ")


def test_a_narrow_terminal_gets_a_narrow_table(home: Path) -> None:
    row = NodeRow("hello_world", "0.1.0", "Ready", "default", None, f"{home}/built_nodes/{'deep' * 9}.tar.zst", ())
    with ScriptedDaemon(home, {frames.StackList: Stack((row,), (), ())}):
        text, _ = on_terminal("stack", "list", home=home, columns=80)
        piped = peppy("stack", "list", home=home).stdout
    assert max(map(len, text.splitlines())) <= 80
    assert f"{home}/built_nodes" in piped


def test_only_terminals_get_colours(home: Path) -> None:
    with ScriptedDaemon(home, {frames.NodePrune: PeppyError("no", kind="NotFound", hint="look")}):
        coloured, _ = on_terminal("node", "prune", home=home)
        plain, _ = on_terminal("node", "prune", home=home, NO_COLOR="1")
    assert coloured == "\x1b[31m[ERROR]\x1b[0m NotFound: no\n\x1b[36mhint:\x1b[0m look\n"
    assert plain == "[ERROR] NotFound: no\nhint: look\n"


def test_a_reader_that_leaves_early_sees_no_complaint(home: Path) -> None:
    with ScriptedDaemon(home, {frames.StackList: stack_with(*["running"] * 3)}):
        command = f"{' '.join(PROGRAM)} stack list | true"
        answer = subprocess.run(
            ["sh", "-c", command], env=environment_of(home, {}), capture_output=True, text=True, check=False
        )
    assert answer.stderr == ""


def information() -> answers.Information:
    return answers.Information("0.1.0", "core-node-a", "core-node-a", "robot", "/x/run/daemon.sock", 4120, 12.4, 3)


def test_info_tells_about_program_and_daemon(home: Path) -> None:
    with ScriptedDaemon(home, {frames.Info: information()}):
        answer = peppy("info", home=home)
    lines = answer.stdout.splitlines()
    assert lines[0] == "Peppy client info"
    assert lines[2] == f"  Data root: {home}"
    assert lines[5:] == [
        "Daemon Info",
        "  Version:               0.1.0",
        "  Core node name:        core-node-a",
        "  Core node instance ID: core-node-a",
        "  Host name:             robot",
        "  Socket:                /x/run/daemon.sock",
        "  Uptime:                12s",
        "  Node count:            3",
    ]


def test_the_status_of_a_running_daemon_is_a_success(home: Path) -> None:
    with ScriptedDaemon(home, {frames.Info: information()}):
        answer = peppy("service", "status", home=home)
    assert answer.returncode == 0
    assert answer.stdout.splitlines() == [
        "running",
        "  Pid:     4120",
        "  Version: 0.1.0",
        "  Uptime:  12s",
        "  Unit:    not installed",
    ]


def test_without_a_daemon_status_and_info_say_so_and_start_none(home: Path) -> None:
    status = peppy("service", "status", home=home, PEPPY_NO_AUTOSTART="")
    info = peppy("info", home=home, PEPPY_NO_AUTOSTART="")
    assert (status.returncode, status.stdout, status.stderr) == (1, "not running\n", "")
    assert (info.returncode, info.stdout.splitlines()[-1], info.stderr) == (1, "  not running", "")
    assert not home.exists()


def test_stopping_what_does_not_run_is_no_failure(home: Path) -> None:
    answer = peppy("service", "stop", home=home)
    assert (answer.returncode, answer.stdout) == (0, "Daemon not running\n")


def test_the_stack_in_json_names_edges_from_and_to(home: Path) -> None:
    stack = Stack((), (), (answers.Edge("a:v1", "b:v1", None, True),))
    with ScriptedDaemon(home, {frames.StackList: stack}):
        answer = peppy("stack", "list", "--json", home=home)
    assert json.loads(answer.stdout)["data"] == {
        "nodes": [],
        "standalone": [],
        "edges": [{"from": "a:v1", "to": "b:v1", "via_interface": None, "missing": True}],
    }


def test_an_interrupted_follower_leaves_the_instance_running(home: Path) -> None:
    log = home / "logs" / "run" / "base.log"
    log.parent.mkdir(parents=True)
    log.write_text(RUN_LOG.partition("[2026-02-17T10:15:29")[0])
    with ScriptedDaemon(home, chain(home)) as daemon:
        command = [*PROGRAM, "node", "run", NODE, "-f"]
        with subprocess.Popen(
            command, env=environment_of(home, {}), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            while "count 1" not in process.stdout.readline():
                pass
            os.kill(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=WATCHDOG_SECS)
    assert (process.returncode, err) == (0, "[INFO] instance base keeps running\n")
    assert not daemon.requests(frames.Cancel)
