"""Messages and formats as text and as data (docs/reference/cli.md, Topics of a running stack)."""

import base64
import json
import math
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from peppy.errors import PeppyError
from peppy.model.text import escaped, nearest, quoted
from peppy.model.types import FLOATS, Array, Field, FieldType, MessageFormat, Object, Scalar, Token

INDENT = "  "
MOST_ELEMENTS = 16
"""Longer arrays are shown by their first elements and their length."""
FIRST_ELEMENTS = 2
EMPTY = "(empty)"
"""A message without payload."""


class Selection(NamedTuple):
    """What of a message is shown: all of it, or one field. `type` is None for a topic without payload."""

    type: FieldType | None
    identifiers: tuple[str, ...] = ()

    def of(self, message: Any) -> Any:
        """The selected value; None when it, or what holds it, is absent."""
        for identifier in self.identifiers:
            if message is None:
                return None
            message = getattr(message, identifier)
        return message


def select(address: str, message_format: MessageFormat | None, path: str | None) -> Selection:
    """The field of that dotted path, or everything. PeppyError `NotFound` names what the format has instead."""
    if message_format is None:
        if path is not None:
            raise PeppyError(f"`{address}` has no payload, so no field {quoted(path)}", kind="NotFound")
        return Selection(None)
    kind: FieldType = Object(message_format.fields)
    identifiers: list[str] = []
    for name in path.split(".") if path is not None else ():
        fields = kind.fields if isinstance(kind, Object) else ()
        field = next((field for field in fields if field.name == name), None)
        if field is None:
            raise _no_field(address, path or "", message_format)
        kind = field.type
        identifiers.append(field.identifier)
    return Selection(kind, tuple(identifiers))


def _no_field(address: str, path: str, message_format: MessageFormat) -> PeppyError:
    paths = list(_paths(message_format.fields, ""))
    close = nearest(path, paths)
    hint = f"did you mean `{close}`?" if close else f"it has {', '.join(f'`{known}`' for known in paths)}"
    return PeppyError(f"`{address}` has no field {quoted(path)}", kind="NotFound", hint=hint)


def _paths(fields: Sequence[Field], prefix: str) -> Iterator[str]:
    for field in fields:
        yield prefix + field.name
        if isinstance(field.type, Object):
            yield from _paths(field.type.fields, f"{prefix}{field.name}.")


# --- formats ---------------------------------------------------------------------------------------------------------


def format_lines(fields: Sequence[Field], indent: str = INDENT) -> Iterator[str]:
    """A format as an indented tree: `name: type`."""
    for field in fields:
        inner = field.type.items if isinstance(field.type, Array) else field.type
        yield f"{indent}{field.name}: {type_text(field.type)}{' (optional)' if field.optional else ''}"
        if isinstance(inner, Object):
            yield from format_lines(inner.fields, indent + INDENT)


def type_text(kind: FieldType) -> str:
    """A type as people read it: `u16`, `array[f32; 3]`, `object`."""
    if isinstance(kind, Scalar):
        return kind.token.value
    if isinstance(kind, Object):
        return "object"
    length = "" if kind.length is None else f"; {kind.length}"
    return f"array[{type_text(kind.items)}{length}]"


# --- values as text --------------------------------------------------------------------------------------------------


def value_lines(kind: FieldType | None, value: Any, *, full: bool) -> list[str]:
    """A message, or one field of it, without a name before it."""
    if kind is None:
        return [EMPTY]
    if value is None:
        return ["null"]
    if isinstance(kind, Object):
        return list(_object_lines(kind, value, "", full))
    if isinstance(kind, Array) and isinstance(kind.items, Object):
        return list(_items(kind.items, value, "", full)) or ["[]"]
    return [_inline(kind, value, full)]


def _object_lines(kind: Object, value: Any, indent: str, full: bool) -> Iterator[str]:
    for field in kind.fields:
        inner, held = field.type, getattr(value, field.identifier)
        if held is not None and isinstance(inner, Object):
            yield f"{indent}{field.name}:"
            yield from _object_lines(inner, held, indent + INDENT, full)
        elif isinstance(inner, Array) and isinstance(inner.items, Object) and held:
            yield f"{indent}{field.name}:"
            yield from _items(inner.items, held, indent + INDENT, full)
        else:
            yield f"{indent}{field.name}: {'null' if held is None else _inline(inner, held, full)}"


def _items(kind: Object, values: Sequence[Any], indent: str, full: bool) -> Iterator[str]:
    """An array of objects: each begins with `- `."""
    shown = len(values) if full or len(values) <= MOST_ELEMENTS else FIRST_ELEMENTS
    for value in islice(values, shown):
        first, *rest = _object_lines(kind, value, indent + INDENT, full)
        yield f"{indent}- {first.removeprefix(indent + INDENT)}"
        yield from rest
    if shown < len(values):
        yield f"{indent}… {len(values)} elements"


def _inline(kind: FieldType, value: Any, full: bool) -> str:
    if isinstance(kind, Scalar):
        return _scalar(kind.token, value, full)
    if isinstance(kind, Array) and isinstance(kind.items, Scalar):
        token, count = kind.items.token, len(value)
        shown = count if full or count <= MOST_ELEMENTS else FIRST_ELEMENTS
        texts = [_scalar(token, element, full) for element in _elements(value, shown)]
        return f"[{', '.join(texts if shown == count else [*texts, f'… {count} elements'])}]"
    return "[]"  # an array of objects without any


def _scalar(token: Token, value: Any, full: bool) -> str:
    if token is Token.BYTES:
        return bytes(value).hex() if full else f"<{len(value)} bytes>"
    return escaped(json.dumps(_shortest(value) if token is Token.F32 else value, ensure_ascii=False))


def _elements(value: Any, count: int) -> list[Any]:
    """The first `count` elements as Python values, of a list, of octets or of a numpy array."""
    part = value[:count]
    return part.tolist() if hasattr(part, "tolist") else list(part)


def _shortest(value: float) -> float:
    """The number with the fewest digits that is this one in 32 bits: 0.1 and not 0.10000000149011612."""
    if not math.isfinite(value):
        return value
    packed = struct.pack("<f", value)
    candidates = (float(f"{value:.{digits}g}") for digits in range(6, 10))
    return next((number for number in candidates if _packs_to(number, packed)), value)


def _packs_to(number: float, packed: bytes) -> bool:
    try:
        return struct.pack("<f", number) == packed
    except OverflowError:  # rounded up beyond the largest of 32 bits
        return False


# --- values as data --------------------------------------------------------------------------------------------------


def value_data(kind: FieldType | None, value: Any, *, full: bool) -> Any:
    """A message or a field for JSON: bytes as base64 with `full`, else `{"bytes": n}`; numbers without end as null."""
    if kind is None or value is None:
        return None
    if isinstance(kind, Object):
        return {
            field.name: value_data(field.type, getattr(value, field.identifier), full=full) for field in kind.fields
        }
    if isinstance(kind, Array):
        return [value_data(kind.items, element, full=full) for element in _elements(value, len(value))]
    if kind.token is Token.BYTES:
        return base64.b64encode(value).decode() if full else {"bytes": len(value)}
    if kind.token in FLOATS or kind.token is Token.TIME:
        return (_shortest(value) if kind.token is Token.F32 else value) if math.isfinite(value) else None
    return value
