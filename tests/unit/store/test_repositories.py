"""The list of repositories (docs/reference/daemon.md, Repositories)."""

from pathlib import Path

import pytest

from peppy.errors import InvalidInput, PeppyError
from peppy.store.repositories import Repository, added, load_repositories, save_repositories, without
from peppy.store.root import DataRoot


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    made = DataRoot(tmp_path / "home")
    made.create()
    return made


def problems(root: DataRoot, text: str) -> list[tuple[str, str | None]]:
    root.repositories.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load_repositories(root)
    return [(problem.kind, problem.path) for problem in caught.value.details]


def test_without_a_list_there_is_no_repository(root: DataRoot) -> None:
    assert load_repositories(root) == ()


def test_what_is_saved_is_read_again_in_the_order_of_ids(root: DataRoot) -> None:
    git = Repository(7, "git", "https://example.org/robot.git", "main")
    save_repositories(root, [Repository(1000, "fs", "/a"), git])
    assert load_repositories(root) == (git, Repository(1000, "fs", "/a"))
    assert git.label == "https://example.org/robot.git@main"


def test_ids_that_are_missing_follow_the_highest(root: DataRoot) -> None:
    root.repositories.write_text(
        '[{ type: "fs", path: "/a" }, { id: 7, type: "fs", path: "/b" }, { type: "fs", path: "/c" }]'
    )
    assert [(found.id, found.source) for found in load_repositories(root)] == [(7, "/b"), (8, "/a"), (9, "/c")]


def test_everything_that_is_wrong_is_reported_together(root: DataRoot) -> None:
    text = """[
      { id: 1, type: "fs", path: "/a" },
      { id: 1, type: "fs", path: "relative" },
      { type: "fs", path: "/a" },
      { type: "fs", path: "/nul\\0" },
      { type: "url", path: "https://example.org" },
      { type: "hg", path: "/b" },
      { id: -1, type: "fs", path: "/c", color: "red" },
      "/d",
    ]"""
    assert problems(root, text) == [
        ("DuplicateItem", "[1]"),
        ("BadPath", "[1].path"),
        ("DuplicateItem", "[2]"),
        ("BadPath", "[3].path"),
        ("Refused", "[4].type"),
        ("UnknownType", "[5].type"),
        ("WrongType", "[6].id"),
        ("UnknownKey", "[6].color"),
        ("WrongType", "[7]"),
    ]


def test_the_list_is_a_list(root: DataRoot) -> None:
    assert problems(root, "{}") == [("WrongType", None)]


def test_a_new_repository_comes_last_or_first(tmp_path: Path) -> None:
    assert added([], tmp_path, top=True).id == 1000
    known = [Repository(5, "fs", "/a"), Repository(9, "fs", "/b")]
    assert added(known, tmp_path, top=False) == Repository(10, "fs", str(tmp_path))
    assert added(known, tmp_path, top=True).id == 4
    with pytest.raises(PeppyError, match="no id below `0`"):
        added([Repository(0, "fs", "/a")], tmp_path, top=True)


def test_the_same_directory_is_not_added_twice_by_another_name(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    known = [Repository(5, "fs", str(tmp_path / "link"))]
    with pytest.raises(PeppyError, match="already exists"):
        added(known, tmp_path / "real", top=False)
    with pytest.raises(PeppyError, match="is no directory"):
        added(known, tmp_path / "gone", top=False)


def test_an_id_that_nobody_has_cannot_be_removed() -> None:
    known = [Repository(5, "fs", "/a"), Repository(9, "fs", "/b")]
    assert without(known, 5) == known[1:]
    with pytest.raises(PeppyError, match="no repository with id `6`; ids: 5, 9"):
        without(known, 6)
