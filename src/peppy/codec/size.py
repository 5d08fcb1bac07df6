"""The size of payloads whose format fixes it (docs/reference/qos.md, Ring depth)."""

from peppy.codec import layout
from peppy.model.types import FIXED_SIZE, Field, FieldType, MessageFormat, Object, Scalar, Token, bulk_fields, is_bulk

_IN_BODY = {
    Token.BOOL: 1,
    Token.U8: 2,
    Token.I8: 2,
    Token.U16: 3,
    Token.I16: 3,
    Token.U32: 5,
    Token.I32: 5,
    Token.U64: 9,
    Token.I64: 9,
    Token.F32: 9,
    Token.F64: 9,
    Token.TIME: 9,
}
"""The most bytes that msgpack takes for one value."""


def fixed_size(message_format: MessageFormat | None) -> int | None:
    """The most bytes that a payload can take; None when strings, octets or variable arrays leave that open."""
    if message_format is None:
        return 0
    bulk = bulk_fields(message_format)
    body = _object(message_format.fields)
    if body is None:
        return None
    end = layout.head_size(len(bulk)) + body
    for field in bulk:
        if field.length is None:
            return None
        end = layout.aligned(end) + FIXED_SIZE[field.token] * field.length
    return end


def largest_body(message_format: MessageFormat) -> int | None:
    """The most bytes that the body takes, which is all but the bulk fields; None when that is open."""
    return _object(message_format.fields)


def _object(fields: tuple[Field, ...]) -> int | None:
    sizes = [_value(field.type) for field in fields if not is_bulk(field.type)]
    if any(size is None for size in sizes):
        return None
    return _array_head(len(sizes)) + sum(size for size in sizes if size is not None)


def _value(kind: FieldType) -> int | None:
    if isinstance(kind, Object):
        return _object(kind.fields)
    if isinstance(kind, Scalar):
        return _IN_BODY.get(kind.token)
    if kind.length is None or not isinstance(kind.items, Scalar):
        return None
    return _array_head(kind.length) + kind.length * _IN_BODY[kind.items.token]


def _array_head(count: int) -> int:
    return 1 if count < 16 else 3 if count < 2**16 else 5
