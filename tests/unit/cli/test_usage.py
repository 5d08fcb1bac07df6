"""Calls that are refused before anything is sent: exit code 2, a message, a hint, and no JSON."""

from pathlib import Path

import pytest

from .running import peppy

USAGE_ERRORS = [
    (("stak",), "no such command `stak`", "did you mean `stack`?"),
    (("node", "bild"), "no such command `bild`", "did you mean `build`?"),
    (("node", "xyzzy"), "no such command `xyzzy`", "run `peppy node --help`"),
    (("stack", "list", "--jsno"), "no such option `--jsno`", "did you mean `--json`?"),
    (("node", "build"), "missing argument `<name:tag>`", "run `peppy node build --help`"),
    (("node", "build", "arm"), "`arm` is no `name:tag`", "write name and tag, as in `arm:v1`"),
    (("node", "build", "a m"), "`a m` is no `name:tag`", "write name and tag, as in `wheels:v1`"),
    (("node", "build", "wheels:"), "`wheels:` is no `name:tag`", "a tag has letters"),
    (("node", "build", "whe els:v1"), "`whe els:v1` is no `name:tag`", "a name has letters"),
    (("node", "build", "a:v1", "--timeout", "0"), "`--timeout` cannot be `0`", "above 0"),
    (("node", "build", "a:v1", "--timeout", "-1"), "cannot be `-1`", "at most 1000000000"),
    (("node", "build", "a:v1", "--timeout", "x"), "`--timeout`: `x` is no number", "run `peppy node build --help`"),
    (("node", "build", "a:v1", "--timeout"), "`--timeout` requires an argument", "run `peppy node build --help`"),
    (("node", "logs", "a", "-n", "1.5"), "`1.5` is no whole number", "run `peppy node logs --help`"),
    (("node", "stop"), "missing argument `<instance_id>...`", "run `peppy node stop --help`"),
    (("node", "stop", "a/b"), "`a/b` is no instance id", "use letters"),
    (("node", "run"), "no node given", "name it by `name:tag` or by its directory"),
    (("node", "run", "a:v1", "x=1", "x=2"), "the parameter `x` is given twice", "give each parameter once"),
    (("node", "run", "a:v1", "x"), "`x` is no parameter", "write parameters as `key=value`"),
    (("node", "run", "--tag", "v1"), "`--node-name` and `--tag` go together", "give both"),
    (("node", "run", "a:v1", "--bind", "b"), "BindingKeySyntax: `b` is no binding, expected KEY@VALUE", "--bind"),
    (("node", "run", "a:v1", "--bind", "_@b"), "BindingSentinelKey: the key of `_@b` is reserved", "--bind"),
    (("node", "run", "a:v1", "--bind", "k@b,k@c"), "BindingDuplicateKey: the key `k` is bound twice", "--bind"),
    (("node", "run", "a:v1", "-f", "--json"), "`--follow` and `--json` do not go together", "peppy node logs"),
    (("node", "add", ".", "--ref", "main"), "`--ref` needs a git source", "leave it out"),
    (("node", "add", "-s", "https://example.org/a.git"), "`--sync` needs a local directory", "leave it out"),
    (("node", "add", ".", "-i", "base"), "`--instance-id` needs `--run`", "add `-r`"),
    (("node", "add", ".", "--bind", "a@b"), "`--bind` needs `--run`", "add `-r`"),
    (("node", "add", ".", "rate=3"), "the parameter `rate` needs `--run`", "add `-r`"),
    (("node", "add", "rate=3"), "the parameter `rate` needs `--run`", "add `-r`"),
    (("node", "logs", "a:v1", "--add", "--build"), "`--add` and `--build` do not go together", "choose one"),
    (("node", "logs", "left", "--build"), "`--build` needs a node", "name it as `name:tag`"),
    (("node", "logs", "left", "-n", "-1"), "`--lines` cannot be `-1`", "give a number of lines"),
    (("node", "init", "arm", "--toolchain", "make"), "`make` is no toolchain", "use `uv` or `pip`"),
    (("service", "start", "--clock-source", "sun"), "`sun` is no clock source", "use `wall`"),
    (("service", "serve", "--core-node-name", "a b"), "`a b` is no name for the core node", "use letters"),
    (("topic", "hz"), "missing argument `<topic>...`", "run `peppy topic hz --help`"),
    (("topic", "hz", "a", "--window", "0"), "`--window` cannot be `0`", "give 0.1 to 3600 seconds"),
    (("topic", "bw", "a", "-n", "0"), "`-n` cannot be `0`", "above 0"),
    (("topic", "echo", "a", "b"), "unexpected argument `b`", "run `peppy topic echo --help`"),
    (("topic", "echo", "a", "--raw", "--field", "b"), "`--raw` and `--field` do not go together", "choose one"),
    (("completions", "bsh"), "`bsh` is no shell", "did you mean `bash`?"),
]


@pytest.mark.parametrize(("words", "message", "hint"), USAGE_ERRORS, ids=lambda value: str(value)[:40])
def test_a_usage_error_says_what_is_wrong_and_what_to_do(
    words: tuple[str, ...], message: str, hint: str, tmp_path: Path
) -> None:
    answer = peppy(*words, home=tmp_path)
    head, *_, last = answer.stderr.splitlines()
    assert answer.returncode == 2
    assert head.startswith("[ERROR] ")
    assert message in head
    assert last.startswith("hint: ")
    assert hint in last


def test_a_usage_error_prints_no_json(tmp_path: Path) -> None:
    answer = peppy("node", "build", "wheels", "--json", home=tmp_path)
    assert (answer.returncode, answer.stdout) == (2, "")


def test_several_broken_bindings_are_listed_together(tmp_path: Path) -> None:
    answer = peppy("node", "run", "a:v1", "--bind", "_@x", "--bind", "y", home=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[:3] == [
        "[ERROR] Invalid: 2 problems",
        "  - BindingSentinelKey: the key of `_@x` is reserved",
        "  - BindingKeySyntax: `y` is no binding, expected KEY@VALUE",
    ]


def test_what_was_typed_cannot_move_the_cursor(tmp_path: Path) -> None:
    answer = peppy("\x1b[2Jnode", home=tmp_path)
    assert answer.returncode == 2
    assert "\x1b" not in answer.stderr


LATER = [
    ("stack", "graph"),
    ("stack", "launch", "x.json5", "--check"),
    ("stack", "benchmark"),
    ("repo", "add", "https://example.org/robot.git"),
    ("repositories", "add", "git@example.org:robot.git", "--ref", "main"),
    ("doctor", "--fix"),
    ("service", "install"),
    ("service", "uninstall"),
    ("node", "add", "https://example.org/robot.git"),
    ("node", "add", "git@example.org:robot.git"),
    ("node", "add", "https://example.org/robot.tar.zst"),
    ("node", "add", "robot:v1"),
    ("node", "sync", "-r"),
    ("node", "init", "arm", "--toolchain", "cargo"),
    ("node", "init", "arm", "--container"),
    ("service", "start", "--clock-source", "sim"),
]


@pytest.mark.parametrize("words", LATER, ids=" ".join)
def test_what_does_not_exist_yet_says_so(words: tuple[str, ...], tmp_path: Path) -> None:
    answer = peppy(*words, home=tmp_path)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("[ERROR] Refused: ")
    assert "is not supported yet" in answer.stderr


def test_combined_short_flags_are_taken_apart(tmp_path: Path) -> None:
    answer = peppy("node", "add", "robot:v1", "-bri", "base", home=tmp_path)
    assert answer.stderr.startswith("[ERROR] Refused: adding `robot:v1` from a repository is not supported yet")
