"""Generated packages and programs over them have full types: the reference's examples, a new node, one of each call."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peppy.gen.scaffold import scaffold

PACKAGES = Path(__file__).parent / "packages"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "node_api.md"

PRODUCER = """\
import numpy
from peppygen import NodeRunner
from peppygen.emitted_topics import detections, frames


async def produce(runner: NodeRunner) -> None:
    publisher = await frames.declare_publisher(runner)
    header = frames.MessageHeader(seq=1, stamp=2.0, frame_id="camera")
    publisher.publish(header, 4, 2, None, numpy.zeros((2, 4), "u1"), [0.5, 1], b"mask")
    with publisher.loan({"frame": (2, 4), "depths": 2}) as loan:
        loan.header = header
        loan.width, loan.height, loan.note = 4, 2, "note"
        loan.frame[:] = 7
        loan.depths[0] = 0.5
    item = detections.MessageBoxesItem("cup", [0.0] * 4, [1.0], b"", b"key!", detections.MessageBoxesItemPose(1, 2))
    await detections.emit(runner, 1.0, [item], None, ["a"], None, [b""], True, None)
    publisher.close()
"""

CONSUMER = """\
from typing import assert_type

from numpy import float32
from numpy.typing import NDArray
from peppygen import NodeRunner
from peppygen.consumed_topics import front_camera_frames as frames
from peppygen.consumed_topics import ping_ping


async def consume(runner: NodeRunner) -> None:
    subscription = await frames.subscribe(runner, spin_us=50)
    async for instance_id, message in subscription:
        assert_type(instance_id, str)
        assert_type(message, frames.Message)
        assert_type(message.depths, NDArray[float32])
        assert_type(message.note, str | None)
    async with subscription.next_loan() as loan:
        assert_type(loan.message.frame, bytes)
    taken = subscription.take_blocking(timeout=1.0)
    assert_type(taken, tuple[str, frames.Message] | None)
    assert_type(await ping_ping.on_next_message_received(runner), tuple[str, None])
"""

SERVER = """\
from typing import assert_type

import numpy
from peppygen import NodeRunner
from peppygen.exposed_actions import move, patrol, wave
from peppygen.exposed_services import log, plan, read_status, reset


def find(request: plan.Request) -> plan.Response:
    assert_type(request.instance_id, str)
    assert_type(request.data.class_, str)
    assert_type(request.data.data, bytes | None)
    return plan.Response(data=plan.ResponseData(points=numpy.zeros(3)), str="", names=("a", "b"))


async def tell(_request: read_status.Request) -> read_status.Response:
    cells = [read_status.ResponseBatteryCellsItem(millivolts=3700)]
    return read_status.Response(read_status.ResponseBattery(90, cells), errors=[], note=None)


async def serve(runner: NodeRunner) -> None:
    await plan.handle_next_request(runner, find)
    await read_status.handle_next_request(runner, tell)
    await log.handle_next_request(runner, lambda request: print(request.data.text))
    await reset.handle_next_request(runner, lambda _request: None)


async def decide(request: move.GoalRequest) -> move.GoalResponse:
    return move.GoalResponse.accept() if request.data.speed else move.GoalResponse.reject("too slow")


async def act(runner: NodeRunner) -> None:
    moving = await move.ActionHandle.expose(runner)
    goal = await moving.handle_goal_next_request(decide)
    if goal is not None:
        assert_type(goal.request().data.target.pose, list[float])
        await goal.complete(move.ResultStatus(0, "there"), [move.ResultPathItem(x=0, y=1)], complete=True)
    patrolling = await patrol.ActionHandle.expose(runner)
    round_trip = await patrolling.handle_goal_next_request(lambda _goal: patrol.GoalResponse.accept())
    if round_trip is not None:
        await round_trip.publish_feedback("door", 1.0, 2, patrol.FeedbackRequest("?"), numpy.zeros(2), ["a"], b"")
        await round_trip.complete_cancelled()
    waving = await wave.ActionHandle.expose(runner)
    hello = await waving.handle_goal_next_request(lambda _goal: wave.GoalResponse.accept())
    assert_type(hello, wave.GoalContext | None)
"""

CALLER = """\
from typing import assert_type

import numpy
from numpy import float32
from numpy.typing import NDArray
from peppygen import NodeRunner, QoSProfile
from peppygen.consumed_actions import any_base_move as move
from peppygen.consumed_actions import base_patrol, base_wave
from peppygen.consumed_services import any_base_read_status as read_status
from peppygen.consumed_services import base_log, base_plan, base_reset


async def call(runner: NodeRunner) -> None:
    inner = base_plan.RequestRequest(goal=[1, 2, 3], grid=numpy.zeros((2, 2), "u1"))
    request = base_plan.Request("c", 1.0, inner, handler=True, data=None, stamps=[1.0])
    planned = await base_plan.poll(runner, request, timeout=1.0)
    assert_type(planned.data.data.points, NDArray[float32])
    assert_type(planned.instance_id, str)
    status = await read_status.poll(runner, 0.5)
    assert_type(status.data.battery.cells[0].millivolts, int)
    assert_type(await base_log.poll(runner, base_log.Request("text"), 1), None)
    assert_type(await base_reset.poll(runner, 1), None)


async def send(runner: NodeRunner) -> None:
    target = move.GoalRequestTarget(pose=[0.0] * 7, frame_id="map")
    moving = await move.ActionHandle.fire_goal(runner, move.GoalRequest(target, None), timeout=2.0)
    assert_type(moving, move.ActionHandle)
    assert_type(moving.data.error_message, str | None)
    result = await moving.get_result(5.0)
    assert_type(result.data, move.ResultResponseData | None)
    if result.status is move.ResultStatus.COMPLETED and result.data is not None:
        assert_type(result.data.status.code, int)
    patrolling = await base_patrol.ActionHandle.fire_goal(runner, 2.0, QoSProfile.Reliable)
    assert_type((await patrolling.on_next_feedback_message()).from_, str)
    assert_type(patrolling.feedback_lost(), int)
    answer = await patrolling.cancel_goal(1.0)
    assert_type(answer.state is base_patrol.CancelState.SIGNALLED, bool)
    waving = await base_wave.ActionHandle.fire_goal(runner, timeout=2.0)
    assert_type((await waving.get_result(1.0)).status, base_wave.ResultStatus)
"""

CONFORMING = """\
from peppygen import NodeRunner, exposed_services
from peppygen.emitted_topics.image_source_1.v1 import image
from peppygen.exposed_actions.image_source.v1 import track
from peppygen.exposed_services.image_source.v1 import zoom


async def conform(runner: NodeRunner) -> None:
    await image.emit(runner, stamp=1.0, pixels=b"")
    await zoom.handle_next_request(runner, lambda request: zoom.Response(request.data.factor))
    await exposed_services.light._0_2_0.switch.handle_next_request(runner, lambda request: print(request.data.on))
    tracking = await track.ActionHandle.expose(runner)
    goal = await tracking.handle_goal_next_request(lambda goal: track.GoalResponse.reject(goal.data.target))
    if goal is not None:
        await goal.publish_feedback(1.0)
        await goal.complete(lost=False)
"""

THROUGH_INTERFACE = """\
from typing import assert_type

from peppygen import NodeRunner
from peppygen.consumed_actions import source_track
from peppygen.consumed_services import source_zoom
from peppygen.consumed_topics import eye_image, source_image


async def watch(runner: NodeRunner) -> None:
    assert_type((await eye_image.on_next_message_received(runner))[1].number, int)
    assert_type((await source_image.on_next_message_received(runner))[1].pixels, bytes)
    assert_type((await source_zoom.poll(runner, source_zoom.Request(2.0), 1.0)).data.factor, float)
    goal = await source_track.ActionHandle.fire_goal(runner, source_track.GoalRequest("cup"), 1.0)
    assert_type((await goal.on_next_feedback_message()).metres, float)
"""

IMPORTED_BEFORE = """\
import asyncio

from peppygen import NodeRunner
from peppygen.parameters import Parameters
"""


def example(title: str) -> str:
    """The first program below a heading of the reference."""
    found = re.search(rf"### [\d.]+ {title}\n.*?```python\n(.*?)```", REFERENCE.read_text(), re.DOTALL)
    assert found, title
    return found[1]


def programs() -> dict[str, tuple[str, str]]:
    """What is checked: the golden package and the text of each program."""
    sensor = example("Sensor publisher")
    return {
        "sensor": ("imu", sensor),
        "watcher": ("viewer", IMPORTED_BEFORE + example("Consumer")),
        "new_node": ("ping", scaffold("hello_world", "uv")["src/hello_world/__main__.py"]),
        "producer": ("camera", PRODUCER),
        "consumer": ("viewer", CONSUMER),
        "conforming": ("eye", CONFORMING),
        "through_interface": ("watcher", THROUGH_INTERFACE),
        "service_server": ("base", example("Service")),
        "service_caller": ("pilot", example("Caller of a service")),
        "action_server": ("base", example("Action server")),
        "action_client": ("pilot", example("Action client")),
        "server": ("base", SERVER),
        "caller": ("pilot", CALLER),
    }


def project(directory: Path, package: str, text: str | None) -> None:
    """A directory with one golden package and a program over it."""
    shutil.copytree(PACKAGES / package / "generated" / "libs" / "peppygen", directory)
    if text is not None:
        (directory / "program.py").write_text(text)


@pytest.mark.timeout(300)
def test_generated_packages_and_programs_over_them_pass_pyright_strict(tmp_path: Path) -> None:
    for name, (package, text) in programs().items():
        project(tmp_path / name, package, text)
    for package in ("names", "parameters"):
        project(tmp_path / package, package, None)
    configuration = {
        "strict": ["."],
        "pythonVersion": "3.11",
        "executionEnvironments": [{"root": directory.name} for directory in tmp_path.iterdir()],
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(configuration))
    pyright = Path(sys.executable).parent / "pyright"
    child = subprocess.run(
        [pyright, "-p", tmp_path, "--pythonpath", sys.executable, "--outputjson"],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(child.stdout)
    assert report["generalDiagnostics"] == []
    assert report["summary"]["filesAnalyzed"] == len(list(tmp_path.rglob("*.py")))
