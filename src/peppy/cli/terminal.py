"""What a terminal can show: its width, colours, the columns of a text, and text that cannot harm it."""

import os
from typing import TextIO

from peppy.model.text import escaped

RED, YELLOW, CYAN, DIM = "31", "33", "36", "2"


def is_terminal(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that understands escape sequences."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def columns(stream: TextIO) -> int | None:
    """The width of the terminal behind `stream`, or None when it is none."""
    if not stream.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def coloured(text: str, colour: str, stream: TextIO) -> str:
    """`text` in `colour`, where colours are wanted (docs/reference/cli.md, Colour)."""
    if os.environ.get("NO_COLOR") or not is_terminal(stream):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


def display_width(text: str) -> int:
    """The columns that `text` takes: wide glyphs count 2, combining marks 0."""
    if text.isascii():
        return len(text)
    return sum(_glyph_width(glyph) for glyph in text)


def _glyph_width(glyph: str) -> int:
    import unicodedata

    if unicodedata.category(glyph) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(glyph) in ("W", "F") else 1


def padded(text: str, width: int) -> str:
    """`text` followed by blanks up to `width` columns."""
    return text + " " * (width - display_width(text))


def cut(text: str, width: int) -> str:
    """`text` on at most `width` columns, with `…` where something is missing."""
    if display_width(text) <= width:
        return text
    taken, used = "", 0
    for glyph in text:
        used += _glyph_width(glyph)
        if used > width - 1:
            break
        taken += glyph
    return taken + "…"


def harmless(text: str) -> str:
    """One line of foreign output: tabs become blanks, other control characters their codes."""
    return escaped(text.expandtabs())


def shortened(path: str) -> str:
    """`path` with the home directory as `~`."""
    home = os.path.expanduser("~").rstrip("/")  # noqa: PTH111 - a text stays a text
    if not home or not (path == home or path.startswith(home + "/")):
        return path
    return "~" + path[len(home) :]
