"""Standalone programs (docs/reference/node_api.md, Standalone mode; bindings.md, cases 42, 44, 45)."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from living import WATCHDOG_SECS, LivingDaemon, assert_nothing_is_left, eventually
from programs import Robot, environment, rows, run, sync
from telling import write_listener, write_talker

from peppy.protocol.frames import NodeLogs, NodeRun, NodeStop, TopicInfo, TopicList

DEPTH = 64
"""Of `standard` topics, in the configuration of the daemon under test."""

BEGIN = """
import asyncio, sys
sys.path.insert(0, ".peppy/libs/peppygen")
from peppygen import NodeBuilder, NodeRunner, StandaloneConfig
config = StandaloneConfig().with_parameters({"control": "", "harness": ""})
"""
"""What the programs below begin with."""


class Terminal(Robot):
    """A daemon with the nodes talker and listener, and a person who starts them with and without it."""

    def __init__(self, directory: Path) -> None:
        sources = write_talker(directory), write_listener(directory)
        super().__init__(directory, *sources, configuration=f"{{ topics: {{ depth: {{ standard: {DEPTH} }} }} }}")
        for source in sources:
            sync(self.daemon, source)

    def runs(self, code: str, node: str = "talker") -> "subprocess.CompletedProcess[str]":
        """A whole run of a program that ends by itself."""
        process = run(self.daemon.home, self.sources[node], BEGIN + code)
        output, errors = process.communicate(timeout=WATCHDOG_SECS)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


@pytest.fixture(scope="module")
def _terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path_factory.mktemp("t"))
    yield terminal
    terminal.close()
    assert_nothing_is_left(terminal.daemon.home)


@pytest.fixture
def terminal(_terminal: Terminal) -> Iterator[Terminal]:
    yield _terminal
    _terminal.tidy()


def messages(listener: Any, count: int, number: int = 0) -> list[tuple[str, int]]:
    """The next messages of a subscription, sorted: producer and message number."""
    found = [listener.call("next", number=number) for _ in range(count)]
    return sorted((producer, message) for producer, message, whole in found if whole)


# --- who it is -------------------------------------------------------------------------------------------------------


def test_a_program_knows_who_it_is(terminal: Terminal):
    tell = """
def setup(params, runner):
    print(runner.bound_instance_id(), runner.node_name(), runner.node_tag(), runner.bound_core_node())
    print(runner.pinned_target_for("main"))
    runner.cancellation_token().cancel()
NodeBuilder().standalone(config{more}).run(setup)
"""
    done = terminal.runs(tell.format(more=""), "listener")
    assert (done.returncode, done.stderr) == (0, "[INFO] joined the stack as `standalone`\n")
    assert done.stdout == "standalone listener v1 standalone-core\nNone\n"
    done = terminal.runs(tell.format(more=".with_instance_id('eye').with_node_name('other')"), "listener")
    assert done.stdout == "eye other v1 standalone-core\nNone\n"


def test_programs_get_the_next_free_id(terminal: Terminal):
    for _ in range(3):
        terminal.program("talker")
    terminal.program("talker", ".with_instance_id('mine')")
    assert rows(terminal.daemon) == dict.fromkeys(("mine", "standalone", "standalone-2", "standalone-3"), "talker:v1")
    terminal.programs[1].close()
    eventually(lambda: "standalone-2" not in rows(terminal.daemon))
    terminal.program("talker")
    assert "standalone-2" in rows(terminal.daemon)


def test_case_45_an_id_in_use_is_a_startup_error_and_its_owner_goes_on(terminal: Terminal):
    talker, listener = terminal.instance("talker", "c1"), terminal.program("listener")
    done = terminal.runs("NodeBuilder().standalone(config.with_instance_id('c1')).run(lambda params, runner: None)")
    assert done.returncode == 1
    assert "NodeStartupError: the id `c1` is in use by an instance of `talker:v1`\nhint: " in done.stderr
    listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain")
    assert listener.call("next") == ["c1", 1, True]
    assert terminal.daemon.instance_row("c1").healthy


def test_the_id_of_a_connected_program_is_taken_from_instances_too(terminal: Terminal):
    terminal.program("talker", ".with_instance_id('s1')")
    error = terminal.daemon.refusal(NodeRun("talker:v1", "s1", (("control", "x"), ("harness", "x")), (), {}, 60.0))
    assert error.kind == "DuplicateInstanceIdAcrossStack"
    assert "`s1` is in use by a standalone program of `talker:v1`" in error.message
    for request in (NodeStop(("s1",)), NodeLogs("s1", "run")):
        assert "`s1` is a standalone program" in terminal.daemon.refusal(request).message


def test_missing_parameters_are_named(terminal: Terminal):
    done = terminal.runs("NodeBuilder().run(lambda params, runner: None)")
    assert done.returncode == 1
    assert done.stderr.endswith(
        "missing required parameter(s) for standalone mode: control, harness\n"
        "hint: give them with `StandaloneConfig().with_parameters()`\n"
    )
    caught = "try:\n    NodeBuilder().run(lambda params, runner: None)\nexcept RuntimeError:\n    print('caught')"
    assert terminal.runs(caught).stdout == "caught\n"


def test_a_program_has_the_settings_of_the_daemon(terminal: Terminal):
    talker = terminal.program("talker")
    talker.call("publish", topic="plain")
    assert terminal.daemon.ask(TopicInfo("standalone/plain")).depth == DEPTH


def test_an_outdated_generated_library_is_no_obstacle(terminal: Terminal):
    manifest = terminal.sources["talker"] / "peppy.json5"
    text = manifest.read_text()
    manifest.write_text(f"{text}// changed\n")
    try:
        terminal.program("talker")
    finally:
        manifest.write_text(text)


# --- topics ----------------------------------------------------------------------------------------------------------


def test_case_42_every_slot_takes_everybody(terminal: Terminal):
    talkers = terminal.instance("talker", "c1"), terminal.program("talker", ".with_instance_id('c2')")
    listener = terminal.program("listener")
    for topic in ("main_plain", "rest_plain"):
        listener.call("subscribe", topic=topic)
    for talker in talkers:
        talker.call("publish", topic="plain")
    for number in (0, 1):
        assert messages(listener, 2, number) == [("c1", 1), ("c2", 1)]


def test_case_44_an_instance_is_bound_to_a_program_also_after_its_restart(terminal: Terminal):
    talker = terminal.program("talker", ".with_instance_id('s1')")
    listener = terminal.instance("listener", "l1", "main@s1")
    listener.call("subscribe", topic="main_plain")
    listener.call("subscribe", topic="rest_plain")
    talker.call("publish", topic="plain")
    assert listener.call("next") == ["s1", 1, True]
    assert talker.ends(signal.SIGINT) == (0, "")
    other = terminal.program("talker", ".with_instance_id('s2')")
    talker = terminal.program("talker", ".with_instance_id('s1')")
    for program in (talker, other):
        program.call("publish", topic="plain")
    assert listener.call("next") == ["s1", 1, True]
    assert listener.call("next", number=1) == ["s2", 1, True]


def test_a_program_of_another_node_or_that_is_not_connected_cannot_be_bound(terminal: Terminal):
    terminal.program("talker", ".with_instance_id('s1').with_node_name('mic')")
    arguments = (("control", "x"), ("harness", "x"))
    for value, kind in (("s1", "BindingTargetMismatch"), ("s2", "UnknownInstanceId")):
        error = terminal.daemon.refusal(NodeRun("listener:v1", "l1", arguments, (("main", value),), {}, 60.0))
        assert error.kind == kind
    assert "running instances: `s1`" in error.message


def test_stack_list_shows_programs_in_the_bindings_table_only(terminal: Terminal):
    program = terminal.program("talker", ".with_instance_id('s1').with_node_name('mic')")
    text = terminal.peppy("stack", "list").stdout
    (row,) = [line for line in text.splitlines() if "s1" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["mic:v1", "s1", "standalone", "-", "(any)"]
    assert text.count("mic:v1") == 1
    data = json.loads(terminal.peppy("stack", "list", "--json").stdout)["data"]
    assert data["standalone"] == [{"instance_id": "s1", "node": "mic:v1", "pid": program.pid}]


def test_topics_of_a_program_are_seen_although_its_node_is_not_in_the_stack(terminal: Terminal):
    talker = terminal.program("talker", ".with_instance_id('s1').with_node_name('mic')")
    assert terminal.daemon.ask(TopicList()).topics == ()
    talker.call("publish", topic="plain", count=3)
    (row,) = terminal.daemon.ask(TopicList()).topics
    assert (row.address, row.node, row.qos, row.published) == ("s1/plain", "mic:v1", "Standard", 3)
    assert "number: u64" in terminal.peppy("topic", "info", "s1/plain").stdout
    echo = subprocess.Popen(
        [sys.executable, "-m", "peppy.cli", "topic", "echo", "plain", "-n", "1"],
        env=terminal.daemon.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: talker.call("stats", topic="plain")["readers"] == 1)
    talker.call("publish", topic="plain")
    assert "number: 4" in echo.communicate(timeout=WATCHDOG_SECS)[0]


# --- its life --------------------------------------------------------------------------------------------------------

HOOKS = """
async def setup(params, runner):
    runner.on_shutdown(lambda: print("hook"))
    asyncio.create_task(live())
async def live():
    print("up", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("cancelled")
NodeBuilder().standalone(config).run(setup)
print("returned")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_runs_the_shutdown_sequence(terminal: Terminal, number: signal.Signals):
    process = run(terminal.daemon.home, terminal.sources["talker"], BEGIN + HOOKS)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    assert rows(terminal.daemon) == {"standalone": "talker:v1"}
    process.send_signal(number)
    assert process.communicate(timeout=WATCHDOG_SECS) == (
        "cancelled\nhook\nreturned\n",
        "[INFO] joined the stack as `standalone`\n",
    )
    assert process.returncode == 0
    eventually(lambda: not rows(terminal.daemon))


STUBBORN = """
import time
async def setup(params, runner):
    asyncio.get_running_loop().call_soon(stay)
    print("up", flush=True)
def stay():
    while True:
        time.sleep(0.01)
NodeBuilder().standalone(config).run(setup)
"""


def test_a_program_that_does_not_end_is_ended_by_a_later_signal(terminal: Terminal):
    process = run(terminal.daemon.home, terminal.sources["talker"], BEGIN + STUBBORN)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stderr.readline().startswith("[INFO] joined the stack as ")
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    said = process.stderr.readline()
    assert said == "[WARNING] still ending: its event loop is blocked; Ctrl-C again ends the program at once\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WATCHDOG_SECS)
    assert process.returncode == -signal.SIGINT


def test_a_killed_program_gives_its_id_up(terminal: Terminal):
    talker = terminal.program("talker")
    talker.ends(signal.SIGKILL)
    eventually(lambda: not rows(terminal.daemon))
    terminal.program("talker")
    assert list(rows(terminal.daemon)) == ["standalone"]


def test_a_program_goes_on_without_the_daemon_and_comes_back_under_its_id(terminal: Terminal):
    talker, listener = terminal.program("talker"), terminal.program("listener")
    bound = terminal.instance("listener", "l1", "main@standalone")
    for reader in (listener, bound):
        reader.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain")
    for reader in (listener, bound):
        assert reader.call("next") == ["standalone", 1, True]
    terminal.daemon.kill()
    talker.call("publish", topic="plain", count=10)
    for reader in (listener, bound):
        assert [number for _, number, _ in reader.call("take_until", last=11)] == list(range(2, 12))
    terminal.daemon.start()
    eventually(lambda: rows(terminal.daemon) == {"standalone": "talker:v1", "standalone-2": "listener:v1"})
    late = terminal.instance("talker", "c1")
    late.call("publish", topic="plain")
    assert listener.call("next") == ["c1", 1, True]
    talker.call("publish", topic="plain")
    assert bound.call("next") == ["standalone", 12, True]
    assert terminal.daemon.ask(TopicInfo("standalone/plain")).published == 12


def test_the_daemon_is_started_when_there_is_none(terminal: Terminal, tmp_path: Path):
    home = tmp_path / "h"
    refused = run(home, terminal.sources["talker"], BEGIN + HOOKS, PEPPY_NO_AUTOSTART="1")
    _, errors = refused.communicate(timeout=WATCHDOG_SECS)
    assert errors.endswith("the peppy daemon is not running\nhint: run peppy service serve\n")
    assert errors.count("Traceback") == 1
    assert not home.exists()
    process = run(home, terminal.sources["talker"], BEGIN + HOOKS, PEPPY_NO_AUTOSTART="")
    daemon = LivingDaemon(home)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert rows(daemon) == {"standalone": "talker:v1"}
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WATCHDOG_SECS)
        subprocess.run([sys.executable, "-m", "peppy.cli", "service", "stop"], env=daemon.environment, check=True)
    assert errors.startswith("[INFO] started the peppy daemon (pid ")
    eventually(lambda: not (home / "run/daemon.sock").exists())
    assert_nothing_is_left(home)


# --- in a loop that is somebody else's -------------------------------------------------------------------------------

GUEST = """
from peppygen.emitted_topics import plain
from pathlib import Path

async def main():
    for path in (".", "peppy.json5"):
        async with await NodeRunner.new_standalone(path, config.with_instance_id("guest")) as runner:
            runner.on_shutdown(lambda: print("hook", flush=True))
            await plain.emit(runner, 7, b"")
            print(runner.bound_instance_id(), flush=True)
            await asyncio.to_thread(sys.stdin.readline)
    forgotten = await NodeRunner.new_standalone(Path("."), config)
    print(forgotten.bound_instance_id(), flush=True)
asyncio.run(main())
"""


def test_a_runner_in_somebody_elses_loop(terminal: Terminal):
    listener = terminal.program("listener", ".with_instance_id('ear')")
    listener.call("subscribe", topic="rest_plain")
    guest = subprocess.Popen(
        [sys.executable, "-c", BEGIN + GUEST],
        cwd=terminal.sources["talker"],
        env=environment(terminal.daemon.home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert guest.stdin is not None
    assert guest.stdout is not None
    for _ in range(2):  # two lives in one process, under one id
        assert guest.stdout.readline() == "guest\n"
        assert listener.call("next") == ["guest", 7, True]
        guest.stdin.write("\n")
        guest.stdin.flush()
        assert guest.stdout.readline() == "hook\n"
    assert guest.communicate(timeout=WATCHDOG_SECS)[0] == "standalone\n"
    assert guest.returncode == 0
    eventually(lambda: list(rows(terminal.daemon)) == ["ear"])


REFUSED = """
async def main():
    for path in ("nowhere", "."):
        try:
            await NodeRunner.new_standalone(path)
        except RuntimeError as error:
            print(error)
    async def busy():
        try:
            await NodeRunner.new_standalone(".", config.with_instance_id("s1"))
        except RuntimeError as error:
            print(error)
    await busy()
asyncio.run(main())
"""


def test_a_runner_that_cannot_be_says_why(terminal: Terminal):
    terminal.program("talker", ".with_instance_id('s1')")
    done = terminal.runs(REFUSED)
    assert done.returncode == 0, done.stderr
    first, hint, second, _, third, _ = done.stdout.splitlines()
    assert (first, hint) == ("there is no generated package for `nowhere`", "hint: run `peppy node sync nowhere`")
    assert second == "missing required parameter(s) for standalone mode: control, harness"
    assert third == "the id `s1` is in use by a standalone program of `talker:v1`"
