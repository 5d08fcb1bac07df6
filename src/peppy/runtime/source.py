"""One producer's stream as one subscription reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import methodcaller
from time import monotonic_ns
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

from peppy.codec import Plan
from peppy.errors import DecodeError
from peppy.model.qos import QoSProfile
from peppy.ring import Claim, Outcome, Reader, ReaderStats, StreamClosed, View
from peppy.runtime.complaints import Complaints

T = TypeVar("T")

MOST_UNDECODABLE = 1000
"""A look that has met so many messages which nobody can decode ends, and others have their turn before the next one."""


class MessageInfo(NamedTuple):
    """Where and when a message came from; both times are CLOCK_MONOTONIC nanoseconds."""

    instance_id: str
    sequence: int
    publish_time_ns: int
    receive_time_ns: int


class Loaned(NamedTuple):
    """A message whose arrays stay in place as long as `view` lives."""

    message: Any
    view: View
    info: MessageInfo


class Figures(Protocol):
    """Of the last message that was taken, and the sequence that is expected next."""

    next_sequence: int
    sequence: int
    publish_time_ns: int
    receive_time_ns: int


@dataclass
class _Figures:
    next_sequence: int
    sequence: int = 0
    publish_time_ns: int = 0
    receive_time_ns: int = 0


class Source:
    """A reader with its producer. Belongs to one subscription, which serialises all calls."""

    take: Callable[[], tuple[str, Any] | Outcome | None]
    """The next message, decoded into values of its own, with the producer's instance id; None when there is none now,
    CLOSED when there never will be one. DecodeError: that message is gone, the next call goes on.

    Small formats are copied out and decoded in one call. Formats with arrays are decoded from the pinned message, so
    that an array is copied once."""

    arm: Callable[[], bool]
    """Before sleeping on the doorbell, which is read before this: False when there is something, or the end, after all.
    """

    def __init__(
        self,
        stream_id: int,
        producer: str,
        qos: QoSProfile,
        claim: Claim,
        fds: tuple[int, ...],
        plan: Plan[Any],
        what: str,
        lost: Callable[[int], object],
    ) -> None:
        """Take the row of `claim`. Raises StaleClaim when it is no longer free, OSError for what is no stream.

        `what` says on stderr what cannot be decoded; `lost(count)` is told of messages that were overwritten before
        they could be taken.
        """
        data_fd, ctrl_fd, *space = fds
        newest = qos is QoSProfile.SensorData
        self.reader = Reader.open(data_fd, ctrl_fd, claim, newest=newest, space_fd=space[0] if space else -1)
        self.stream_id = stream_id
        self.producer = producer
        self.row = (stream_id, claim.row, claim.ticket)
        self.writer_gone = False
        self.undecodable = 0
        self._plan = plan
        self._what = what
        self._lost = lost
        self._complaints = Complaints()
        self._figures: Figures
        if plan.bulk_count:
            self._figures = _Figures(claim.start_seq)
            self.take, self.arm = self._take_arrays, self._arm
        else:
            feed = self.reader.feed(producer, claim.start_seq, plan.head, plan.read, plan.decode, lost)
            self._figures = feed
            self.take, self.arm = feed.take, feed.arm

    def _take_arrays(self) -> tuple[str, Any] | Outcome | None:
        view = self.reader.take_view()
        if isinstance(view, Outcome):
            return None if view is Outcome.EMPTY else view
        data, sequence, published = view
        self._account(sequence, published)
        return self.producer, self._plan.decode(data)

    def _arm(self) -> bool:
        return self.reader.arm() is Outcome.EMPTY

    def take_loan(self) -> Loaned | Outcome | None:
        """As `take`, the arrays in place."""
        view = self.reader.take_view()
        if isinstance(view, Outcome):
            return None if view is Outcome.EMPTY else view
        self._account(view.sequence, view.publish_time_ns)
        return Loaned(self._plan.decode(view.data, owned=False), view, self.info)

    def past_garbage(self, take: Callable[["Source"], T]) -> T:
        """What `take` gives, past messages that nobody can decode. DecodeError when there are very many of them."""
        met = 0
        while True:
            try:
                return take(self)
            except DecodeError as error:
                self.complain(error)
                met += 1
                if met == MOST_UNDECODABLE:
                    raise

    def complain(self, error: DecodeError) -> None:
        """A message counts as lost, for nobody gets it; the core has counted it as taken."""
        self.undecodable += 1
        where = f"{self._what} from `{self.producer}`"
        self._complaints.add(1, lambda count: f"[ERROR] DecodeError in {count} {where}: {error}")

    @property
    def info(self) -> MessageInfo:
        """Of the last message that was taken."""
        last = self._figures
        return MessageInfo(self.producer, last.sequence, last.publish_time_ns, last.receive_time_ns)

    def stats(self) -> ReaderStats:
        """The row's counters."""
        return self.reader.stats()

    def close(self) -> None:
        """Give the row up; views stay valid until they die. `info` remains."""
        last = self._figures
        self._figures = _Figures(last.next_sequence, last.sequence, last.publish_time_ns, last.receive_time_ns)
        self.take = self.arm = _refuse
        self.reader.close()

    def _account(self, sequence: int, published: int) -> None:
        """This message was taken."""
        last = self._figures
        lost = sequence - last.next_sequence
        last.sequence, last.publish_time_ns, last.receive_time_ns = sequence, published, monotonic_ns()
        last.next_sequence = sequence + 1
        if lost > 0:
            self._lost(lost)


def _refuse() -> NoReturn:
    raise StreamClosed("the reader is closed")


TAKE: Callable[[Source], tuple[str, Any] | Outcome | None] = methodcaller("take")
"""`Source.take` for `past_garbage`: which function that is depends on the source."""
