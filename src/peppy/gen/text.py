"""Pieces of Python text, laid out as `ruff format` does with lines of 120 characters."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from peppy.model.names import Reference
from peppy.model.node import Slot, SlotKind

WIDTH = 120
INDENT = "    "


def literal(value: object) -> str:
    """A Python literal in ASCII, with double quotes where that needs no escape."""
    text = ascii(value)
    if isinstance(value, str) and text.startswith("'") and '"' not in value:
        return f'"{text[1:-1]}"'
    return text


def exploded(prefix: str, items: Sequence[str], suffix: str, indent: str = "") -> str:
    """Everything on one line, else one line for each item with a comma behind it."""
    line = f"{indent}{prefix}{', '.join(items)}{suffix}"
    return line if len(line) <= WIDTH else _one_by_one(prefix, items, suffix, indent)


def _one_by_one(prefix: str, items: Sequence[str], suffix: str, indent: str) -> str:
    lines = "".join(f"{indent}{INDENT}{item},\n" for item in items)
    return f"{indent}{prefix}\n{lines}{indent}{suffix}"


def imports(modules: Mapping[str, Iterable[str]]) -> str:
    """`from module import names`, one statement per module; modules in the order given, names sorted, none without."""
    lines = [_import(module, sorted(set(names), key=_import_key)) for module, names in modules.items()]
    return "".join(f"{line}\n" for line in lines if line)


def _import(module: str, names: list[str]) -> str:
    if not names:
        return ""
    line = f"from {module} import {', '.join(names)}"
    return line if len(line) <= WIDTH else _one_by_one(f"from {module} import (", names, ")", "")


def _import_key(name: str) -> tuple[int, list[tuple[int, str | int]]]:
    """Constants, then classes, then the rest, numbers in the order of their value."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return kind, [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def module(docstring: str, *sections: str) -> str:
    """A module: its docstring, then the sections that are not empty; classes and functions stand two lines apart."""
    parts = [f'"""{docstring}"""', *(text for section in sections if (text := section.strip("\n")))]
    text = parts[0]
    for before, after in pairwise(parts):
        far = before.startswith(_BLOCKS) or after.startswith(_BLOCKS)
        text += ("\n\n\n" if far else "\n\n") + after
    return f"{text}\n"


def class_text(head: str, docstring: str, attributes: Sequence[str]) -> str:
    """A class that only has annotated attributes; `head` is its name and its base in brackets."""
    lines = [f"class {head}:", f'{INDENT}"""{docstring}"""', *([""] if attributes else [])]
    return "\n".join([*lines, *(f"{INDENT}{attribute}" for attribute in attributes)]) + "\n"


def owned_by(interface: Reference | None) -> str:
    """Where a member of the node is inherited from, for docstrings; nothing for a native one."""
    return "" if interface is None else f" of interface `{interface}`"


def inherited_from(interface: Reference | None) -> list[str]:
    """The last argument of what behaviour gets for an inherited member; none for a native one."""
    return [] if interface is None else [literal(str(interface))]


def provider_of(slot: Slot) -> str:
    """The node or interface that a slot reaches, for docstrings."""
    return f"{'interface ' if slot.kind is SlotKind.INTERFACE else ''}`{slot.provider}`"


def reached_through(slot: Slot) -> list[str]:
    """The last argument of what behaviour gets for a member behind an interface slot; none behind a node slot."""
    return inherited_from(slot.provider if slot.kind is SlotKind.INTERFACE else None)


_DISPLAYS = ("(", "[", "{")
_BLOCKS = ("class ", "def ", "async def ", "@")


@dataclass(frozen=True, slots=True)
class Call:
    """An expression in brackets: flat where it fits, else its parts on one line, else one line for each."""

    prefix: str
    parts: "Sequence[str | Call]"
    suffix: str = ")"

    def flat(self) -> str:
        comma = "," if self.prefix == "(" and len(self.parts) == 1 else ""
        parts = [part if isinstance(part, str) else part.flat() for part in self.parts]
        return f"{self.prefix}{', '.join(parts)}{comma}{self.suffix}"

    def text(self, indent: str = "", before: str = "", after: str = "") -> str:
        """The text at `indent`, between `before` and `after` on its first and last line."""
        flat = self.flat()
        if len(f"{indent}{before}{flat}{after}") <= WIDTH or not self.parts:
            return f"{indent}{before}{flat}{after}"
        inner = f"{indent}{INDENT}"
        content = flat[len(self.prefix) : len(flat) - len(self.suffix)]
        if self.prefix not in _DISPLAYS and len(inner + content) <= WIDTH:
            return f"{indent}{before}{self.prefix}\n{inner}{content}\n{indent}{self.suffix}{after}"
        comma = "" if len(self.parts) == 1 and self.prefix not in _DISPLAYS else ","
        lines = [
            f"{inner}{part}{comma}\n" if isinstance(part, str) else f"{part.text(inner, after=comma)}\n"
            for part in self.parts
        ]
        return f"{indent}{before}{self.prefix}\n{''.join(lines)}{indent}{self.suffix}{after}"
