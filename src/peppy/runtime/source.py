"""One producer's stream as one subscription reads it."""

from time import monotonic_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from peppy.codec import Plan
from peppy.errors import DecodeError
from peppy.model.qos import QoSProfile
from peppy.ring import Claim, Outcome, Reader, ReaderStats, ReceiveBuffer, View

if TYPE_CHECKING:
    from collections.abc import Callable


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


_new_taken: "Callable[[type[Taken], tuple[Any, ...]], Taken]" = tuple[object].__new__  # half the price of Taken()


class Batch(NamedTuple):
    """Messages of one call, in order, and why others of it could not be decoded; the figures are of the last one."""

    messages: list[Any]
    errors: list[DecodeError]
    sequence: int
    publish_time_ns: int
    receive_time_ns: int


class Source:
    """A reader with its producer. Belongs to one subscription, which serialises all calls."""

    def __init__(
        self, stream_id: int, producer: str, qos: QoSProfile, claim: Claim, fds: tuple[int, ...], plan: Plan[Any]
    ) -> None:
        """Take the row of `claim`. Raises StaleClaim when it is no longer free, OSError for what is no stream."""
        data_fd, ctrl_fd, *space = fds
        newest = qos is QoSProfile.SensorData
        self.reader = Reader.open(data_fd, ctrl_fd, claim, newest=newest, space_fd=space[0] if space else -1)
        self.stream_id = stream_id
        self.producer = producer
        self.row = (stream_id, claim.row, claim.ticket)
        self.writer_gone = False
        self.undecodable = 0
        self._plan = plan
        self.next_sequence = claim.start_seq  # of the message that is expected next; who counts losses moves it

    def take(self) -> Taken | Outcome:
        """The next message, decoded into values of its own; EMPTY or CLOSED when there is none.

        Small formats are copied out in one call and decoded from the copy. Formats with arrays are decoded from the
        pinned message, so that an array is copied once. DecodeError: that message is gone, the next call goes on.
        """
        plan = self._plan
        if plan.bulk_count:
            view = self.reader.take_view()
            if not isinstance(view, tuple):
                return view
            data, sequence, published = view
            message = plan.decode(data)
            return _new_taken(Taken, (self, message, sequence, published, monotonic_ns(), None))
        taken = self.reader.take_bytes()
        if isinstance(taken, Outcome):
            return taken
        payload, sequence, published = taken
        message = plan.decode(payload)
        return _new_taken(Taken, (self, message, sequence, published, monotonic_ns(), None))

    def take_loan(self) -> Taken | Outcome:
        """The next message with its arrays in place; `view` keeps them there."""
        view = self.reader.take_view()
        if isinstance(view, Outcome):
            return view
        message = self._plan.decode(view.data, owned=False)
        return Taken(self, message, view.sequence, view.publish_time_ns, monotonic_ns(), view)

    def take_many(self, buffer: ReceiveBuffer, limit: int) -> Batch | Outcome:
        """Up to `limit` messages in one call of the core. A format with arrays is not taken this way."""
        placed = self.reader.take_many(buffer, limit)
        if isinstance(placed, Outcome):
            return placed
        view, decode = buffer.view, self._plan.decode
        errors: list[DecodeError] = []
        try:
            messages = [decode(view[offset : offset + length]) for offset, length, _, _ in placed]
        except DecodeError:
            messages = list[Any]()
            for offset, length, _, _ in placed:
                try:
                    messages.append(decode(view[offset : offset + length]))
                except DecodeError as error:
                    errors.append(error)
        _, _, sequence, published = placed[-1]
        return Batch(messages, errors, sequence, published, monotonic_ns())

    def stats(self) -> ReaderStats:
        """The row's counters."""
        return self.reader.stats()
