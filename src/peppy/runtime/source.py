"""One producer's stream as one subscription reads it."""

from time import monotonic_ns
from typing import Any, NamedTuple

from peppy.codec import Plan
from peppy.model.qos import QoSProfile
from peppy.ring import Claim, Outcome, Reader, ReaderStats, ReceiveBuffer, View

FIRST_ROOM = 4096
"""Bytes of the buffer that small messages are copied through; it grows with the messages."""


class Taken(NamedTuple):
    """One message and where it comes from; `message` is the payload class, or None without payload.

    `view` keeps the arrays of a message in place; None for a message with values of its own.
    """

    source: "Source"
    message: Any
    sequence: int
    publish_time_ns: int
    receive_time_ns: int
    view: View | None


class Source:
    """A reader with its producer. Belongs to one subscription, which serialises all calls."""

    def __init__(
        self, stream_id: int, producer: str, qos: QoSProfile, claim: Claim, fds: tuple[int, ...], plan: Plan[Any]
    ) -> None:
        """Take the row of `claim`. Raises StaleClaim when it is no longer free, OSError for what is no stream."""
        self.reader = Reader.open(fds[0], fds[1], claim, newest=qos is QoSProfile.SensorData)
        self.stream_id = stream_id
        self.producer = producer
        self.row = (stream_id, claim.row, claim.ticket)
        self.writer_gone = False
        self._plan = plan
        self._next_sequence = claim.start_seq
        self._buffer = ReceiveBuffer(FIRST_ROOM)

    def take(self) -> Taken | Outcome:
        """The next message, decoded into values of its own; EMPTY or CLOSED when there is none.

        Small formats are copied out in one call and decoded from the copy. Formats with arrays are decoded from the
        pinned message, so that an array is copied once. DecodeError: that message is gone, the next call goes on.
        """
        if self._plan.bulk_count:
            view = self.reader.take_view()
            if isinstance(view, Outcome):
                return view
            return self._taken(self._plan.decode(view.data), view.sequence, view.publish_time_ns)
        taken = self.reader.take_into(self._buffer)
        if isinstance(taken, Outcome):
            return taken
        length, sequence, publish_time_ns = taken
        message = self._plan.decode(memoryview(self._buffer.data)[:length])
        return self._taken(message, sequence, publish_time_ns)

    def take_loan(self) -> Taken | Outcome:
        """The next message with its arrays in place; `view` keeps them there."""
        view = self.reader.take_view()
        if isinstance(view, Outcome):
            return view
        message = self._plan.decode(view.data, owned=False)
        return self._taken(message, view.sequence, view.publish_time_ns, view)

    def take_many(self, buffer: ReceiveBuffer, limit: int) -> list[Taken] | Outcome:
        """Up to `limit` messages in one call of the core."""
        placed = self.reader.take_many(buffer, limit)
        if isinstance(placed, Outcome):
            return placed
        data, decode = memoryview(buffer.data), self._plan.decode
        return [
            self._taken(decode(data[offset : offset + length]), sequence, published)
            for offset, length, sequence, published in placed
        ]

    def lost_since(self, sequence: int) -> int:
        """How many messages were skipped over between the one taken before and `sequence`."""
        gap = sequence - self._next_sequence
        self._next_sequence = sequence + 1
        return gap

    def stats(self) -> ReaderStats:
        """The row's counters."""
        return self.reader.stats()

    def _taken(self, message: Any, sequence: int, publish_time_ns: int, view: View | None = None) -> Taken:
        return Taken(self, message, sequence, publish_time_ns, monotonic_ns(), view)
