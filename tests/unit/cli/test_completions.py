"""Completion scripts, and what they ask the program for."""

from pathlib import Path

import pytest

from .running import peppy


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_the_program_itself(shell: str, tmp_path: Path) -> None:
    answer = peppy("completions", shell, home=tmp_path)
    assert answer.returncode == 0
    assert f"_PEPPY_COMPLETE={shell}_complete" in answer.stdout


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("peppy ", ["node", "stack", "service", "topic", "info", "completions"]),
        ("peppy node r", ["run", "remove"]),
        ("peppy node run --b", ["--bind", "--build"]),
        ("peppy topic ", ["list"]),
    ],
)
def test_commands_and_flags_are_completed(typed: str, expected: list[str], tmp_path: Path) -> None:
    place = str(len(typed.split(" ")) - 1)
    answer = peppy(home=tmp_path, _PEPPY_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=place)
    assert [line.partition(",")[2] for line in answer.stdout.splitlines()] == expected
