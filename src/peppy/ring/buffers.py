"""Memory that is reused for every message, with the C pointers to it made once.

Asking cffi for a pointer costs as much as publishing a small message, so the hot paths keep the pointer beside the
bytes. A buffer belongs to one thread at a time.
"""

from itertools import islice
from struct import Struct

from peppy.ring._core import ffi

# struct peppy_message: data, length, sequence, publish_time_ns, pin, flags.
_MESSAGE_SIZE = ffi.sizeof("struct peppy_message")
_TAKEN = Struct("=8xQQQ8x")
_PLACED = Struct("=QQQQ8x")
_PINNED = Struct("=8xQQQI4x")

if not _MESSAGE_SIZE == _TAKEN.size == _PLACED.size:
    raise ImportError(f"struct peppy_message has `{_MESSAGE_SIZE}` bytes where `{_TAKEN.size}` were expected")

taken = _TAKEN.unpack_from
"""Length, sequence and publish time (CLOCK_MONOTONIC, ns) of the first record of `ReceiveBuffer.records`."""

pinned = _PINNED.unpack_from
"""Length, sequence, publish time and pin of a `MessageRecord`'s bytes."""


class MessageRecord:
    """One C record of a message, as a struct to be filled and as bytes to be unpacked in one go."""

    __slots__ = ("bytes", "message")

    def __init__(self) -> None:
        self.bytes = bytearray(_MESSAGE_SIZE)
        self.message = ffi.from_buffer("struct peppy_message *", self.bytes)


class SendBuffer:
    """`data`: `size` bytes to encode into, then `Writer.publish(buffer, length)`.

    `data` cannot change its size: fill it by `data[n:m] = ...` with as many bytes on the right.
    """

    __slots__ = ("data", "pointer", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = bytearray(size)
        self.pointer = ffi.from_buffer("uint8_t *", self.data)


class ReceiveBuffer:
    """Room for messages copied out by `Reader.take_into` and `Reader.take_many`.

    `data` holds the bytes until the next take, and `view` shows them; they are replaced by larger ones when a message
    needs that. `messages` is the most that one `take_many` brings.
    """

    __slots__ = ("_base", "count", "data", "message", "messages", "pointer", "records", "room", "view")

    def __init__(self, room: int, messages: int = 1) -> None:
        self.records = bytearray(messages * _MESSAGE_SIZE)
        self.message = ffi.from_buffer("struct peppy_message *", self.records)
        self.messages = messages
        self.count = ffi.new("uint32_t *")
        self.grow(room)

    def grow(self, room: int) -> None:
        """Replace the bytes by `room` of them; who kept the old ones keeps them as they are."""
        self.room = room
        self.data = bytearray(room)
        self.view = memoryview(self.data)
        self.pointer = ffi.from_buffer("uint8_t *", self.data)
        self._base = int(ffi.cast("uintptr_t", self.pointer))

    def placed(self, count: int) -> list[tuple[int, int, int, int]]:
        """Offset, length, sequence and publish time of the first `count` records."""
        base = self._base
        records = islice(_PLACED.iter_unpack(self.records), count)
        return [(address - base, length, sequence, time) for address, length, sequence, time in records]
