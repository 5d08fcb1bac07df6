"""Bindings as a person writes them: `KEY@VALUE` (docs/reference/bindings.md, Writing bindings)."""

from collections.abc import Iterable

from peppy.errors import InvalidInput, Problem
from peppy.model.names import is_name
from peppy.model.text import quoted

RESERVED_KEY = "_"


def parse_bindings(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The `(KEY, VALUE)` pairs of texts that each hold one `KEY@VALUE` or several, comma separated.

    Raises InvalidInput with all of `BindingKeySyntax`, `BindingSentinelKey` and `BindingDuplicateKey`
    (docs/reference/bindings.md, Validator, rules 5 to 7).
    """
    written = [item for text in texts for item in text.split(",")]
    pairs = [_split(item) for item in written]
    problems = [problem for item, pair in zip(written, pairs, strict=True) if (problem := _syntax(item, pair))]
    problems += _duplicates([pair[0] for pair in pairs if pair])
    if problems:
        raise InvalidInput(problems)
    return tuple(pair for pair in pairs if pair)


def _split(item: str) -> tuple[str, str] | None:
    key, at, value = item.partition("@")
    return (key, value) if at else None


def _syntax(item: str, pair: tuple[str, str] | None) -> Problem | None:
    if pair and pair[0] == RESERVED_KEY:
        return Problem("BindingSentinelKey", f"the key of {quoted(item)} is reserved")
    if pair and is_name(pair[0]) and is_name(pair[1]):
        return None
    return Problem("BindingKeySyntax", f"{quoted(item)} is no binding, expected KEY@VALUE")


def _duplicates(keys: list[str]) -> list[Problem]:
    repeated = [key for key in dict.fromkeys(keys) if is_name(key) and keys.count(key) > 1]
    return [Problem("BindingDuplicateKey", f"the key {quoted(key)} is bound twice") for key in repeated]
