"""Counters of somebody else's stream, without a row: nothing that an observer does is seen by writer or readers."""

from __future__ import annotations

from struct import unpack_from
from typing import TYPE_CHECKING, NamedTuple, Self

from peppy.ring._core import ffi, lib
from peppy.ring.outcome import failure
from peppy.ring.stats import RowStats, StreamStats, row_stats, stream_stats

if TYPE_CHECKING:
    from peppy.ring._core import Pointer


_FIELDS = 3  # of struct peppy_published: sequence, length, publish_time_ns
_RECORD_SIZE = 8 * _FIELDS

if ffi.sizeof("struct peppy_published") != _RECORD_SIZE:
    raise ImportError(f"struct peppy_published has not the `{_RECORD_SIZE}` bytes that were expected")


class Published(NamedTuple):
    """Messages as their descriptors tell, column by column: `lengths` in bytes, times in ns of CLOCK_MONOTONIC."""

    sequences: tuple[int, ...]
    lengths: tuple[int, ...]
    publish_times_ns: tuple[int, ...]


class Observer:
    """A read-only look at one stream generation; it stays valid after the stream's end."""

    def __init__(self, handle: Pointer) -> None:
        self._handle = handle
        self._records = bytearray()
        self._count = ffi.new("uint32_t *")

    @classmethod
    def open(cls, data_fd: int, ctrl_fd: int) -> Self:
        """Check and map both segments; the descriptors stay the caller's. OSError when they are not a stream's."""
        cell = ffi.new("struct peppy_observer **")
        code = lib.peppy_observer_open(data_fd, ctrl_fd, cell)
        if code:
            raise failure(code, "observe a stream")
        return cls(ffi.gc(cell[0], lib.peppy_observer_close))

    def stats(self) -> StreamStats:
        """The stream's counters, as its writer keeps them."""
        struct = ffi.new("struct peppy_stream_stats *")
        code = lib.peppy_observer_stats(self._handle, struct)
        if code:
            raise failure(code, "read a stream's counters")
        return stream_stats(struct)

    def row(self, row: int) -> RowStats:
        """The counters of one row; `state` is 0 while nobody reads there."""
        struct = ffi.new("struct peppy_row_stats *")
        code = lib.peppy_observer_row(self._handle, row, struct)
        if code:
            raise failure(code, f"read the counters of row `{row}`")
        return row_stats(struct)

    def recent(self, first: int, limit: int) -> Published:
        """The newest `limit` messages held whose sequence is at least `first`, in order.

        Those that are overwritten during the look are left out: sequences may have gaps.
        """
        if len(self._records) < limit * _RECORD_SIZE:
            self._records = bytearray(limit * _RECORD_SIZE)
        records = ffi.from_buffer("struct peppy_published *", self._records)
        code = lib.peppy_observer_recent(self._handle, first, records, limit, self._count)
        if code:
            raise failure(code, "read the descriptors of a stream")
        fields = unpack_from(f"={_FIELDS * self._count[0]}Q", self._records)
        return Published(fields[0::_FIELDS], fields[1::_FIELDS], fields[2::_FIELDS])
