"""Read a format back from its canonical text (docs/reference/messages.md, Schema hash): generated code carries it."""

import json
from typing import Any

from peppy.model.types import Array, Field, FieldType, MessageFormat, Object, Scalar, Token


def parse_canonical(text: str) -> MessageFormat:
    """The format whose canonical text this is. ValueError when it is none."""
    return MessageFormat(_fields(json.loads(text)))


def _fields(entries: Any) -> tuple[Field, ...]:
    return tuple(Field(name, _type(kind), bool(optional)) for name, kind, optional in entries)


def _type(kind: Any) -> FieldType:
    if isinstance(kind, str):
        return Scalar(Token(kind))
    if len(kind) == 2 and isinstance(kind[1], int):
        items = _type(kind[0])
        if isinstance(items, Array):
            raise ValueError("arrays of arrays are not supported")
        return Array(items, kind[1] or None)
    return Object(_fields(kind))
