"""Compile the function that decodes payloads of one format (docs/reference/messages.md, section 11.3).

Bytes from a ring are hostile: header and table are copied before they are checked, the body goes through msgspec with
all lengths and ranges, and a region is touched only after its entry has proved to lie inside the payload. The generated
function tests happily and leaves the explanation of what is wrong to `_explain`.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import msgspec

from peppy.codec import layout
from peppy.codec.bulk import DTYPES
from peppy.codec.classes import ROOT, body_type, holds_bulk
from peppy.codec.source import Source
from peppy.errors import DecodeError
from peppy.model.types import FIXED_SIZE, Field, MessageFormat, Object, Token, bulk_fields, is_bulk

Decode = Callable[..., Any]

NO_HEAD = 0
"""No payload begins so: its version would be 0."""

_BODY_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError)
_RULES = {
    1: "a payload has at least 8 bytes, version 1 and flags 0",
    2: "the number of bulk fields is the format's",
    3: "header, table and body lie inside the payload",
    4: "the body is exactly one value of the format's type",
    5: "an absent bulk field may be absent and agrees with the body",
    6: "a bulk region is aligned, behind the one before it and inside the payload",
    7: "the length of a bulk region is a multiple of its element and the format's",
}


class Decoder(NamedTuple):
    """`decode(payload, owned=True)` for one format; DecodeError for every payload that is not valid.

    For a format without bulk fields: a payload that begins with the u32 `head` and then the length of its body is what
    `read(body)` makes of it; what `read` refuses, `decode` explains.
    """

    decode: Callable[..., Any]
    head: int
    read: Callable[[bytes], Any]


def compile_decoder(member: str, message_format: MessageFormat, classes: Mapping[str, type]) -> Decoder:
    """The decoder for one format."""
    if any(holds_bulk(field.type) for field in message_format.fields):
        decode = _BulkDecoder(member, message_format, classes).compile()
        return Decoder(decode, NO_HEAD, decode)
    read = msgspec.msgpack.Decoder(classes[ROOT]).decode
    return Decoder(_plain_decoder(member, read), layout.first_word(0), read)


def fail(member: str, rule: int, detail: str = "") -> NoReturn:
    """Raise the DecodeError for one of the seven rules."""
    text = f"a payload of `{member}` is not valid: {_RULES[rule]} (rule {rule})"
    raise DecodeError(f"{text}: {detail}" if detail else text)


def _plain_decoder(member: str, read_body: Callable[[Any], Any]) -> Decode:
    """Without bulk fields the body decodes straight into the payload class."""
    unpack = layout.HEADER.unpack_from
    version, header_size = layout.VERSION, layout.HEADER_SIZE

    def decode(payload: Any, owned: bool = True) -> Any:  # noqa: ARG001 (nothing here points into the payload)
        try:
            word, size = unpack(payload)
            if word != version or header_size + size > len(payload):
                _explain(member, payload, 0)
            return read_body(payload[header_size : header_size + size])
        except struct.error:
            _explain(member, payload, 0)
        except _BODY_ERRORS as error:
            fail(member, 4, str(error))

    return decode


def _explain(member: str, payload: Any, bulk_count: int) -> NoReturn:
    """Say which of the rules 1 to 3 a payload breaks."""
    total, head = len(payload), bytes(payload[: layout.HEADER_SIZE])
    if total < layout.HEADER_SIZE:
        fail(member, 1, f"it has `{total}` bytes")
    if head[0] != layout.VERSION or head[1]:
        fail(member, 1, f"version `{head[0]}`, flags `{head[1]}`")
    word, size = layout.HEADER.unpack(head)
    if word >> 16 != bulk_count:
        fail(member, 2, f"`{word >> 16}` instead of `{bulk_count}`")
    fail(member, 3, f"`{layout.head_size(bulk_count) + size}` of `{total}` bytes")


def _misplaced(member: str, path: str, offset: int, length: int, total: int) -> NoReturn:
    fail(member, 6, f"`{path}` at `{offset}`, `{length}` bytes, of `{total}`")


def _wrong_length(member: str, path: str, length: int) -> NoReturn:
    fail(member, 7, f"`{path}` has `{length}` bytes")


class _BulkDecoder:
    """Writes the source of one decoder for a format with bulk fields."""

    def __init__(self, member: str, message_format: MessageFormat, classes: Mapping[str, type]) -> None:
        self._member = member
        self._root = Object(message_format.fields)
        self._classes = classes
        self._bulk = bulk_fields(message_format)
        self._next_bulk = 0
        self._source = Source()

    def compile(self) -> Decode:
        source, count = self._source, len(self._bulk)
        size = layout.head_size(count)
        unpack, explain = source.bind(layout.head_struct(count).unpack), source.bind(self._explain)
        read = source.bind(msgspec.msgpack.Decoder(self._tuple_type(self._root, "")).decode)
        table = ", ".join(f"o{index}, n{index}" for index in range(count))
        with source.block("def decode(payload, owned=True):"):
            source.line("total = len(payload)")
            source.line(f"head = bytes(payload[:{size}])")
            with source.block(f"if len(head) != {size}:"):
                source.line(f"{explain}(payload)")
            source.line(f"word, size, {table} = {unpack}(head)")
            source.line(f"end = {size} + size")
            with source.block(f"if word != {layout.first_word(count)} or end > total:"):
                source.line(f"{explain}(payload)")
            with source.block("try:"):
                source.line(f"body = {read}(payload[{size}:end])")
            with source.block(f"except {source.bind(_BODY_ERRORS)} as error:"):
                source.line(f"{source.bind(fail)}({self._member!r}, 4, str(error))")
            source.line("view = payload if owned else memoryview(payload).toreadonly()")
            source.line(f"return {self._object(self._root, 'body', '')}")
        return source.compile(self._member)["decode"]

    def _explain(self, payload: Any) -> NoReturn:
        _explain(self._member, payload, len(self._bulk))

    # --- the body ----------------------------------------------------------------------------------------------------

    def _tuple_type(self, kind: Object, path: str) -> Any:
        """The body of an object that holds bulk fields: a tuple of what is left without them."""
        types: list[Any] = []
        for field in kind.fields:
            if is_bulk(field.type):
                continue
            inner = f"{path}.{field.name}" if path else field.name
            if isinstance(field.type, Object) and holds_bulk(field.type):
                entry = self._tuple_type(field.type, inner)
            else:
                entry = body_type(field.type, inner, self._classes)
            types.append(entry | None if field.optional else entry)
        return tuple[tuple(types)] if types else tuple[()]  # type: ignore[misc]

    def _object(self, kind: Object, body: str, path: str) -> str:
        """Take the fields of an object from its tuple and the regions; the expression that makes the object."""
        source = self._source
        plain = [source.new("v") for field in kind.fields if not is_bulk(field.type)]
        if plain:
            source.line(f"{', '.join(plain)}, = {body}")
        rest, values = iter(plain), list[str]()
        for field in kind.fields:
            inner = f"{path}.{field.name}" if path else field.name
            if is_bulk(field.type):
                values.append(self._region(field, inner))
            elif isinstance(field.type, Object) and holds_bulk(field.type):
                values.append(self._nested(field, field.type, next(rest), inner))
            else:
                values.append(next(rest))
        return f"{source.bind(self._classes[path])}({', '.join(values)})"

    def _nested(self, field: Field, kind: Object, name: str, path: str) -> str:
        source, first = self._source, self._next_bulk
        if not field.optional:
            source.line(f"{name} = {self._object(kind, name, path)}")
            return name
        with source.block(f"if {name} is not None:"):
            source.line(f"{name} = {self._object(kind, name, path)}")
        indices = range(first, self._next_bulk)
        with source.block(f"elif {' or '.join(f'o{index} or n{index}' for index in indices)}:"):
            source.line(f"{source.bind(fail)}({self._member!r}, 5, {f'`{path}` is absent, its bulk fields are not'!r})")
        return name

    # --- regions -----------------------------------------------------------------------------------------------------

    def _region(self, field: Field, path: str) -> str:
        """Check one entry and take its region, in table order; the variable that holds the value."""
        source, index = self._source, self._next_bulk
        self._next_bulk += 1
        bulk, value = self._bulk[index], source.new("v")
        offset, length = f"o{index}", f"n{index}"
        with source.block(f"if not {offset} and not {length}:"):
            if field.optional:
                source.line(f"{value} = None")
            else:
                source.line(f"{source.bind(fail)}({self._member!r}, 5, {f'`{path}` is absent'!r})")
        with source.block("else:"):
            with source.block(
                f"if {offset} & {layout.ALIGNMENT - 1} or {offset} < end or {offset} + {length} > total:"
            ):
                source.line(f"{source.bind(_misplaced)}({self._member!r}, {path!r}, {offset}, {length}, total)")
            self._check_length(bulk.token, bulk.length, length, path)
            source.line(f"end = {offset} + {length}")
            source.line(f"{value} = {self._taken(bulk.token, offset, length)}")
        return value

    def _check_length(self, token: Token, count: int | None, length: str, path: str) -> None:
        source, size = self._source, FIXED_SIZE[token]
        if count is None and size == 1:
            return
        wrong = f"{length} % {size}" if count is None else f"{length} != {size * count}"
        with source.block(f"if {wrong}:"):
            source.line(f"{source.bind(_wrong_length)}({self._member!r}, {path!r}, {length})")

    def _taken(self, token: Token, offset: str, length: str) -> str:
        """A copy for the caller, or a read-only view that keeps the payload alive."""
        if token in (Token.BYTES, Token.U8):
            part = f"view[{offset}:{offset} + {length}]"
            return f"bytes({part}) if owned else {part}"
        import numpy

        source, size = self._source, FIXED_SIZE[token]
        dtype: numpy.dtype[Any] = numpy.dtype(DTYPES[token])
        whole = f"{source.bind(numpy.frombuffer)}(view, {source.bind(dtype)}, {length} // {size}, {offset})"
        return f"{whole}.copy() if owned else {whole}"
