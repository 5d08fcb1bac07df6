"""One document from bytes to checked values (docs/reference/manifest.md, Rules for every document).

`Document.parse` applies the limits and the grammar; a `cursor.Cursor` then takes the values and reports what is wrong
with them; `Document.finish` raises all that was reported, sorted by position.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from peppy.errors import InvalidInput, Problem
from peppy.manifest.position import BLANKS, Lines, NotJSON5, Path, Positions, scan
from peppy.model.names import is_name
from peppy.model.text import escaped, quoted

SIZE_LIMIT = 64 * 1024
"""Bytes of one document."""

DEPTH_LIMIT = 32
"""Objects and lists inside each other."""

VALUE_LIMIT = 2048
"""Keys and list items of one document: it bounds the time of the json5 package (0.3 ms each)."""

REPORTED = 20
"""Problems shown for one document."""

_NESTING = re.compile(
    r'"(?:[^"\\\n\r]|\\.)*"?|\'(?:[^\'\\\n\r]|\\.)*\'?|//[^\n\r\u2028\u2029]*+|/\*(?:.*?\*/|.*)|[\[{]|[\]}]|,',
    re.DOTALL,
)


@dataclass(slots=True)
class Finding:
    """A problem before its place is known; `first` is the path of an earlier value that the text refers to."""

    kind: str
    message: str
    hint: str
    path: Path
    at_key: bool
    first: Path | None


class Document:
    """The values of one document and the problems found in them; `file` is the name that errors carry."""

    def __init__(self, raw: bytes, file: str, text: str, root: object, duplicates: bool) -> None:
        self.raw = raw
        self.file = file
        self.text = text
        self.root = root
        self._duplicates = duplicates
        self._findings: list[Finding] = []

    @classmethod
    def parse(cls, raw: bytes, file: str) -> "Document":
        """The document in `raw`; InvalidInput when a limit, the encoding or the grammar forbids it."""
        text = _decoded(raw, file)
        _check_limits(text, file)
        root, duplicates = _values(text, file)
        return cls(raw, file, text, root, duplicates)

    @property
    def sha256(self) -> str:
        """The digest of the bytes, 64 lower-case hexadecimal digits."""
        return hashlib.sha256(self.raw).hexdigest()

    def add(self, finding: Finding) -> None:
        """Reports a problem."""
        self._findings.append(finding)

    @property
    def failed(self) -> bool:
        """Whether a problem has been found so far."""
        return self._duplicates or bool(self._findings)

    def finish(self) -> None:
        """Raises InvalidInput with all problems in the order of the text, at most 20, when there are any."""
        if not self.failed:
            return
        positions, lines = _positions(self.text), Lines(self.text)
        placed = [_placed(finding, positions, lines, self.file) for finding in self._findings]
        placed += _duplicate_keys(positions, lines, self.file)
        problems = sorted(placed, key=lambda problem: (problem.line or 0, problem.column or 0))
        raise InvalidInput(_shortened(problems, self.file))


def refusal(kind: str, message: str, hint: str, file: str | None = None) -> InvalidInput:
    """The error about a document as a whole."""
    return InvalidInput([Problem(kind, message, file=file, hint=hint)])


def too_large(file: str, found: str, limit: str) -> InvalidInput:
    """The error about a document over one of the limits."""
    return refusal("DocumentTooLarge", f"has {found}, the limit is {limit}", "split the document", file)


def _decoded(raw: bytes, file: str) -> str:
    if len(raw) > SIZE_LIMIT:
        raise too_large(file, f"{len(raw)} bytes", f"{SIZE_LIMIT} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}"
        raise refusal("DocumentUnreadable", reason, "save the file as UTF-8", file) from None
    if BLANKS.fullmatch(text):
        raise refusal("DocumentEmpty", "is empty", "write one object: `{ peppy_schema: … }`", file)
    return text


def _check_limits(text: str, file: str) -> None:
    depth = deepest = values = 0
    for match in _NESTING.finditer(text):
        first = match[0][0]
        if first in "[{":
            depth, values = depth + 1, values + 1
            deepest = max(deepest, depth)
        elif first in "]}":
            depth -= 1
        elif first == ",":
            values += 1
    if deepest > DEPTH_LIMIT:
        raise too_large(file, f"{deepest} nesting levels", f"{DEPTH_LIMIT} nesting levels")
    if values > VALUE_LIMIT:
        raise too_large(file, f"{values} keys and list items", f"{VALUE_LIMIT} keys and list items")


def _values(text: str, file: str) -> tuple[object, bool]:
    try:
        return _read_json5(text)
    except (ValueError, RecursionError) as error:
        raise _syntax_problem(text, file, error) from None


@lru_cache(maxsize=32)
def _read_json5(text: str) -> tuple[object, bool]:
    """The value of a JSON5 text, which nobody may change, and whether a key is repeated; ValueError."""
    import json5

    repeated = False

    def members(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
        nonlocal repeated
        entries = list(pairs)
        found = dict(entries)
        repeated = repeated or len(found) < len(entries)
        return found

    value = cast(object, json5.loads(text, object_pairs_hook=members))
    # json5 leaves a character that is written as two escapes in two halves.
    return (_joined(value) if "\\u" in text else value), repeated


def _joined(value: object) -> object:
    if isinstance(value, str):
        return whole_text(value) or value
    if isinstance(value, list):
        return [_joined(item) for item in cast(list[object], value)]
    if isinstance(value, dict):
        return {key: _joined(item) for key, item in cast(dict[str, object], value).items()}
    return value


def whole_text(text: str) -> str | None:
    """`text` with both halves of surrogate pairs joined, or None when it holds a half alone."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


def _syntax_problem(text: str, file: str, error: Exception) -> InvalidInput:
    hint = "correct the JSON5 syntax"
    try:
        scan(text)
    except NotJSON5 as wrong:
        line, column = Lines(text).place(wrong.offset)
        return InvalidInput([Problem("DocumentSyntax", str(wrong), file, line, column, hint=hint)])
    match = re.fullmatch(r"<string>:(\d+) (.*) at column (\d+)", str(error), re.DOTALL)
    if match is None:
        return refusal("DocumentSyntax", f"expected JSON5: {escaped(str(error))}", hint, file)
    message = f"expected JSON5, found {escaped(match[2]).lower()}"
    return InvalidInput([Problem("DocumentSyntax", message, file, int(match[1]), int(match[3]), hint=hint)])


def parse_value(text: str) -> object:
    """One JSON5 value, as the command line takes for arrays and groups; ValueError when the text is none.

    The limits of a document hold, and a repeated key is refused.
    """
    try:
        document = Document.parse(text.encode(), "value")
        document.finish()
    except InvalidInput as error:
        raise ValueError(error.details[0].located()) from None
    return document.root


def dotted(path: Path) -> str:
    """`interfaces.topics.emits[0].name`; a key that is no name stands in brackets and quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif is_name(step.removeprefix("$")):
            text += f".{step}" if text else step
        else:
            text += f'["{escaped(step[:100])}"]'
    return text


def _positions(text: str) -> Positions:
    try:
        return scan(text)
    except NotJSON5:
        # json5 took the text, so its values count; the whole document is then the only place that is known.
        return Positions(values={(): (0, len(text))})


def _placed(finding: Finding, positions: Positions, lines: Lines, file: str) -> Problem:
    line, column = _place(finding.path, finding.at_key, positions, lines)
    message = finding.message
    if finding.first is not None:
        message += ", first at {}:{}".format(*_place(finding.first, finding.at_key, positions, lines))
    return Problem(finding.kind, message, file, line, column, dotted(finding.path) or None, finding.hint)


def _place(path: Path, at_key: bool, positions: Positions, lines: Lines) -> tuple[int, int]:
    if at_key and path in positions.keys:
        return lines.place(positions.keys[path])
    while path and path not in positions.values:
        path = path[:-1]
    return lines.place(positions.values[path][0])


def _duplicate_keys(positions: Positions, lines: Lines, file: str) -> Iterator[Problem]:
    for path, first, second in positions.duplicates:
        (line, column), earlier = lines.place(second), lines.place(first)
        message = f"the key {quoted(path[-1])} is repeated, first at {earlier[0]}:{earlier[1]}"
        yield Problem("DuplicateKey", message, file, line, column, dotted(path), "remove one of the two")


def _shortened(problems: list[Problem], file: str) -> Iterable[Problem]:
    if len(problems) <= REPORTED:
        return problems
    more = Problem("Invalid", f"... and {len(problems) - REPORTED} more", file, hint="correct these first")
    return [*problems[:REPORTED], more]
