"""How values and suggestions appear in messages for people."""

import json
from collections.abc import Iterable

SHOWN = 60
"""Longer values are cut to this many characters."""


def quoted(value: object) -> str:
    """`value` in backticks as a document writes it: on one line, harmless for a terminal, cut to 60 characters."""
    text = _written(value)
    if len(text) > SHOWN:
        text = text[: SHOWN - 1] + "…"
    return f"`{text}`"


def _written(value: object) -> str:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    try:
        return escaped(json.dumps(value, ensure_ascii=False, default=repr))
    except ValueError:
        return f"a {type(value).__name__} with a number of thousands of digits"


def escaped(text: str) -> str:
    """`text` with every character that could move a cursor, change a colour or hide itself written as its code."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(text: str, choices: Iterable[str]) -> str | None:
    """The choice that `text` was probably meant to be, or None when none is close."""
    from difflib import get_close_matches

    by_lower = {choice.lower(): choice for choice in choices}
    found = get_close_matches(text[:200].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None
