"""`peppy call` and `peppy goal` against running nodes (docs/reference/cli.md, Calls and goals)."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from living import LivingDaemon, assert_nothing_is_left, eventually, make_python_node

from peppy.protocol.frames import NodeStop

WATCHDOG_SECS = 60
INTERFACES = {
    "services": {
        "exposes": [
            {
                "name": "set_zero",
                "request_message_format": {"samples": "u16"},
                "response_message_format": {"bias": "f32", "caller": "string"},
            },
            {"name": "reset"},
            {
                "name": "mirror",
                "request_message_format": {"data": {"$type": "array", "$items": "u8"}},
                "response_message_format": {"data": {"$type": "array", "$items": "u8"}},
            },
            {"name": "never_served"},
        ]
    },
    "actions": {
        "exposes": [
            {
                "name": "dock",
                "goal_service": {"request_message_format": {"bay": "u8", "steps": "u16"}},
                "feedback_topic": {"qos_profile": "reliable", "message_format": {"distance": "u16"}},
                "result_service": {"response_message_format": {"steps": "u16"}},
            }
        ]
    },
}
BODY = """
import asyncio
from peppygen.exposed_actions import dock
from peppygen.exposed_services import mirror, reset, set_zero

def measure(request):
    if request.data.samples == 0:
        raise ValueError("samples must be positive")
    return set_zero.Response(bias=0.5 / request.data.samples, caller=request.instance_id)

async def serve(module, runner, handler):
    while not runner.cancellation_token().is_cancelled():
        await module.handle_next_request(runner, handler)

def decide(request):
    if request.data.bay == 7:
        return dock.GoalResponse.reject("bay 7 is occupied")
    return dock.GoalResponse.accept()

async def work(goal):
    steps = goal.request().data.steps
    for step in range(steps):
        await goal.publish_feedback(steps - step)
    if steps == 0:
        await goal.cancel_signal()
        await goal.complete_cancelled(steps=1)
    elif steps == 9:
        return
    else:
        await goal.complete(steps=steps)

async def drive(runner):
    handle = await dock.ActionHandle.expose(runner)
    while (goal := await handle.handle_goal_next_request(decide)) is not None:
        asyncio.create_task(work(goal))
        del goal

async def setup(params, runner):
    return [
        asyncio.create_task(serve(set_zero, runner, measure)),
        asyncio.create_task(serve(reset, runner, lambda request: None)),
        asyncio.create_task(serve(mirror, runner, lambda request: mirror.Response(request.data.data))),
        asyncio.create_task(drive(runner)),
    ]
"""


class Robot:
    """A daemon with one provider, and the program `peppy` that uses it."""

    def __init__(self, directory: Path) -> None:
        self.daemon = LivingDaemon(directory / "home").start()
        self.node = self.daemon.ready(make_python_node(directory, "base", body=BODY, interfaces=INTERFACES))
        self.run("base1")

    def run(self, instance_id: str) -> None:
        self.daemon.run(self.node, instance_id)

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """Starts the program."""
        return subprocess.Popen(
            [sys.executable, "-m", "peppy.cli", *words],
            env={**self.daemon.environment, "PEPPY_NO_AUTOSTART": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def peppy(self, *words: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
        """The whole run of a program that ends by itself."""
        process = self.begin(*words)
        stdout, stderr = process.communicate(typed, timeout=WATCHDOG_SECS)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    robot = Robot(tmp_path_factory.mktemp("s"))
    try:
        yield robot
    finally:
        robot.daemon.end()
    assert_nothing_is_left(robot.daemon.home)


def data(answer: "subprocess.CompletedProcess[str]") -> Any:
    return json.loads(answer.stdout)["data"]


# --- call ------------------------------------------------------------------------------------------------------------


def test_a_call_prints_the_response_and_appears_as_the_command_line(robot: Robot) -> None:
    process = robot.begin("call", "set_zero", "{ samples: 50 }")
    stdout, stderr = process.communicate(timeout=WATCHDOG_SECS)
    assert (process.returncode, stderr) == (0, "")
    assert stdout == f'bias: 0.01\ncaller: "peppy-cli-{process.pid}"\n'


def test_a_service_without_formats_answers_empty(robot: Robot) -> None:
    assert robot.peppy("call", "base1/reset").stdout == "(empty)\n"
    assert data(robot.peppy("call", "reset", "--json")) == {"instance_id": "base1", "response": None}


def test_a_large_request_and_response_travel_whole(robot: Robot) -> None:
    answer = robot.peppy("call", "mirror", "-", "--full", "--json", typed=json.dumps({"data": {"hex": "ab" * 300_000}}))
    assert data(answer)["response"]["data"] == [0xAB] * 300_000


def test_an_error_of_the_handler_reaches_the_person(robot: Robot) -> None:
    answer = robot.peppy("call", "set_zero", "{ samples: 0 }")
    assert answer.returncode == 1
    assert "returned error: ValueError: samples must be positive" in answer.stderr
    assert "hint: see `peppy node logs base1`" in answer.stderr


def test_a_service_that_its_node_does_not_serve_is_unreachable_in_time(robot: Robot) -> None:
    answer = robot.peppy("call", "never_served", "--timeout", "0.2", "--json")
    assert answer.returncode == 1
    assert json.loads(answer.stdout)["error"]["kind"] == "ServiceUnreachable"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("call", "set_zer"), "no live instance exposes a service `set_zer`, nearest is `base1/set_zero`"),
        (
            ("call", "base2/set_zero"),
            "no live instance exposes a service `base2/set_zero`, nearest is `base1/set_zero`",
        ),
        (("call", "dock"), "hint: it is an action: use `peppy goal`"),
        (("goal", "reset"), "hint: it is a service: use `peppy call`"),
    ],
)
def test_what_nobody_exposes_is_not_found_with_the_way_out(robot: Robot, words: tuple[str, str], expected: str) -> None:
    answer = robot.peppy(*words, "--timeout", "0.1")
    assert answer.returncode == 1
    assert expected in answer.stderr


def test_a_call_waits_for_an_instance_that_is_not_up_yet(robot: Robot) -> None:
    calling = robot.begin("call", "base3/set_zero", "{ samples: 1 }", "--timeout", "60")
    assert calling.stderr is not None
    assert "waiting for an instance that exposes `base3/set_zero`" in calling.stderr.readline()
    robot.run("base3")
    assert calling.communicate(timeout=60)[0].startswith("bias: ")
    robot.daemon.ask(NodeStop(("base3",)))


def test_a_name_of_two_instances_needs_the_address(robot: Robot) -> None:
    robot.run("base2")
    answer = robot.peppy("call", "set_zero", "{ samples: 1 }")
    assert answer.returncode == 1
    assert "`set_zero` is a service of 2 live instances: `base1/set_zero`, `base2/set_zero`" in answer.stderr
    assert robot.peppy("call", "base2/set_zero", "{ samples: 1 }").returncode == 0
    robot.daemon.ask(NodeStop(("base2",)))


# --- goal ------------------------------------------------------------------------------------------------------------


def test_a_goal_is_followed_with_all_its_feedback(robot: Robot) -> None:
    answer = robot.peppy("goal", "dock", "{ bay: 1, steps: 3 }", "--feedback")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == ("accepted\ndistance: 3\n---\ndistance: 2\n---\ndistance: 1\n---\nCOMPLETED\nsteps: 3\n")


def test_feedback_of_later_goals_is_their_own(robot: Robot) -> None:
    for steps in (2, 3):
        answer = robot.peppy("goal", "dock", f"{{ bay: 1, steps: {steps} }}", "--feedback", "--json")
        events = [json.loads(line) for line in answer.stdout.splitlines()]
        assert [event["message"]["distance"] for event in events[1:-1]] == list(range(steps, 0, -1))
        assert events[-1]["result"] == {"steps": steps}


def test_a_goal_without_feedback_prints_its_end(robot: Robot) -> None:
    assert robot.peppy("goal", "dock", "{ bay: 1, steps: 3 }").stdout == "accepted\nCOMPLETED\nsteps: 3\n"


def test_a_rejected_goal_fails_with_the_reason(robot: Robot) -> None:
    answer = robot.peppy("goal", "base1/dock", "{ bay: 7, steps: 1 }", "--feedback")
    assert (answer.returncode, answer.stdout) == (1, "rejected: bay 7 is occupied\n")


def test_a_goal_that_nobody_finishes_is_abandoned(robot: Robot) -> None:
    answer = robot.peppy("goal", "dock", "{ bay: 1, steps: 9 }")
    assert (answer.returncode, answer.stdout) == (1, "accepted\nABANDONED\n")


def test_ctrl_c_cancels_the_goal_and_prints_its_end(robot: Robot) -> None:
    process = robot.begin("goal", "dock", "{ bay: 1, steps: 0 }", "--feedback")
    assert process.stdout is not None
    assert process.stdout.readline() == "accepted\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=WATCHDOG_SECS)
    assert (process.returncode, stdout) == (130, "CANCELLED\nsteps: 1\n")
    assert stderr.startswith("[INFO] cancelling the goal")


def test_a_goal_whose_server_dies_is_abandoned(robot: Robot) -> None:
    robot.run("base2")
    process = robot.begin("goal", "base2/dock", "{ bay: 1, steps: 0 }", "--feedback")
    assert process.stdout is not None
    assert process.stdout.readline() == "accepted\n"
    os.kill(robot.daemon.instance_row("base2").pid, signal.SIGKILL)
    stdout, _ = process.communicate(timeout=WATCHDOG_SECS)
    assert (process.returncode, stdout) == (1, "ABANDONED\n")
    eventually(lambda: robot.daemon.instance_row("base2").state == "failed")
