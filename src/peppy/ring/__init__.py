"""Streams through shared memory: one writer, up to 64 readers, one host (docs/design/ring.md).

Writer    publish by copy, by gathering parts, or in place (Loan); keep rows for readers (Claim)
Reader    take by copy (ReceiveBuffer), many at once, or as a View; arm, wait
Observer  counters and descriptors of somebody else's stream
plan      depth, budget and message size -> Geometry
"""

from peppy.ring.buffers import ReceiveBuffer, SendBuffer
from peppy.ring.claim import Claim
from peppy.ring.config import StreamConfig, layout_hash
from peppy.ring.geometry import Geometry, held_bytes, plan
from peppy.ring.loan import Loan
from peppy.ring.observer import Observer, Published
from peppy.ring.outcome import MessageTooLong, Outcome, StaleClaim, StreamClosed, WouldBlock
from peppy.ring.reader import Reader, View
from peppy.ring.stats import ReaderStats, RowStats, StreamStats
from peppy.ring.writer import History, Slow, Writer

__all__ = [
    "Claim",
    "Geometry",
    "History",
    "Loan",
    "MessageTooLong",
    "Observer",
    "Outcome",
    "Published",
    "Reader",
    "ReaderStats",
    "ReceiveBuffer",
    "RowStats",
    "SendBuffer",
    "Slow",
    "StaleClaim",
    "StreamClosed",
    "StreamConfig",
    "StreamStats",
    "View",
    "WouldBlock",
    "Writer",
    "held_bytes",
    "layout_hash",
    "plan",
]
