"""docs/tutorial.md runs as it stands: its files are written and its commands executed, in order."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The program on PATH and a data root of its own, whose daemon ends with the test."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PEPPY_HOME": str(tmp_path / "home"), "PATH": path}
    yield environment
    subprocess.run(["peppy", "service", "stop"], env=environment, capture_output=True, timeout=60)


def run(commands: str, work: Path, environment: dict[str, str]) -> str:
    """What a block prints. Its output is a file: a pipe would be held open by what a failed block leaves running."""
    with (work / "output").open("w+") as printed:
        shell = subprocess.Popen(
            ["sh", "-e", "-c", commands],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = shell.wait(timeout=300)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
        printed.seek(0)
        text = printed.read()
    assert status == 0, f"{commands}\n{text}"
    return text


@pytest.mark.timeout(400)
def test_the_tutorial_runs_as_it_stands(tmp_path: Path, environment: dict[str, str]) -> None:
    work = tmp_path / "work"
    work.mkdir()
    output = ""
    for block in BLOCK.finditer(TUTORIAL.read_text()):
        if block["file"]:
            target = work / block["file"]
            assert target.exists(), f"{block['file']} should have been made by a command before"
            target.write_text(block["text"])
        elif block["kind"] == "sh":
            output += run(block["text"], work, environment)
    assert "roof/reading" in output
    assert "thermometer → roof" in output
    assert "degrees" in output
    assert re.search(r" standalone +│ standalone ", output)
    assert "was_on: false" in output
    assert "COMPLETED\nbaked: 3" in output
    assert "second goal accepted: False (the oven is full, standalone" in output
    assert "cancel: SIGNALLED\nfirst goal: CANCELLED" in output
    assert "Daemon stopped, 2 instance(s) stopped" in output
