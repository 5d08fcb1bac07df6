"""Where the values of a JSON5 document stand, and what is wrong with one that is no JSON5.

The json5 package reads the values but knows no places. `scan` goes over the same text a second time, only when there is
something to report, and notes for every dotted path where its key and its value stand (docs/reference/manifest.md, 1).
"""

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass, field

from peppy.model.text import quoted

Path = tuple[str | int, ...]
"""Keys and list indices from the root: `("topics", "emits", 0)`."""

DIGIT_LIMIT = 4300
"""Digits of one decimal integer; Python, and with it the json5 package, takes no more."""

# No possessive quantifier on a group: Python 3.11.2 (Debian 12) loses its place after a failed alternative in one.
BLANKS = re.compile(
    r"(?:[\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"
    r"|//[^\n\r\u2028\u2029]*+|/\*.*?\*/)*",
    re.DOTALL,
)
_STRING = {
    '"': re.compile(r'"(?:[^"\\\n\r]|\\(?:\r\n|.))*', re.DOTALL),
    "'": re.compile(r"'(?:[^'\\\n\r]|\\(?:\r\n|.))*", re.DOTALL),
}
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(0)(?![0-9])|(\r\n|[\n\r\u2028\u2029])|([^xu0-9\n\r\u2028\u2029]))"
)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_NUMBER = re.compile(
    r"[+-]?(?:Infinity|NaN|0[xX][0-9a-fA-F]++|(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?"
    r"|\.[0-9]++(?:[eE][+-]?[0-9]++)?)"
)
_WORD = re.compile(r"null|true|false")
_KEY = re.compile(r"(?:[A-Za-z0-9_$]|[^\x00-\x7f\s\ufeff]|\\u[0-9a-fA-F]{4})+")
_LINE_END = re.compile(r"\r\n|\n|\r")


class NotJSON5(Exception):
    """The text is no JSON5: at `offset` stands `found` where `expected` belongs."""

    def __init__(self, offset: int, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.offset = offset


@dataclass(slots=True)
class Positions:
    """Offsets of keys and values (start and end) by path.

    A repeated key keeps its last place, as its value does; what stood only below the first one stays and is never asked
    for. `duplicates` holds the path of a repeated key, where it stood first and where it stands again.
    """

    keys: dict[Path, int] = field(default_factory=dict[Path, int])
    values: dict[Path, tuple[int, int]] = field(default_factory=dict[Path, tuple[int, int]])
    duplicates: list[tuple[Path, int, int]] = field(default_factory=list[tuple[Path, int, int]])


class Lines:
    """Line and column (from 1, in characters) of the offsets of a text."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def place(self, offset: int) -> tuple[int, int]:
        """(line, column) of an offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def scan(text: str) -> Positions:
    """The places in a JSON5 document; NotJSON5 when it is none. The caller has limited its nesting."""
    return _Scanner(text).document()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.positions = Positions()

    def document(self) -> Positions:
        self.value((), "a value")
        self.blanks()
        if self.at < len(self.text):
            raise self.wrong("the end of the document")
        return self.positions

    def blanks(self) -> str:
        """Skips blanks and comments; returns the next character, empty at the end."""
        match = BLANKS.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        if self.text.startswith("/*", self.at):
            raise NotJSON5(self.at, "`*/` after this", "the end of the document")
        return self.text[self.at : self.at + 1]

    def wrong(self, expected: str, at: int | None = None) -> NotJSON5:
        offset = self.at if at is None else at
        return NotJSON5(offset, expected, _found(self.text, offset))

    def value(self, path: Path, expected: str) -> None:
        first = self.blanks()
        start = self.at
        if first == "{":
            self.members(path)
        elif first == "[":
            self.items(path)
        elif first in _STRING:
            self.string(first)
        elif match := _NUMBER.match(self.text, self.at):
            self.number(match)
        elif match := _WORD.match(self.text, self.at):
            self.at = match.end()
        else:
            raise self.wrong(expected)
        self.positions.values[path] = start, self.at

    def number(self, match: re.Match[str]) -> None:
        digits = match[0].lstrip("+-")
        if len(digits) > DIGIT_LIMIT and digits.isdigit():
            raise NotJSON5(self.at, f"an integer of at most {DIGIT_LIMIT} digits", f"{len(digits)} digits")
        self.at = match.end()

    def members(self, path: Path) -> None:
        seen: dict[str, int] = {}
        self.at += 1
        while self.blanks() != "}":
            start = self.at
            name = self.key()
            if self.blanks() != ":":
                raise self.wrong(f"`:` after the key {quoted(name)}")
            self.at += 1
            member = (*path, name)
            if name in seen:
                self.positions.duplicates.append((member, seen[name], start))
            seen.setdefault(name, start)
            self.positions.keys[member] = start
            self.value(member, f"a value for {quoted(name)}")
            self.comma("}")
        self.at += 1

    def items(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self.blanks() != "]":
            self.value((*path, index), "a value or `]`")
            self.comma("]")
            index += 1
        self.at += 1

    def comma(self, closing: str) -> None:
        found = self.blanks()
        if found == ",":
            self.at += 1
        elif found != closing:
            raise self.wrong(f"`,` or `{closing}`")

    def key(self) -> str:
        first = self.text[self.at : self.at + 1]
        if first in _STRING:
            return self.string(first)
        match = _KEY.match(self.text, self.at)
        if match is None:
            raise self.wrong("a key or `}`")
        name = _unescaped(match[0])
        if not _is_identifier(name):
            raise NotJSON5(self.at, "a key that is a quoted string or starts with a letter", quoted(match[0]))
        self.at = match.end()
        return name

    def string(self, quote: str) -> str:
        match = _STRING[quote].match(self.text, self.at)
        assert match is not None
        if self.text[match.end() : match.end() + 1] != quote:
            raise self.wrong(f"the closing `{quote}` of the string", match.end())
        body = match[0][1:]
        if "\\" in body:
            self.check_escapes(self.at + 1, match.end())
            body = _unescaped(body)
        self.at = match.end() + 1
        return body

    def check_escapes(self, start: int, end: int) -> None:
        while (start := self.text.find("\\", start, end)) >= 0:
            match = _ESCAPE.match(self.text, start)
            if match is None:
                raise NotJSON5(start, "an escape of JSON5", quoted(self.text[start : start + 2]))
            start = match.end()


def _found(text: str, offset: int) -> str:
    if offset >= len(text):
        return "the end of the document"
    if text[offset] in "\r\n":
        return "the end of the line"
    word = re.compile(r"\w+").match(text, offset)
    return quoted(word[0] if word else text[offset])


def _unescaped(body: str) -> str:
    return _ESCAPE.sub(_character, body) if "\\" in body else body


def _character(match: re.Match[str]) -> str:
    two, four, zero, line_end, other = match.groups()
    if two or four:
        return chr(int(two or four, 16))
    if zero:
        return "\0"
    return "" if line_end else _ESCAPED.get(other, other)


def _is_identifier(name: str) -> bool:
    if name.isascii():
        return bool(name) and not name[0].isdigit()
    first = unicodedata.category(name[0])
    return (name[0] in "$_" or first in _LETTERS) and all(
        c in "$_\u200c\u200d" or unicodedata.category(c) in _LETTERS | {"Mn", "Mc", "Nd", "Pc"} for c in name
    )


_LETTERS = {"Lu", "Ll", "Lt", "Lm", "Lo", "Nl"}
