"""The producer's end of a stream: publish by copy, publish in place, keep places for readers."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Self

from peppy.ring._core import ffi, lib
from peppy.ring.buffers import SendBuffer
from peppy.ring.calls import outlet
from peppy.ring.claim import Claim, from_struct
from peppy.ring.geometry import Geometry
from peppy.ring.loan import Loan, take_loan
from peppy.ring.outcome import Outcome, StreamClosed, failure, publish_failure
from peppy.ring.stats import StreamStats, stream_stats

if TYPE_CHECKING:
    from peppy.ring._core import Pointer

_NO_SEQUENCE = ffi.NULL
_publish = lib.peppy_publish


class History(IntEnum):
    """Where a new reader starts (docs/reference/qos.md, Late joiners)."""

    NONE = 0
    LAST = 1
    ALL = 2


class Slow(NamedTuple):
    """The reader that has most to take of those that hold a reliable writer; `lag` in messages."""

    row: int
    ticket: int
    lag: int


class Writer:
    """One stream generation, owned by this process; every method may be called from any thread.

    All methods raise RuntimeError in a process forked after `create`, and StreamClosed after `close`. Those that
    publish, and `loan`, raise WouldBlock on a reliable stream without room (docs/design/ring.md, Reliable streams).
    """

    publish_bytes: Callable[[bytes | bytearray | memoryview], None]
    """Publish a copy of these bytes as one message and wake the readers that sleep; raises as `publish`. The shortest
    way for a small message."""

    def __init__(self, handle: Pointer, geometry: Geometry, epoch: tuple[int, int]) -> None:
        self._handle = handle
        self._capacity = geometry.capacity
        self.publish_bytes = outlet(handle, geometry.capacity).publish
        self.geometry = geometry
        self.epoch = epoch
        self.data_fd = lib.peppy_writer_data_fd(handle)
        self.ctrl_fd = lib.peppy_writer_ctrl_fd(handle)
        self.space_fd = lib.peppy_writer_space_fd(handle)

    @classmethod
    def create(
        cls, geometry: Geometry, *, topic_hash: int, schema_hash: int, mode: int, reliable: bool = False
    ) -> Self:
        """Make the two segments and take the writer's lease. OSError when the system has no room for them.

        `epoch` is random; `data_fd`, `ctrl_fd` and `space_fd` belong to the writer: pass them on, never close them.
        `mode` is the number of the QoS profile, for monitors. `reliable`: nothing that a reader has still to take is
        overwritten; readers ring `space_fd`, an eventfd (else -1), when there is room again.
        """
        config = ffi.new("struct peppy_config *")
        epoch = (int.from_bytes(os.urandom(8), "little"), int.from_bytes(os.urandom(8), "little"))
        config.epoch_hi, config.epoch_lo = epoch
        config.generation = config.first_seq = 1
        config.topic_hash, config.schema_hash, config.mode = topic_hash, schema_hash, mode
        config.depth, config.capacity, config.rows = geometry.depth, geometry.capacity, geometry.rows
        config.pins, config.loans = geometry.pins, geometry.loans
        config.flags = lib.PEPPY_RELIABLE if reliable else 0
        cell = ffi.new("struct peppy_writer **")
        code = lib.peppy_writer_create(config, cell)
        if code < 0:
            raise failure(code, f"create a stream with messages of `{geometry.capacity}` bytes")
        return cls(ffi.gc(cell[0], lib.peppy_writer_free), geometry, epoch)

    def publish(self, buffer: SendBuffer, length: int) -> None:
        """Copy the first `length` bytes of `buffer` in as one message and wake the readers that sleep.

        Raises MessageTooLong above the capacity and OSError when the system refuses memory; nothing is published then.
        """
        if length > buffer.size:
            raise ValueError(f"`{length}` bytes of a buffer of `{buffer.size}`")
        code = _publish(self._handle, buffer.pointer, length, _NO_SEQUENCE)
        if code:
            raise publish_failure(code, length, self._capacity)

    def publisher(
        self, refused: Callable[[Exception, int], Exception]
    ) -> Callable[[bytes | bytearray | memoryview], None]:
        """A `publish_bytes` that raises what `refused(error, length)` makes of its errors. Drop it before `close`."""
        return outlet(self._handle, self._capacity, refused).publish

    def publish_parts(self, parts: Sequence[tuple[object, int]], length: int) -> None:
        """Gather one message of `length` bytes from `(contiguous buffer, offset in the message)` pairs.

        What no part covers is padding. Raises as `publish`; ValueError for a part that is not inside the message.
        """
        array = ffi.new("struct peppy_part[]", len(parts))
        pointers = [ffi.from_buffer(data) for data, _ in parts]  # they keep the bytes in place until the end
        for index, (pointer, (_, offset)) in enumerate(zip(pointers, parts, strict=True)):
            size = len(pointer)
            if offset < 0 or offset + size > length:
                raise ValueError(f"a part of `{size}` bytes at `{offset}` does not fit a message of `{length}`")
            part = array[index]
            part.data, part.length, part.offset = pointer, size, offset
        code = lib.peppy_publish_parts(self._handle, array, len(parts), length, _NO_SEQUENCE)
        if code:
            raise publish_failure(code, length, self._capacity)

    def loan(self, length: int) -> Loan:
        """Room for one message of `length` bytes inside the stream, to be filled in place.

        Raises MessageTooLong, OSError, and RuntimeError when `geometry.loans` of them are out already.
        """
        return take_loan(self._handle, length, self.geometry)

    def reserve_row(self, doorbell_fd: int, history: History) -> Claim:
        """Keep a row for a reader to come; `doorbell_fd` is its eventfd, or -1 for a reader that only polls.

        The descriptor stays the caller's and must stay open while a row names it (`forget_doorbell`). Raises
        TooManyReaders when every row is taken, OSError when the descriptor is no eventfd.
        """
        struct = ffi.new("struct peppy_claim *")
        code = lib.peppy_row_reserve(self._handle, doorbell_fd, history, struct)
        if code:
            raise failure(code, "attach another reader")
        return from_struct(struct)

    def release_row(self, row: int, ticket: int) -> bool:
        """Take back the row of a reader that left or never came; False while its owner lives or for another ticket."""
        code = lib.peppy_row_release(self._handle, row, ticket)
        if code in (-errno.EBUSY, -errno.ENOENT):
            return False
        if code:
            raise failure(code, f"take back row `{row}`")
        return True

    def forget_doorbell(self, fd: int) -> None:
        """Stop ringing this eventfd, in every row that names it; afterwards the caller may close it."""
        code = lib.peppy_doorbell_forget(self._handle, fd)
        if code < 0:
            raise failure(code, "forget a doorbell")

    def overwrite_row(self, row: int, ticket: int) -> bool:
        """From now on this reader does not hold the writer, what it has not taken is overwritten; False: not its row.

        A writer that waits for this reader goes on: `space_fd` is rung.
        """
        code = lib.peppy_row_overwrite(self._handle, row, ticket)
        if code == -errno.ENOENT:
            return False
        if code:
            raise failure(code, f"stop waiting for row `{row}`")
        return True

    def has_room(self) -> bool:
        """Whether a message would be published now. After False the next reader that makes room rings `space_fd`."""
        code = lib.peppy_room(self._handle)
        if code not in (Outcome.OK, Outcome.WOULD_BLOCK):
            raise publish_failure(code, 0, self._capacity)
        return code == Outcome.OK

    def slowest(self) -> Slow | None:
        """The reader that holds this writer most; None when nobody does."""
        struct = ffi.new("struct peppy_slow *")
        code = lib.peppy_slowest(self._handle, struct)
        if code < 0:
            raise failure(code, "look for the slowest reader")
        return None if code else Slow(struct.row, struct.ticket, struct.lag)

    def stats(self) -> StreamStats:
        """The stream's counters."""
        struct = ffi.new("struct peppy_stream_stats *")
        code = lib.peppy_writer_stats(self._handle, struct)
        if code:
            raise failure(code, "read a stream's counters")
        return stream_stats(struct)

    def close(self, status: int = 0) -> None:
        """Say that nothing follows and wake everybody; what was written stays readable. A second call does nothing.

        Descriptors and lease go with the last loan and the last call in progress.
        """
        if "_handle" not in self.__dict__:
            return
        code = lib.peppy_writer_close(self._handle, status)
        del self._handle, self.publish_bytes
        object.__setattr__(self, "__class__", _ClosedWriter)
        if code < 0:
            raise failure(code, "close a stream")


class _ClosedWriter(Writer):
    """What a writer becomes when it is closed: the hot paths need no test of their own."""

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("_handle", "publish_bytes"):
            raise StreamClosed("the stream is closed")
        raise AttributeError(name)
