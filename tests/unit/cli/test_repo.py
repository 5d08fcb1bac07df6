"""`peppy repo` without a daemon (docs/reference/cli.md, `peppy repo`)."""

import json
from pathlib import Path

import pytest

from peppy.protocol.answers import Repositories, RepositoryRow
from peppy.protocol.frames import RepoList

from .running import peppy
from .scripted import ScriptedDaemon


def test_init_makes_an_empty_list_and_never_overwrites_one(tmp_path: Path) -> None:
    path = tmp_path / "conf" / "repositories.json5"
    assert peppy("repo", "init", home=tmp_path).stdout == f"Created {path}\n"
    assert path.read_text() == "[]\n"
    path.write_text("[ /* mine */ ]")
    again = peppy("repo", "init", "--json", home=tmp_path)
    assert json.loads(again.stdout)["data"] == {"path": str(path), "created": False}
    assert path.read_text() == "[ /* mine */ ]"


def test_a_directory_has_no_ref(tmp_path: Path) -> None:
    answer = peppy("repo", "add", ".", "--ref", "main", home=tmp_path)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "`--ref` does not go with a directory" in answer.stderr


@pytest.mark.parametrize("text", ["first", "/srv/robots", "1.5", "9" * 40])
def test_what_is_no_id_of_a_repository_leads_to_the_list_of_them(text: str, tmp_path: Path) -> None:
    answer = peppy("repo", "remove", text, home=tmp_path)
    assert (answer.returncode, answer.stdout) == (2, "")
    said = f"[ERROR] Usage: `{text}` is no id of a repository\nhint: `peppy repo list` shows their ids\n"
    assert answer.stderr == said


@pytest.mark.parametrize(
    ("rows", "missing"),
    [
        ((), "`peppy repo add <directory>`, then `peppy repo refresh`"),
        ((RepositoryRow(1000, "fs", "/srv/robots"),), "`peppy repo refresh`"),
    ],
    ids=["none registered", "none read"],
)
def test_an_empty_list_says_what_is_to_be_done(rows: tuple[RepositoryRow, ...], missing: str, tmp_path: Path) -> None:
    with ScriptedDaemon(tmp_path, {RepoList: Repositories(rows)}):
        answer = peppy("repo", "list", home=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, f"[INFO] nothing is known: run {missing}\n")
