"""The help text of every command, at 80 columns, is reviewed as text."""

from pathlib import Path

import click
import pytest

from peppy.cli.groups import LazyGroup
from peppy.cli.program import peppy as program

from .running import golden, peppy


def listed(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """All commands that help lists, the program itself first."""
    found = [path]
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += listed(command, (*path, name)) if isinstance(command, LazyGroup) else [(*path, name)]
    return found


@pytest.mark.parametrize("words", listed(program), ids="-".join)
def test_help_is_the_reviewed_text(words: tuple[str, ...], tmp_path: Path) -> None:
    answer = peppy(*words, "--help", home=tmp_path)
    assert answer.returncode == 0
    assert answer.stderr == ""
    assert answer.stdout == golden(f"help/{'-'.join(('peppy', *words))}.txt", answer.stdout)
    assert max(map(len, answer.stdout.splitlines())) <= 80


@pytest.mark.parametrize("words", [(), ("node",), ("node", "run")], ids="-".join)
def test_the_short_flag_gives_the_same_help(words: tuple[str, ...], tmp_path: Path) -> None:
    assert peppy(*words, "-h", home=tmp_path).stdout == peppy(*words, "--help", home=tmp_path).stdout


def test_help_leaves_the_data_root_alone(tmp_path: Path) -> None:
    peppy("--help", home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_the_top_help_imports_no_command_and_nothing_heavy(tmp_path: Path) -> None:
    answer = peppy("--help", home=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"msgspec", "json5", "numpy", "zstandard", "asyncio", "peppy.client", "peppy.protocol"}
    assert not [name for name in imported if name.startswith("peppy.cli.commands.")]


def test_version_names_the_program(tmp_path: Path) -> None:
    from peppy import __version__

    assert peppy("--version", home=tmp_path).stdout == f"peppy {__version__}\n"


def test_a_group_without_command_shows_its_help_and_is_a_usage_error(tmp_path: Path) -> None:
    answer = peppy("node", home=tmp_path)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr == peppy("node", "--help", home=tmp_path).stdout


def test_an_alias_is_the_same_command(tmp_path: Path) -> None:
    create, init = peppy("node", "create", "-h", home=tmp_path), peppy("node", "init", "-h", home=tmp_path)
    assert create.stdout.splitlines()[1:] == init.stdout.splitlines()[1:]
