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


IMPORTED_BEFORE = """\
import asyncio

from peppygen import NodeRunner
from peppygen.parameters import Parameters
"""


def example(title: str) -> str:
    """The program below a heading of the reference."""
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
