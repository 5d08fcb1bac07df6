"""Message formats: the types of a payload, their schema hash and which fields are bulk (docs/reference/messages.md)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from peppy.model.names import identifier, stable_hash

INLINE_ELEMENTS = 16
"""A fixed-length number array of at most this many elements travels in the body; longer ones are bulk."""

MAX_DEPTH = 16
"""Objects may nest this deep."""

MAX_FIELDS = 1024
"""Fields in one format, nested ones counted."""

RESERVED_FIELDS = frozenset({"instance_id", "node_runner", "self"})


class Token(StrEnum):
    """A leaf type."""

    BOOL = "bool"
    U8 = "u8"
    U16 = "u16"
    U32 = "u32"
    U64 = "u64"
    I8 = "i8"
    I16 = "i16"
    I32 = "i32"
    I64 = "i64"
    F32 = "f32"
    F64 = "f64"
    STRING = "string"
    BYTES = "bytes"
    TIME = "time"


ALIASES = {"float": Token.F32, "double": Token.F64, "str": Token.STRING}
INTEGERS = {
    Token.U8: (0, 2**8 - 1),
    Token.U16: (0, 2**16 - 1),
    Token.U32: (0, 2**32 - 1),
    Token.U64: (0, 2**64 - 1),
    Token.I8: (-(2**7), 2**7 - 1),
    Token.I16: (-(2**15), 2**15 - 1),
    Token.I32: (-(2**31), 2**31 - 1),
    Token.I64: (-(2**63), 2**63 - 1),
}
FLOATS = frozenset({Token.F32, Token.F64})
FIXED_SIZE = {
    Token.BOOL: 1,
    Token.U8: 1,
    Token.I8: 1,
    Token.BYTES: 1,
    Token.U16: 2,
    Token.I16: 2,
    Token.U32: 4,
    Token.I32: 4,
    Token.F32: 4,
    Token.U64: 8,
    Token.I64: 8,
    Token.F64: 8,
}
"""Bytes of one bulk element; also the tokens whose arrays may have a fixed length, except `bytes`."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value."""

    token: Token


@dataclass(frozen=True, slots=True)
class Array:
    """A list of `items`; `length` None means any number."""

    items: "Scalar | Object"
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """Named fields in declaration order."""

    fields: "tuple[Field, ...]"


FieldType = Scalar | Array | Object


@dataclass(frozen=True, slots=True)
class Field:
    """A field as declared; `identifier` is its name in Python."""

    name: str
    type: FieldType
    optional: bool = False

    @property
    def identifier(self) -> str:
        return identifier(self.name)


@dataclass(frozen=True, slots=True)
class MessageFormat:
    """A payload's fields in declaration order. A surface without payload has None in its place, never an empty one."""

    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class BulkField:
    """A field that travels beside the body: its declared names from the root, its element and its length."""

    path: tuple[str, ...]
    token: Token
    length: int | None
    may_be_absent: bool


def is_bulk(kind: FieldType) -> bool:
    """Whether a field of this type is bulk where it stands at root level or inside plain objects."""
    if isinstance(kind, Scalar):
        return kind.token is Token.BYTES
    if isinstance(kind, Object) or not isinstance(kind.items, Scalar):
        return False
    token = kind.items.token
    if token is Token.U8:
        return True
    return token in FIXED_SIZE and token is not Token.BYTES and (kind.length is None or kind.length > INLINE_ELEMENTS)


def bulk_fields(message_format: MessageFormat) -> tuple[BulkField, ...]:
    """The bulk fields, numbered depth-first in declaration order (docs/reference/messages.md, Bulk fields)."""
    return tuple(_bulk_of(message_format.fields, (), False))


def _bulk_of(fields: tuple[Field, ...], prefix: tuple[str, ...], absent: bool) -> Iterator[BulkField]:
    for field in fields:
        path, may_be_absent = (*prefix, field.name), absent or field.optional
        if is_bulk(field.type):
            token, length = _element(field.type)
            yield BulkField(path, token, length, may_be_absent)
        elif isinstance(field.type, Object):
            yield from _bulk_of(field.type.fields, path, may_be_absent)


def _element(kind: FieldType) -> tuple[Token, int | None]:
    if isinstance(kind, Array) and isinstance(kind.items, Scalar):
        return kind.items.token, kind.length
    assert isinstance(kind, Scalar)
    return kind.token, None


def canonical(message_format: MessageFormat) -> str:
    """The text that the schema hash is made of (docs/reference/messages.md, Schema hash)."""
    return json.dumps(_canonical_fields(message_format.fields), separators=(",", ":"), ensure_ascii=True)


def _canonical_fields(fields: tuple[Field, ...]) -> list[object]:
    return [[field.name, _canonical_type(field.type), int(field.optional)] for field in fields]


def _canonical_type(kind: FieldType) -> object:
    if isinstance(kind, Scalar):
        return kind.token.value
    if isinstance(kind, Array):
        return [_canonical_type(kind.items), kind.length or 0]
    return _canonical_fields(kind.fields)


def schema_hash(message_format: MessageFormat | None) -> int:
    """The 64-bit hash that producer and consumer compare; 0 without payload. Shown as 16 lower-case hex digits."""
    return 0 if message_format is None else stable_hash(canonical(message_format))
