"""What a `.gitignore` names, as far as walking a repository needs it (docs/reference/daemon.md, Repositories)."""

import re
from dataclasses import dataclass
from pathlib import Path

SIZE_LIMIT = 64 * 1024
"""Bytes of a `.gitignore`; a larger one is not read."""

WILDCARDS = 8
"""More `*` in one pattern could take a regular expression for ever: such a pattern is left out."""

_TOKEN = re.compile(r"/\*\*$|^\*\*/|/\*\*/|\*+|\?|\[[!^]?\]?[^\]]*\]|\\.|.", re.DOTALL)
_MEANINGS = {"/**": "/.*", "**/": "(?:.*/)?", "/**/": "/(?:.*/)?", "?": "[^/]"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: `pattern` matches paths below the directory of its file, with `/` between the names."""

    pattern: re.Pattern[str]
    wanted: bool
    only_directories: bool


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
        path = relative.removeprefix(f"{self.directory}/") if self.directory else relative
        for rule in reversed(self.rules):
            if (is_directory or not rule.only_directories) and rule.pattern.fullmatch(path):
                return not rule.wanted
        return self.above is not None and self.above.names(relative, is_directory=is_directory)


def _read(path: Path) -> tuple[Rule, ...]:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > SIZE_LIMIT:
            return ()
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(rule for line in lines if (rule := parse_rule(line)) is not None)


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
    if not text or text.count("*") > WILDCARDS:
        return None
    expression = "".join(_translated(token) for token in _TOKEN.findall(text))
    try:
        pattern = re.compile(expression if anchored else f"(?:.*/)?{expression}", re.DOTALL)
    except re.error:
        return None
    return Rule(pattern, wanted, only_directories)


def _translated(token: str) -> str:
    if token in _MEANINGS:
        return _MEANINGS[token]
    if token.startswith("*"):
        return "[^/]*"
    if token.startswith("[") and len(token) > 2:
        inside = token[1:-1]
        negated = inside.startswith(("!", "^"))
        characters = re.sub(r"([\\\[&|~])", r"\\\1", inside[1:] if negated else inside)
        return f"[{'^' if negated else ''}{characters}]"
    return re.escape(token[1:] if token.startswith("\\") and len(token) == 2 else token)
