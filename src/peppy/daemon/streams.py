"""What the broker of topics knows: streams, subscriptions and the processes that own them."""

import os
from dataclasses import dataclass, field
from typing import Protocol

from peppy.daemon.end_watch import EndWatch
from peppy.model.names import Reference
from peppy.model.qos import QoSProfile
from peppy.protocol.answers import Answer
from peppy.protocol.frame import close_all
from peppy.protocol.frames import Frame
from peppy.ring import History, Observer


class PeerSession(Protocol):
    """What the broker needs of the connection of a node or a command line."""

    instance_id: str
    reference: Reference
    pid: int

    def send(self, frame: Frame, fds: tuple[int, ...] = ()) -> None: ...

    async def request(self, frame: Frame, fds: tuple[int, ...] = (), timeout: float | None = ...) -> Answer: ...


@dataclass(eq=False, slots=True)
class Stream:
    """One topic of one producer process; `fds` are those of its `StreamOpen`.

    A stream that is `dropped` has ended; it is let go of when the producer's answers to the last requests for rows have
    come (`reserving`): its readers still get what it holds.
    """

    stream_id: int
    session: PeerSession
    topic: str
    qos: QoSProfile
    schema_hash: int
    fds: tuple[int, ...]
    observer: Observer
    order: int
    published: int = 0
    sampled_at: float = 0.0
    hz: float = 0.0
    reserving: int = 0
    dropped: bool = False

    def release(self) -> None:
        """Let go of the descriptors; those who are attached do not need them."""
        close_all(self.fds)


@dataclass(eq=False, slots=True)
class Row:
    """A place of one subscription in one stream. `ticket` is 0 until the producer has answered."""

    stream: Stream
    number: int = 0
    ticket: int = 0


@dataclass(eq=False, slots=True)
class Subscription:
    """One subscription of one consumer process.

    `schema_hash` is None for a command line: it learns the format of whatever it reads. `producer` is the only instance
    that it reads, where it is not the slot that says. Without doorbell (-1) it looks at streams and has no row in them.

    `rows` and `held` are keyed by stream id: `held` are rows (number, ticket) of streams whose producer has not come
    back after a restart of the daemon. `refused` are streams that were refused; `told` what was said about producers.
    """

    session: PeerSession
    subscription_id: int
    link_id: str
    topic: str
    schema_hash: int | None
    doorbell_id: int
    doorbell_fd: int
    order: int
    producer: str | None = None
    rows: dict[int, Row] = field(default_factory=dict[int, Row])
    held: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    refused: set[int] = field(default_factory=set[int])
    told: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def understands(self, stream: Stream) -> bool:
        """Whether both sides were generated from the same format."""
        return self.schema_hash in (None, stream.schema_hash)

    @property
    def looks_on(self) -> bool:
        """Whether it is a command line, which must not hold a producer up."""
        return self.schema_hash is None

    @property
    def takes_row(self) -> bool:
        """Whether it reads messages; otherwise it only looks at the stream."""
        return self.doorbell_fd >= 0

    def release(self) -> None:
        """Let go of the doorbell."""
        if self.takes_row:
            os.close(self.doorbell_fd)


@dataclass(eq=False, slots=True)
class Process:
    """What one node process owns, for as long as the process lives: losing its connection takes nothing away."""

    session: PeerSession
    watch: EndWatch
    streams: dict[int, Stream] = field(default_factory=dict[int, Stream])
    subscriptions: dict[int, Subscription] = field(default_factory=dict[int, Subscription])
    doorbells: set[int] = field(default_factory=set[int])  # ids whose eventfd this process holds


def history(subscription: Subscription, stream: Stream) -> History:
    """What a reader gets first (docs/reference/qos.md, Late joiners)."""
    if subscription.order < stream.order:
        return History.ALL
    return History.LAST if stream.qos is QoSProfile.Critical else History.NONE


def mismatch(subscription: Subscription, stream: Stream) -> str:
    """Why the two sides cannot understand each other."""
    assert subscription.schema_hash is not None
    return (
        f"`{subscription.session.instance_id}` cannot read topic `{stream.topic}` of `{stream.session.instance_id}`: "
        f"they were generated from different formats "
        f"({subscription.schema_hash:016x} and {stream.schema_hash:016x})"
    )
