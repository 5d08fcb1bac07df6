"""One frame as bytes, and bytes as frames (docs/design/protocol.md, One frame, draws the layout and the rules).

A frame is a prefix of 16 bytes and one msgpack array. The array stands in the header when it has at most 65 535 bytes;
a longer one stands in the payload and the header is empty. Frames that carry the payload of a call have their array in
the header, and what stands behind it is handed on as it is.
"""

import os
import struct
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import NamedTuple, Protocol, cast

import msgspec

from peppy.errors import PeppyError
from peppy.protocol.calls import INSIDE, LARGEST_PAYLOAD
from peppy.protocol.frames import FRAMES, NUMBERS, Cancel, Done, Failed, Frame, Output

PREFIX = struct.Struct("<IHBBQ")
"""length (of what follows it), header length, type, number of descriptors, request id."""

MAX_FRAME = 1 << 20
"""The largest `length`, in bytes."""

MAX_DESCRIPTORS = 4
"""The largest number of descriptors that ride on one frame."""

_LENGTH_FIELD = 4
_REST_OF_PREFIX = PREFIX.size - _LENGTH_FIELD
_MAX_HEADER = (1 << 16) - 1
_ANSWERING = frozenset({Done, Failed, Output, Cancel})
_encoder = msgspec.msgpack.Encoder()


class ConnectionClosed(PeppyError, ConnectionError):
    """The connection has ended: by this side, by the peer, or because of a violation."""


class ProtocolViolation(ConnectionClosed):
    """The peer has broken a rule of docs/design/protocol.md, so this side ends the connection."""


class Received(NamedTuple):
    """One frame that has arrived.

    The receiver owns `fds` and closes those that it does not keep. `truncated`: the process had no room for the
    frame's descriptors, so `fds` is empty; only frames with `may_lose_descriptors` arrive so. `payload` is what a frame
    that carries one has inside; one that travels beside its frame is in the last of `fds`.
    """

    frame: Frame
    request_id: int
    fds: tuple[int, ...] = ()
    truncated: bool = False
    payload: bytes = b""


@cache
def numbered(kind: type[Frame]) -> bool:
    """Whether frames of this type carry a request id; the others are notices with id 0."""
    return kind.Answer is not None or kind in _ANSWERING


def encode(frame: Frame, request_id: int = 0, fds: int = 0, payload: bytes = b"") -> bytes:
    """The bytes of a frame that `fds` descriptors ride on; `payload` goes inside a frame that carries one.

    Raises `PeppyError` (`Refused`) when it is larger than a frame may be or holds text that is no UTF-8, ValueError
    when id, descriptors or payload do not suit the type, which is a defect of the caller.
    """
    kind = type(frame)
    if fds not in kind.descriptors or (request_id > 0) != numbered(kind):
        raise ValueError(f"`{kind.__name__}` does not travel with id {request_id} and {fds} descriptors")
    try:
        array = _encoder.encode(frame)
    except UnicodeEncodeError as error:
        text = error.object[:80].encode(errors="backslashreplace").decode()
        raise PeppyError(f"`{text}` in `{kind.__name__}` is no valid UTF-8", kind="Refused") from None
    if kind.carries:
        return _carrying(frame, request_id, fds, array, payload)
    if payload:
        raise ValueError(f"`{kind.__name__}` carries no payload")
    length = _REST_OF_PREFIX + len(array)
    if length > MAX_FRAME:
        raise PeppyError(f"`{kind.__name__}` of {len(array)} bytes is larger than a frame (1 MiB)", kind="Refused")
    header_length = len(array) if len(array) <= _MAX_HEADER else 0
    return PREFIX.pack(length, header_length, NUMBERS[kind], fds, request_id) + array


class _Carrying(Protocol):
    beside: int


def _carrying(frame: Frame, request_id: int, fds: int, array: bytes, payload: bytes) -> bytes:
    kind = type(frame)
    if (why := _misplaced(frame, fds, len(payload))) is not None:
        raise ValueError(why)
    if len(array) > _MAX_HEADER:
        raise PeppyError(f"`{kind.__name__}` has a header of {len(array)} bytes, too many", kind="Refused")
    length = _REST_OF_PREFIX + len(array) + len(payload)
    return b"".join((PREFIX.pack(length, len(array), NUMBERS[kind], fds, request_id), array, payload))


def _misplaced(frame: Frame, fds: int, inside: int) -> str | None:
    """What is wrong with a payload of `inside` bytes in this frame, or with the one beside it."""
    beside = cast(_Carrying, frame).beside
    if beside < 0 and inside <= INSIDE:
        return None
    if 0 <= beside <= LARGEST_PAYLOAD and inside == 0 and fds > 0:
        return None
    return f"`{type(frame).__name__}` has a payload of {inside} bytes inside, {beside} beside, {fds} descriptors"


@cache
def _decoder(kind: type[Frame]) -> msgspec.msgpack.Decoder[Frame]:
    return msgspec.msgpack.Decoder(kind)


class _Shape(NamedTuple):
    """What has to be known of a type to read its frames that come without descriptors."""

    kind: type[Frame]
    carries: bool
    numbered: bool
    decode: Callable[[bytes | bytearray], Frame]


@cache
def _shape(number: int) -> _Shape | None:
    """None for a type that does not exist or needs descriptors."""
    kind = FRAMES.get(number)
    if kind is None or 0 not in kind.descriptors:
        return None
    return _Shape(kind, kind.carries, numbered(kind), _decoder(kind).decode)


class _Batch(NamedTuple):
    """Descriptors of one read, with the part of the stream that the read gave."""

    start: int
    end: int
    fds: tuple[int, ...]
    truncated: bool


_NONE = _Batch(0, 0, (), False)


class _Prefix(NamedTuple):
    kind: type[Frame]
    end: int
    header_length: int
    fds: int
    request_id: int


class Parser:
    """Makes frames of what was read, piece by piece; owns descriptors until their frame is handed out.

    The kernel ends a read behind the write that carried descriptors, so those of one read belong to the one frame
    with descriptors that starts in that read.
    """

    def __init__(self, allowed: frozenset[type[Frame]] | None = None) -> None:
        self._allowed = allowed
        self._buffer: bytes | bytearray = b""  # what one read gave, as long as that is whole frames
        self._offset = 0  # of the buffer's first byte in the stream: a frame always starts there
        self._prefix: _Prefix | None = None
        self._batches: deque[_Batch] = deque()
        self._fed_at = 0.0
        self.incomplete_since: float | None = None
        """Monotonic seconds at which the first byte of the frame that is still incomplete was read."""

    def feed(self, data: bytes, fds: tuple[int, ...] = (), *, truncated: bool = False) -> None:
        """Take the bytes of one read and the descriptors that came with them."""
        self._fed_at = time.monotonic()
        if self.incomplete_since is None:
            self.incomplete_since = self._fed_at
        start = self._offset + len(self._buffer)
        if not self._buffer:
            self._buffer = data
        elif isinstance(self._buffer, bytearray):
            self._buffer += data
        else:
            self._buffer = bytearray(self._buffer) + data
        if fds or truncated:
            self._batches.append(_Batch(start, start + len(data), fds, truncated))

    def next(self) -> Received | None:
        """The next whole frame, or None. Raises `ProtocolViolation`; all descriptors held are closed then."""
        if not self._batches:
            if not self._buffer:
                return None
            if self._prefix is None and (received := self._plain()) is not None:
                return received
        try:
            return self._next()
        except ProtocolViolation:
            self.close()
            raise

    def restrict(self, allowed: frozenset[type[Frame]]) -> None:
        """From the next frame on take only these types: the peer's role is known now."""
        self._allowed = allowed

    def close(self) -> None:
        """Forget everything and close the descriptors of frames that were not handed out."""
        for batch in self._batches:
            close_all(batch.fds)
        self._batches.clear()
        self._buffer = b""
        self._prefix = None
        self.incomplete_since = None

    def _plain(self) -> Received | None:
        """The whole frame at the front when nothing is special about it; whatever is, `_next` looks at in detail."""
        buffer = self._buffer
        if len(buffer) < PREFIX.size:
            return None
        length, header_length, number, fds, request_id = PREFIX.unpack_from(buffer)
        end, end_of_array = _LENGTH_FIELD + length, PREFIX.size + header_length
        shape = _shape(number)
        if shape is None or fds or not header_length or not end_of_array <= end <= len(buffer) or length > MAX_FRAME:
            return None
        kind, carries, is_numbered, decode = shape
        if is_numbered != (request_id > 0) or not (carries or end_of_array == end):
            return None
        if self._allowed is not None and kind not in self._allowed:
            return None
        try:
            frame = decode(buffer[PREFIX.size : end_of_array])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        payload = b""
        if carries:
            payload = bytes(buffer[end_of_array:end])
            if cast(_Carrying, frame).beside >= 0 or len(payload) > INSIDE:
                return None
        self._consume(end)
        return Received(frame, request_id, (), False, payload)

    def _next(self) -> Received | None:
        if self._prefix is None:
            self._prefix = self._read_prefix()
        prefix = self._prefix
        if self._batches:
            self._refuse_surplus(prefix)
        if prefix is None or len(self._buffer) < prefix.end:
            return None
        frame, payload = self._decode(prefix)
        batch = self._claim(prefix) if prefix.fds else _NONE
        self._consume(prefix.end)
        return Received(frame, prefix.request_id, batch.fds, batch.truncated, payload)

    def _read_prefix(self) -> _Prefix | None:
        if len(self._buffer) < PREFIX.size:
            return None
        length, header_length, number, fds, request_id = PREFIX.unpack_from(self._buffer)
        if not _REST_OF_PREFIX + header_length <= length <= MAX_FRAME:
            raise ProtocolViolation(f"a frame says length {length} with header length {header_length}")
        kind = FRAMES.get(number)
        if kind is None:
            raise ProtocolViolation(f"a frame has the unknown type {number}")
        if self._allowed is not None and kind not in self._allowed:
            raise ProtocolViolation(f"`{kind.__name__}` is not allowed here")
        if fds not in kind.descriptors:
            raise ProtocolViolation(f"`{kind.__name__}` says {fds} descriptors")
        if (request_id > 0) != numbered(kind):
            raise ProtocolViolation(f"`{kind.__name__}` has the request id {request_id}")
        if header_length and length != _REST_OF_PREFIX + header_length and not kind.carries:
            raise ProtocolViolation(f"`{kind.__name__}` has a payload behind its header")
        if not header_length and (kind.carries or length <= _REST_OF_PREFIX + _MAX_HEADER):
            raise ProtocolViolation(f"`{kind.__name__}` has no header")
        return _Prefix(kind, _LENGTH_FIELD + length, header_length, fds, request_id)

    def _decode(self, prefix: _Prefix) -> tuple[Frame, bytes]:
        kind = prefix.kind
        end_of_array = PREFIX.size + prefix.header_length if kind.carries else prefix.end
        with memoryview(self._buffer) as octets:  # copies: a `Raw` result would pin the buffer
            array = octets[PREFIX.size : end_of_array].tobytes()
            payload = octets[end_of_array : prefix.end].tobytes() if kind.carries else b""
        try:
            frame = _decoder(kind).decode(array)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ProtocolViolation(f"a `{kind.__name__}` cannot be decoded: {error}") from None
        if not kind.carries:
            return frame, b""
        if (why := _misplaced(frame, prefix.fds, prefix.end - end_of_array)) is not None:
            raise ProtocolViolation(why)
        return frame, payload

    def _claim(self, prefix: _Prefix) -> _Batch:
        """Take the descriptors of the frame at the front, which has some."""
        if not self._batches or self._batches[0].start > self._offset:
            raise ProtocolViolation(f"`{prefix.kind.__name__}` came without its {prefix.fds} descriptors")
        batch = self._batches[0]
        if batch.truncated and prefix.kind.may_lose_descriptors:
            self._batches.popleft()
            close_all(batch.fds)
            return batch._replace(fds=())
        if batch.truncated or len(batch.fds) != prefix.fds:
            raise ProtocolViolation(
                f"`{prefix.kind.__name__}` came with {len(batch.fds)} of its {prefix.fds} descriptors"
            )
        return self._batches.popleft()

    def _refuse_surplus(self, prefix: _Prefix | None) -> None:
        """Raise when descriptors came on bytes that no frame with descriptors can start in any more.

        `prefix` is that of the frame at the front, None while it is incomplete itself.
        """
        end = self._offset + (prefix.end if prefix else len(self._buffer))
        may_ride = prefix is None or prefix.fds > 0
        for batch in self._batches:
            on_first_byte = batch.start <= self._offset < batch.end
            if batch.end <= end and not (on_first_byte and may_ride):
                raise ProtocolViolation(f"{len(batch.fds)} descriptors came without a frame to ride on")

    def _consume(self, size: int) -> None:
        buffer = self._buffer
        if size == len(buffer):
            self._buffer = b""
        elif isinstance(buffer, bytearray):
            del buffer[:size]  # moves nothing, however many small frames one read has brought
        else:
            self._buffer = bytearray(memoryview(buffer)[size:])
        self._offset += size
        self._prefix = None
        self.incomplete_since = self._fed_at if self._buffer else None


def close_all(fds: tuple[int, ...]) -> None:
    """Close descriptors that nobody wants."""
    for fd in fds:
        os.close(fd)
