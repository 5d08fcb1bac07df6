"""Programs over generated packages have full types: the examples of the reference, a new node, and one of each call."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peppy.gen.scaffold import scaffold

HERE = Path(__file__).parent
REFERENCE = HERE.parent.parent / "docs" / "reference" / "node_api.md"

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


@pytest.mark.timeout(300)
def test_programs_over_generated_packages_pass_pyright_strict(tmp_path: Path) -> None:
    environments: list[dict[str, object]] = []
    for name, (package, text) in programs().items():
        shutil.copytree(HERE / "packages" / package / "generated" / "libs" / "peppygen", tmp_path / name)
        (tmp_path / name / "program.py").write_text(text)
        environments.append({"root": name})
    configuration = {
        "include": [f"{name}/program.py" for name in programs()],
        "strict": ["."],
        "pythonVersion": "3.11",
        "executionEnvironments": environments,
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
    assert report["summary"]["filesAnalyzed"] == len(programs())
