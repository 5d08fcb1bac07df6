"""One plan per format: how its payloads are encoded, decoded and filled in place (docs/reference/messages.md)."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

from msgspec.structs import astuple

from peppy.codec.canonical import parse_canonical
from peppy.codec.classes import ROOT, classes_of
from peppy.codec.decoding import NO_HEAD, compile_decoder
from peppy.codec.encoding import compile_encoder, compile_loan_encoder
from peppy.codec.layout import Gathered
from peppy.codec.loan import Room, are_fixed
from peppy.codec.payload import Payload, Shape
from peppy.codec.size import fixed_size, largest_body
from peppy.errors import DecodeError
from peppy.model.types import MessageFormat, bulk_fields, schema_hash

M = TypeVar("M")

EncodedPayload = bytes | Gathered


class Plan(Generic[M]):
    """How the payloads of one format become bytes and back; everything is compiled at its first use.

    `encode(*values)` takes the fields in declaration order and gives the complete payload as `bytes`, or `Gathered`
    when the format has bulk fields. TypeError and ValueError of docs/reference/messages.md, Checks on send.

    `decode(payload, owned=True)` takes `bytes`, a memoryview of bytes or a cffi buffer and gives the message;
    DecodeError names the member and the rule that fails. Owned bulk values are copies; otherwise they are read-only
    views that keep `payload` alive. Both functions may be called from any thread.

    `head` and `read`, once `prepare_decode` was called, are the shortest way to a message without bulk fields: a
    payload that begins with the u32 `head` and the length of its body is what `read(body)` makes of it.
    """

    encode: Callable[..., EncodedPayload]
    decode: Callable[..., M]
    head: int = NO_HEAD
    read: Callable[[bytes], M]

    def __init__(self, member: str, message_format: MessageFormat | None, types: Mapping[str, type]) -> None:
        self.member = member
        self.message_format = message_format
        self.schema_hash = schema_hash(message_format)
        self.bulk_count = 0 if message_format is None else len(bulk_fields(message_format))
        self.fixed_size = fixed_size(message_format)
        self._largest_body = None if message_format is None else largest_body(message_format)
        self._types = types
        self._classes: dict[str, type] | None = None
        self._encode_loan: Callable[..., Any] | None = None
        self._last_room: tuple[dict[str, Shape], int, Room] | None = None
        if message_format is None:
            self.encode, self.decode = _encode_nothing, self._decode_nothing
        else:
            self.encode, self.decode = self._first_encode, self._first_decode
        self.read = self.decode

    @property
    def classes(self) -> Mapping[str, type]:
        """The payload class under "", nested ones under the dotted path of their field; empty without payload."""
        if self._classes is None:
            self._classes = {} if self.message_format is None else classes_of(self.message_format, self._types)
        return self._classes

    def encode_message(self, message: M) -> EncodedPayload:
        """The payload that holds the fields of `message`, an instance of the plan's class; None without payload.

        TypeError for anything else, and the errors of `encode`.
        """
        if self.message_format is None:
            if message is not None:
                raise TypeError(f"`{self.member}`: expected None, got `{type(message).__name__}`")
            return b""
        expected = self.classes[ROOT]
        if not isinstance(message, expected):
            actual = "None" if message is None else f"`{type(message).__name__}`"
            raise TypeError(f"`{self.member}`: expected `{expected.__name__}`, got {actual}")
        return self.encode(*astuple(cast(Payload, message)))

    def room(self, shapes: Mapping[str, Shape], body_reserve: int = 4096) -> Room:
        """Room for a message that is filled in place; errors of docs/reference/node_api.md, section 6."""
        message_format = self.message_format
        if message_format is None:
            raise ValueError(f"`{self.member}` has no payload: there is nothing to fill in place")
        last = self._last_room
        if last is not None and are_fixed(shapes) and last[0] == shapes and last[1] == body_reserve:
            return last[2]
        if self._encode_loan is None:
            self._encode_loan = compile_loan_encoder(self.member, message_format, self.classes)
        largest = self._largest_body  # no room for more: a loan is no larger than the stream of a fixed size
        reserve = body_reserve if largest is None else min(body_reserve, largest)
        room = Room(message_format, self.classes, self._encode_loan, shapes, reserve)
        if are_fixed(shapes):
            self._last_room = dict(shapes), body_reserve, room  # one picture is as large as the next
        return room

    def prepare_decode(self) -> None:
        """Compile `decode` now and load what its arrays need: the first message is not to be slower than the rest."""
        if self.message_format is not None and self.decode == self._first_decode:
            self.decode, self.head, self.read = compile_decoder(self.member, self.message_format, self.classes)

    def prepare_encode(self) -> None:
        """Compile `encode` now."""
        if self.message_format is not None and self.encode == self._first_encode:
            self.encode = compile_encoder(self.member, self.message_format, self.classes)

    def _first_encode(self, *values: Any) -> EncodedPayload:
        self.prepare_encode()
        return self.encode(*values)

    def _first_decode(self, payload: Any, owned: bool = True) -> M:
        self.prepare_decode()
        return self.decode(payload, owned)

    def _decode_nothing(self, payload: Any, owned: bool = True) -> Any:  # noqa: ARG002 (there is nothing to own)
        if len(payload):
            raise DecodeError(f"a payload of `{self.member}` is not valid: expected no bytes, got `{len(payload)}`")


def _encode_nothing() -> bytes:
    return b""


def compile_plan(
    message_format: MessageFormat | None, types: Mapping[str, type] | None = None, member: str = "payload"
) -> Plan[Any]:
    """The plan for a format. `types` holds the payload class under "" and nested classes under the dotted path of their
    field as declared; classes that are not given are made. `member` is how error texts call it."""
    return Plan(member, message_format, types or {})


def plan_of(member: str, format_text: str | None, types: Mapping[str, type]) -> Plan[Any]:
    """The plan for a format in canonical text, as generated code carries it; None for no payload."""
    return Plan(member, None if format_text is None else parse_canonical(format_text), types)
