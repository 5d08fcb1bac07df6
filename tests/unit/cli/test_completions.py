"""Completion scripts, and what they ask the program for."""

import json
from pathlib import Path

import pytest

from .running import peppy


def completed(typed: str, home: Path) -> list[str]:
    """What the shell is offered for a line typed so far."""
    place = str(len(typed.split(" ")) - 1)
    answer = peppy(home=home, _PEPPY_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=place)
    assert answer.stderr == ""
    return [line.partition(",")[2] for line in answer.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_the_program_itself(shell: str, tmp_path: Path) -> None:
    answer = peppy("completions", shell, home=tmp_path)
    assert answer.returncode == 0
    assert f"_PEPPY_COMPLETE={shell}_complete" in answer.stdout


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("peppy ", ["node", "stack", "service", "repo", "topic", "call", "goal", "info", "completions"]),
        ("peppy node r", ["run", "remove"]),
        ("peppy node run --b", ["--bind", "--build"]),
        ("peppy topic ", ["list", "info", "hz", "bw", "echo"]),
    ],
)
def test_commands_and_flags_are_completed(typed: str, expected: list[str], tmp_path: Path) -> None:
    assert completed(typed, tmp_path) == expected


STATE = {
    "nodes": [{"name": "wheels", "tag": "v1"}, {"name": "planner", "tag": "v3"}, {"name": "\n", "tag": "x"}, 7],
    "instances": [{"instance_id": "left_wheels"}, {"instance_id": "calm"}, {}],
}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("peppy node build ", ["wheels:v1", "planner:v3"]),
        ("peppy node run wh", ["wheels:v1"]),
        ("peppy node stop calm l", ["left_wheels"]),
        ("peppy node logs ", ["left_wheels", "calm", "wheels:v1", "planner:v3"]),
    ],
)
def test_nodes_and_instances_are_completed_from_the_state_file(typed: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "stack.json").write_text(json.dumps(STATE))
    assert completed(typed, tmp_path) == expected


@pytest.mark.parametrize("content", ["", "[]", '{"nodes": 3}'])
def test_a_damaged_state_file_completes_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "stack.json").write_text(content)
    assert completed("peppy node build ", tmp_path) == []
