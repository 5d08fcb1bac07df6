"""Counters of a stream and of one row of it, copied out of shared memory at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from peppy.ring._core import RowStatsStruct, StreamStatsStruct


class StreamStats(NamedTuple):
    """Counters of a writer (docs/reference/qos.md, Drop accounting); sizes are bytes.

    `head` is the last sequence published, `closed_seq` is 0 while the stream is open. `data_size` is address space,
    `chunks_used` says how much of it was ever backed by memory.
    """

    head: int
    published: int
    bytes: int
    no_chunk: int
    doorbells: int
    scans: int
    reclaimed_rows: int
    max_length: int
    last_publish_ns: int
    closed_status: int
    closed_seq: int
    capacity: int
    data_size: int
    depth: int
    rows: int
    live_rows: int
    chunks: int
    chunks_used: int
    pins: int


class RowStats(NamedTuple):
    """Counters of one reader: `lost` were never handed out; `skipped` of them were still held when it jumped.

    `corrupt` counts descriptors that made no sense, `held_now` the views held; only the reader itself knows `corrupt`.
    """

    ticket: int
    cursor: int
    taken: int
    lost: int
    skipped: int
    corrupt: int
    last_take_ns: int
    state: int
    copies_forced: int
    pid: int
    held_now: int
    held_max: int


class ReaderStats(NamedTuple):
    """A reader's own row, and how many messages are written and still to be taken now."""

    row: RowStats
    head: int

    @property
    def lag(self) -> int:
        """Messages written and still to be taken."""
        return max(0, self.head + 1 - self.row.cursor)


def stream_stats(struct: StreamStatsStruct) -> StreamStats:
    """Copy the C struct."""
    return StreamStats(*(int(getattr(struct, name)) for name in StreamStats._fields))


def row_stats(struct: RowStatsStruct) -> RowStats:
    """Copy the C struct."""
    return RowStats(*(int(getattr(struct, name)) for name in RowStats._fields))
