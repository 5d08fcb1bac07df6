"""docs/tutorial.md runs as it stands: its files are written and its commands executed, in order."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
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
            done = subprocess.run(
                ["sh", "-e", "-c", block["text"]],
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, f"{block['text']}\n{done.stdout}\n{done.stderr}"
            output += done.stdout
    assert "roof/reading" in output
    assert "thermometer → roof" in output
    assert "degrees" in output
    assert re.search(r"thermometer:v1 .* standalone .* standalone ", output)
    assert "Daemon stopped, 2 instance(s) stopped" in output
