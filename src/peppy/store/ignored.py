"""What a `.gitignore` names, as far as walking a repository needs it (docs/reference/daemon.md, Repositories).

Repositories are other people's: no pattern may take long, whatever names it meets. So every `*` takes the first place
where what follows it fits and never comes back to it, which finds a match whenever there is one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SIZE_LIMIT = 64 * 1024
"""Bytes of a `.gitignore`; a larger one is not read."""

ANY_DEPTH = "**"

_TOKEN = re.compile(r"\*+|\?|\[[!^]?\]?[^\]]*\]|\\.|.", re.DOTALL)

_Name = re.Pattern[str] | None
"""What one name of a path may be; None: any number of names."""

_ANY_NAME = re.compile(r".*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: it names paths below the directory of its file."""

    pattern: tuple[_Name, ...]
    wanted: bool
    only_directories: bool

    def names(self, path: str) -> bool:
        """Whether the pattern fits the whole path, with `/` between its names."""
        return _fits(self.pattern, path.split("/"))


@dataclass(frozen=True, slots=True)
class Ignored:
    """The rules of one directory and of those above it."""

    directory: str = ""
    rules: tuple[Rule, ...] = ()
    above: "Ignored | None" = None

    def inside(self, directory: Path, relative: str) -> "Ignored":
        """The rules in `directory`, whose path below the repository is `relative`: those of its `.gitignore` too."""
        rules = _read(directory / ".gitignore")
        return Ignored(relative, rules, self) if rules else self

    def names(self, relative: str, *, is_directory: bool) -> bool:
        """Whether the path below the repository is left out: the last rule of the innermost file decides."""
        level: Ignored | None = self
        while level is not None:
            path = relative.removeprefix(f"{level.directory}/") if level.directory else relative
            for rule in reversed(level.rules):
                if (is_directory or not rule.only_directories) and rule.names(path):
                    return not rule.wanted
            level = level.above
        return False


def _read(path: Path) -> tuple[Rule, ...]:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > SIZE_LIMIT:
            return ()
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(rule for line in lines if (rule := parse_rule(line)) is not None)


# --- reading a line --------------------------------------------------------------------------------------------------


def parse_rule(line: str) -> Rule | None:
    """The rule of one line; None for blanks, comments and what is no pattern."""
    text = line.rstrip()
    if not text or text.startswith("#"):
        return None
    wanted = text.startswith("!")
    text = text.removeprefix("!")
    only_directories = text.endswith("/")
    text = text.rstrip("/")
    anchored = "/" in text
    text = text.removeprefix("/")
    if not text:
        return None
    words = text.split("/") if anchored else [ANY_DEPTH, text]
    try:
        pattern = [None if word == ANY_DEPTH else _name(word) for word in words]
    except re.error:
        return None
    if pattern[-1] is None:  # what is inside, not the directory itself
        pattern.append(_ANY_NAME)
    return Rule(tuple(pattern), wanted, only_directories)


def _name(word: str) -> re.Pattern[str]:
    """The pattern of one name. Raises re.error for a range that is none."""
    first, *others = _between_stars(word)
    if not others:
        return re.compile(first, re.DOTALL)
    *inner, last = others
    skips = (f"(?>.*?{fixed})" for fixed in inner if fixed)
    return re.compile(f"{first}{''.join(skips)}.*{last}", re.DOTALL)


def _between_stars(word: str) -> list[str]:
    """Expressions of fixed length; any text may stand between one and the next."""
    found = [""]
    for token in _TOKEN.findall(word):
        if token.startswith("*"):
            found.append("")
        else:
            found[-1] += _translated(token)
    return found


def _translated(token: str) -> str:
    if token == "?":
        return "."
    if token.startswith("[") and len(token) > 2:
        inside = token[1:-1]
        negated = inside.startswith(("!", "^"))
        characters = re.sub(r"([\\\[&|~])", r"\\\1", inside[1:] if negated else inside)
        return f"[{'^' if negated else ''}{characters}]"
    return re.escape(token[1:] if token.startswith("\\") and len(token) == 2 else token)


# --- matching --------------------------------------------------------------------------------------------------------


def _fits(pattern: Sequence[_Name], names: Sequence[str]) -> bool:
    """Whether these names, all of them, are what the pattern wants."""
    at = place = 0
    depth_at = retry = -1  # behind the last `**` that was met, and how many names it has taken
    while place < len(names):
        expected = pattern[at] if at < len(pattern) else None
        if at < len(pattern) and expected is None:
            at += 1
            depth_at, retry = at, place
        elif expected is not None and expected.fullmatch(names[place]):
            at += 1
            place += 1
        elif depth_at >= 0:
            retry += 1
            at, place = depth_at, retry
        else:
            return False
    return all(expected is None for expected in pattern[at:])
