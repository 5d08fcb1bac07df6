"""Patterns of `.gitignore`, as far as walking repositories reads them."""

from pathlib import Path

import pytest

from peppy.store.ignored import Ignored, parse_rule


@pytest.mark.parametrize(
    ("line", "named", "not_named"),
    [
        ("build", ["build", "a/build"], ["builds", "a/rebuild"]),
        ("*.json5", ["x.json5", "a/b/x.json5"], ["x.json"]),
        ("/top", ["top"], ["a/top"]),
        ("a/b", ["a/b"], ["x/a/b", "a/c/b"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["b", "a/bb"]),
        ("**/b", ["b", "x/y/b"], ["bb"]),
        ("a/**", ["a/x", "a/x/y"], ["a"]),
        ("x?.[ab]", ["x1.a", "xy.b"], ["x.a", "x1.c", "x1.ab"]),
        ("[!a]x", ["bx"], ["ax"]),
        ("\\#x", ["#x"], ["x"]),
        ("a.b", ["a.b"], ["aXb"]),
        ("*a*b*", ["ab", "xaxbx"], ["ba", "xb"]),
        ("a*b/c", ["ab/c", "axb/c"], ["a/b/c", "ax/b/c"]),
        ("a/**/b/**/c", ["a/b/c", "a/x/b/b/y/c"], ["a/c", "a/b/c/d"]),
        ("x**y", ["xy", "xzy"], ["x/y"]),
        ("trailing  ", ["trailing"], ["trailing  x"]),
    ],
)
def test_a_pattern_names_what_git_names(line: str, named: list[str], not_named: list[str]) -> None:
    rule = parse_rule(line)
    assert rule is not None
    assert [path for path in named if not rule.names(path)] == []
    assert [path for path in not_named if rule.names(path)] == []


@pytest.mark.parametrize("line", ["", "   ", "# comment", "/", "!", "[z-a]"])
def test_what_is_no_pattern_names_nothing(line: str) -> None:
    assert parse_rule(line) is None


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("*a" * 20 + "b", "a" * 250),
        ("[ab]*" * 20 + "c", "ab" * 125),
        ("/" + "**/a/" * 20 + "b", "a/" * 1000 + "a"),
        ("*/" * 20 + "b", "a/" * 1000 + "a"),
    ],
)
def test_no_pattern_takes_long_whatever_names_it_meets(line: str, path: str) -> None:
    rule = parse_rule(line)
    assert rule is not None
    assert not rule.names(path)


def test_a_slash_at_the_end_means_directories_only(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("out/\n")
    ignored = Ignored().inside(tmp_path, "")
    assert ignored.names("out", is_directory=True)
    assert not ignored.names("out", is_directory=False)


def test_the_last_rule_of_the_innermost_file_decides(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".gitignore").write_text("*.json5\n!kept.json5\n")
    (tmp_path / "deep" / ".gitignore").write_text("kept.json5\n!x.json5\n/only.json5\n")
    outer = Ignored().inside(tmp_path, "")
    inner = outer.inside(tmp_path / "deep", "deep")
    assert [outer.names(name, is_directory=False) for name in ("x.json5", "kept.json5")] == [True, False]
    assert [inner.names(f"deep/{name}.json5", is_directory=False) for name in ("x", "kept", "only", "more")] == [
        *(False, True, True, True),
    ]


def test_a_directory_without_rules_has_those_above_it(tmp_path: Path) -> None:
    ignored = Ignored()
    assert ignored.inside(tmp_path, "a") is ignored
    assert not ignored.names("x", is_directory=False)
