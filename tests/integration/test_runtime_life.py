"""The life of node processes under a real daemon (docs/reference/node_api.md, 7): setup, tasks, shutdown, its order."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from living import LivingDaemon, configure, eventually, is_alive, make_python_node

from peppy.errors import PeppyError
from peppy.protocol.frames import NodeStop

TASKS = """
import asyncio, sys

def say(text):
    print(text, flush=True)

"""
"""What the programs below begin with."""


class Runs:
    """Starts programs as nodes of one daemon and reads what they said."""

    def __init__(self, daemon: LivingDaemon, directory: Path) -> None:
        self.daemon = daemon
        self.directory = directory

    def start(self, body: str, **more: Any) -> int:
        """Runs a node whose `setup` is in `body`; its pid."""
        source = make_python_node(self.directory, body=TASKS + body, **more)
        return self.daemon.run(self.daemon.ready(source), "one").pid

    def fails(self, body: str) -> str:
        """Runs a node that does not come up; what `peppy node run` says."""
        with pytest.raises(PeppyError) as caught:
            self.start(body)
        return str(caught.value)

    def stop(self) -> None:
        self.daemon.ask(NodeStop(("one",)))

    def said(self) -> list[str]:
        """What the program printed, without the times."""
        lines = (self.daemon.home / "logs/run/one.log").read_text().splitlines()
        marks = "[stdout] ", "[stderr] "
        return [line.split(mark, 1)[1] for line in lines for mark in marks if mark in line]

    def told(self, text: str) -> bool:
        return any(text in line for line in self.said())

    def until_said(self, text: str) -> None:
        eventually(lambda: self.told(text), f"the line {text!r}")

    def end(self) -> Any:
        """Waits until the node has ended; its row."""
        eventually(lambda: self.daemon.instance_row("one").state in ("finished", "failed"), "the end")
        return self.daemon.instance_row("one")


@pytest.fixture
def runs(shared: LivingDaemon, tmp_path: Path) -> Runs:
    return Runs(shared, tmp_path)


# --- setup -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setup",
    [
        "def setup(params, runner): say('set up')",
        "async def setup(params, runner): say('set up')",
        "async def later(params, runner): say('set up')\nsetup = lambda params, runner: later(params, runner)",
        "class Setup:\n    async def __call__(self, params, runner): say('set up')\nsetup = Setup()",
    ],
)
def test_every_kind_of_setup_runs(runs: Runs, setup: str):
    runs.start(setup)
    runs.stop()
    assert runs.said() == ["set up"]
    assert runs.end().exit.status == 0


@pytest.mark.parametrize("kind", ["async def", "def"])
@pytest.mark.parametrize(
    "error", ["ValueError('no camera')", "StopIteration()", "SystemExit(3)", "KeyboardInterrupt()"]
)
def test_what_setup_raises_ends_the_node_after_its_hooks(runs: Runs, kind: str, error: str):
    text = runs.fails(
        f"{kind} setup(params, runner):\n    runner.on_shutdown(lambda: say('hook'))\n    raise {error}\n"
    )
    assert "exited during startup" in text
    row = runs.end()
    assert row.state == "failed"
    assert "hook" in runs.said()
    if error == "SystemExit(3)":
        assert row.exit.status == 3
    elif error.startswith("ValueError"):
        assert runs.said()[-1] == "ValueError: no camera"


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_a_wrong_result_of_setup_is_named(runs: Runs, kind: str):
    runs.fails(f"{kind} setup(params, runner): return [1]")
    assert runs.said()[-1] == "TypeError: `setup` returned `[1]`, it may return None or a list of asyncio.Task"


def test_a_node_that_cancels_itself_in_setup_ends_well(runs: Runs):
    body = """
async def setup(params, runner):
    runner.on_shutdown(lambda: say("hook"))
    runner.cancellation_token().cancel()
"""
    runs.start(body)
    row = runs.end()
    assert (row.state, row.exit.status) == ("finished", 0)
    assert runs.said() == ["hook"]


def test_a_setup_that_hangs_is_cancelled_by_a_stop(runs: Runs):
    body = """
import os, signal

async def setup(params, runner):
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        await asyncio.Event().wait()
    finally:
        say("cancelled")
"""
    assert "exited during startup" in runs.fails(body)
    assert runs.said() == ["cancelled"]


def test_a_sync_setup_that_still_runs_sees_the_token(runs: Runs):
    body = """
import os, signal, threading

def setup(params, runner):
    ended = threading.Event()
    runner.on_shutdown(ended.set)
    os.kill(os.getpid(), signal.SIGTERM)
    ended.wait()
    say(f"seen: {runner.cancellation_token().is_cancelled()}")
"""
    assert "exited during startup" in runs.fails(body)
    assert runs.said() == ["seen: True"]


# --- tasks -------------------------------------------------------------------------------------------------------


def test_a_returned_task_that_fails_ends_the_node_with_its_exception(runs: Runs):
    body = """
async def work():
    await asyncio.sleep(0.3)
    raise ValueError("the motor is gone")

async def setup(params, runner):
    runner.on_shutdown(lambda: say("hook"))
    return [asyncio.create_task(work())]
"""
    runs.start(body)
    row = runs.end()
    assert (row.state, row.exit.status) == ("failed", 1)
    assert runs.said()[0] == "hook"
    assert runs.said()[-1] == "ValueError: the motor is gone"
    assert "ValueError: the motor is gone" in runs.daemon.stack_log()


def test_a_task_that_was_not_returned_fails_aloud_and_the_node_goes_on(runs: Runs):
    body = """
import gc
keep = []

async def work():
    raise ValueError("lost track")

async def setup(params, runner):
    keep.append(asyncio.create_task(work()))
"""
    runs.start(body)
    runs.until_said("ValueError: lost track")
    assert runs.daemon.instance_row("one").state == "running"
    runs.stop()
    assert runs.end().exit.status == 0


def test_a_failed_task_that_somebody_waits_for_is_his_business(runs: Runs):
    body = """
async def work():
    await asyncio.sleep(0)
    raise ValueError("handled")

async def handle():
    for wait in (lambda: asyncio.wait_for(work(), 5), lambda: asyncio.gather(work()), lambda: asyncio.shield(
            asyncio.create_task(work())), lambda: asyncio.create_task(work())):
        try:
            await wait()
        except ValueError:
            say("caught")
    done, _ = await asyncio.wait([asyncio.create_task(work())])
    say(repr(done.pop().exception()))
    say("done")

async def setup(params, runner):
    return [asyncio.create_task(handle())]
"""
    runs.start(body)
    runs.until_said("done")
    runs.stop()
    assert runs.said() == ["caught"] * 4 + ["ValueError('handled')", "done"]


def test_a_task_without_references_lives_on(runs: Runs):
    body = """
import gc, weakref

def open_if_alive(gate):
    gc.collect()
    say("collected") if gate() is None else gate().set_result(None)

async def work():
    gate = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(open_if_alive, weakref.ref(gate))
    await gate
    say("still here")

async def setup(params, runner):
    asyncio.create_task(work())
"""
    runs.start(body)
    runs.until_said("still here")
    runs.stop()
    assert runs.end().exit.status == 0


def test_tasks_that_end_do_not_end_the_node(runs: Runs):
    body = """
async def work():
    say("done")

async def setup(params, runner):
    return [asyncio.create_task(work())]
"""
    runs.start(body)
    runs.until_said("done")
    assert runs.daemon.instance_row("one").state == "running"
    runs.stop()


# --- shutdown ----------------------------------------------------------------------------------------------------

ORDER = """
async def reads(runner):
    token = runner.cancellation_token()
    await token.cancelled()
    say("1 token")
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        say("3 cancelled")

async def hook():
    await asyncio.sleep(0)
    say("4 second hook")

def failing():
    say("4 failing hook")
    raise ValueError("in a hook")

async def meets_cancelled():
    task = asyncio.create_task(asyncio.sleep(1000))
    task.cancel()
    await task

async def setup(params, runner):
    runner.on_shutdown(lambda: say("4 first hook"))
    runner.on_shutdown(hook)
    runner.on_shutdown(meets_cancelled)
    runner.on_shutdown(failing)
    asyncio.create_task(reads(runner))
    say("up")
"""


def stop_by(way: str) -> Callable[[Runs, int], None]:
    return {
        "daemon": lambda runs, _pid: runs.stop(),
        "SIGTERM": lambda _runs, pid: os.kill(pid, signal.SIGTERM),
        "SIGINT": lambda _runs, pid: os.kill(pid, signal.SIGINT),
    }[way]


@pytest.mark.parametrize("way", ["daemon", "SIGTERM", "SIGINT"])
def test_the_end_has_one_order(runs: Runs, way: str):
    pid = runs.start(ORDER)
    stop_by(way)(runs, pid)
    assert runs.end().exit.status == 0
    steps = [line for line in runs.said() if line[0].isdigit() and line[1] == " "]
    assert steps == ["1 token", "3 cancelled", "4 failing hook", "4 second hook", "4 first hook"]
    assert runs.told("ValueError: in a hook")
    assert runs.told("CancelledError")


def test_a_thread_may_end_the_node(runs: Runs):
    body = """
import threading

def setup(params, runner):
    runner.on_shutdown(lambda: say("hook"))
    threading.Timer(0.3, runner.cancellation_token().cancel).start()
"""
    runs.start(body)
    assert runs.end().exit.status == 0
    assert runs.said() == ["hook"]


def test_tasks_that_are_started_during_the_end_are_cancelled_too(runs: Runs):
    body = """
async def late():
    try:
        await asyncio.Event().wait()
    finally:
        say("late one cancelled")

async def work():
    try:
        await asyncio.Event().wait()
    finally:
        asyncio.create_task(late())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

async def setup(params, runner):
    return [asyncio.create_task(work())]
"""
    runs.start(body)
    runs.stop()
    assert runs.said() == ["late one cancelled"]


def test_a_task_that_does_not_end_leaves_the_hooks_their_turn(new_daemon: Callable[..., LivingDaemon], tmp_path: Path):
    daemon = new_daemon()
    configure(daemon.home, "{lifecycle: {shutdown_grace_secs: 2}}")
    runs = Runs(daemon.start(), tmp_path)
    body = """
async def stubborn():
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            say("no")

async def setup(params, runner):
    runner.on_shutdown(lambda: say("hook"))
    asyncio.create_task(stubborn(), name="stubborn")
"""
    runs.start(body)
    runs.stop()
    # The two lines travel through different pipes, so their order in the log says nothing.
    assert {"[WARNING] the task `stubborn` did not end in time", "hook"} <= set(runs.said())


# --- the daemon is away ------------------------------------------------------------------------------------------


def test_a_node_ends_well_without_its_daemon(new_daemon: Callable[..., LivingDaemon], tmp_path: Path):
    daemon = new_daemon().start()
    pid = Runs(daemon, tmp_path).start("def setup(params, runner): runner.on_shutdown(lambda: say('hook'))")
    daemon.kill()
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not is_alive(pid), "the end")
    assert "[stdout] hook" in (daemon.home / "logs/run/one.log").read_text()
    daemon.start()
    row = daemon.instance_row("one")
    assert (row.state, row.exit.status) == ("finished", 0)


def test_a_setup_that_returns_while_the_daemon_is_away_is_heard_of_later(
    new_daemon: Callable[..., LivingDaemon], tmp_path: Path
):
    daemon = new_daemon().start()
    gate = tmp_path / "gate"
    body = f"""
import pathlib, time

def setup(params, runner):
    say("in setup")
    while not pathlib.Path({str(gate)!r}).exists():
        time.sleep(0.01)
    say("set up")
"""
    source = make_python_node(tmp_path, body=TASKS + body)
    node = daemon.ready(source)
    runs = Runs(daemon, tmp_path)

    def run_until_cut() -> None:
        with pytest.raises(PeppyError):
            daemon.run(node, "one")

    running = threading.Thread(target=run_until_cut)
    running.start()
    eventually(lambda: (daemon.home / "logs/run/one.log").exists() and runs.told("in setup"), "setup")
    daemon.kill()
    running.join()
    gate.touch()
    runs.until_said("set up")
    daemon.start()
    eventually(lambda: daemon.instance_row("one").state == "running", "the report")
    runs.stop()


def test_two_nodes_run_after_another_in_one_process(runs: Runs):
    """The second has a loop, signals and descriptors of its own; nothing of the first is left."""
    body = """
import os

def first(params, runner):
    say(f"first {runner.bound_instance_id()}")
    runner.cancellation_token().cancel()

from pathlib import Path
before = len(list(Path("/proc/self/fd").iterdir()))
NodeBuilder().run(first)
assert len(list(Path("/proc/self/fd").iterdir())) == before, "descriptors are left"

def setup(params, runner):
    say("second")
"""
    runs.start(body)
    runs.stop()
    assert runs.said() == ["first one", "second"]
