"""What the words of a command line mean."""

from pathlib import Path

import pytest

from peppy.cli.usage import Misuse
from peppy.cli.words import Source, absolute, directory_of, is_directory_word, is_pair_word, pairs, source_of


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (".", Source.DIRECTORY),
        ("./robot:v1", Source.DIRECTORY),
        ("robot", Source.DIRECTORY),
        ("robot/peppy.json5", Source.DIRECTORY),
        ("robot.tar.zst", Source.ARCHIVE),
        ("robot:v1", Source.REPOSITORY),
        ("git@host:robot", Source.GIT),
        ("https://host/robot", Source.GIT),
        ("https://host/robot.git/arm", Source.GIT),
        ("https://host/robot.tzst?key=1", Source.ARCHIVE),
        ("file:///srv/robot.tar.zst", Source.GIT),
    ],
)
def test_a_source_is_known_by_its_look(text: str, source: Source) -> None:
    assert source_of(text) is source


def test_a_path_that_exists_is_no_repository_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "robot:v1").mkdir()
    assert source_of("robot:v1") is Source.DIRECTORY


@pytest.mark.parametrize("text", [".", "..", "./a", "a/b", "/a", "~", "~ada/x"])
def test_a_word_that_looks_like_a_path_is_a_directory(text: str) -> None:
    assert is_directory_word(text)


def test_a_reference_is_no_directory() -> None:
    assert not is_directory_word("a:v1")


def test_the_home_directory_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert absolute("~/robot/../arm") == Path("/home/ada/arm")


def test_a_manifest_stands_for_its_directory() -> None:
    assert directory_of(Path("/robot/peppy.json5")) == Path("/robot")


def test_parameters_are_split_at_the_first_equals_sign() -> None:
    assert pairs(["video.width=640", "text=a=b", "empty="]) == (
        ("video.width", "640"),
        ("text", "a=b"),
        ("empty", ""),
    )


@pytest.mark.parametrize("word", ["=1", "plain", ""])
def test_a_parameter_needs_a_name_and_an_equals_sign(word: str) -> None:
    with pytest.raises(Misuse):
        pairs([word])


def test_a_directory_with_an_equals_sign_is_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_pair_word("a=b")
    (tmp_path / "a=b").mkdir()
    assert not is_pair_word("a=b")
