"""Brings writers and readers of topics together; no message ever passes through here (docs/design/protocol.md).

A subscription and a stream are attached when the slot's filter passes the producer and both sides were generated from
the same format. The broker then asks the producer for a row and hands the row and the two descriptors to the consumer.

Who is gone is decided by the end of the process (a pidfd), not by the end of its connection: a node that merely lost
the daemon keeps its streams and rows, and registers them again.
"""

import asyncio
import itertools
import os
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.model.node import Topic
from peppy.model.qos import QoSProfile
from peppy.protocol.answers import Answer, Attached, StreamOpened, Subscribed, TopicCounters, TopicRow
from peppy.protocol.frame import close_all
from peppy.protocol.frames import (
    Attach,
    Attachment,
    AttachmentRefused,
    AttachmentStale,
    DoorbellGone,
    Frame,
    RowLeft,
    StreamClose,
    StreamGone,
    StreamOpen,
    Subscribe,
    Unsubscribe,
)
from peppy.ring import History, Observer

Passes = Callable[[str, str, str, Reference], bool]
"""passes(consumer's instance id, link_id, producer's instance id, producer's node): the slot's run-time filter."""


class NodeSession(Protocol):
    """What the broker needs of a node's connection."""

    instance_id: str
    reference: Reference
    pid: int

    def send(self, frame: Frame, fds: tuple[int, ...] = ()) -> None: ...

    async def request(self, frame: Frame, fds: tuple[int, ...] = ()) -> Answer: ...


@dataclass(eq=False, slots=True)
class Stream:
    """One topic of one producer process."""

    stream_id: int
    session: NodeSession
    topic: str
    qos: QoSProfile
    schema_hash: int
    data_fd: int
    ctrl_fd: int
    observer: Observer
    order: int
    published: int = 0
    sampled_at: float = 0.0
    hz: float = 0.0


@dataclass(eq=False, slots=True)
class Row:
    """A place of one subscription in one stream. `ticket` is 0 until the producer has answered."""

    stream: Stream
    number: int = 0
    ticket: int = 0


@dataclass(eq=False, slots=True)
class Subscription:
    session: NodeSession
    subscription_id: int
    link_id: str
    topic: str
    schema_hash: int
    doorbell_id: int
    doorbell_fd: int
    order: int
    rows: dict[int, Row] = field(default_factory=dict[int, Row])  # by stream id
    told: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])  # refusals already reported


@dataclass(eq=False, slots=True)
class Process:
    """What one node process owns, for as long as the process lives: losing its connection takes nothing away."""

    session: NodeSession
    pidfd: int
    streams: dict[int, Stream] = field(default_factory=dict[int, Stream])
    subscriptions: dict[int, Subscription] = field(default_factory=dict[int, Subscription])
    doorbells: set[int] = field(default_factory=set[int])  # ids whose eventfd this process holds


class TopicBroker:
    """All streams and subscriptions of the stack. Lives on the daemon's event loop."""

    def __init__(self, passes: Passes) -> None:
        self._passes = passes
        self._processes: dict[str, Process] = {}  # by instance id
        self._order = itertools.count(1)
        self._doorbell_ids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    # --- connections ---------------------------------------------------------------------------------------------

    def connected(self, session: NodeSession) -> None:
        """A node has said hello. One that was here before under another connection registers everything again."""
        known = self._processes.get(session.instance_id)
        if known is not None and known.session.pid == session.pid:
            known.session = session
            for stream in known.streams.values():
                stream.session = session
            for subscription in known.subscriptions.values():
                subscription.session = session
            return
        if known is not None:  # the id is used again before the end of its former process was noticed here
            self._process_ended(known)
        pidfd = os.pidfd_open(session.pid)
        process = Process(session, pidfd)
        self._processes[session.instance_id] = process
        asyncio.get_running_loop().add_reader(pidfd, self._process_ended, process)

    def close(self) -> None:
        """Drop everything without a word to anybody: the daemon ends, the data plane stays."""
        for task in self._tasks:
            task.cancel()
        for process in list(self._processes.values()):
            for stream in process.streams.values():
                _release(stream)
            for subscription in process.subscriptions.values():
                os.close(subscription.doorbell_fd)
            self._forget(process)

    def _process_ended(self, process: Process) -> None:
        for stream in list(process.streams.values()):
            self._drop_stream(process, stream)
        for subscription in list(process.subscriptions.values()):
            self._drop_subscription(process, subscription)
        self._forget(process)

    def _forget(self, process: Process) -> None:
        asyncio.get_running_loop().remove_reader(process.pidfd)
        os.close(process.pidfd)
        del self._processes[process.session.instance_id]

    # --- frames --------------------------------------------------------------------------------------------------

    def handle(self, session: NodeSession, frame: Frame, fds: tuple[int, ...]) -> Answer | None:
        """Serve one frame of a node and take over its descriptors; the answer of a request, None for a notice.

        Raises PeppyError (`ProtocolViolation`) for an id that is in use or descriptors that are no stream.
        """
        process = self._processes.get(session.instance_id)
        if process is None or process.session is not session:  # the last words of a process that has ended
            close_all(fds)
            return None
        match frame:
            case StreamOpen():
                return self._stream_open(process, frame, fds)
            case StreamClose():
                if stream := process.streams.get(frame.stream_id):
                    self._drop_stream(process, stream)
            case Subscribe():
                return self._subscribe(process, frame, fds)
            case Unsubscribe():
                if subscription := process.subscriptions.get(frame.subscription_id):
                    self._drop_subscription(process, subscription)
            case AttachmentStale():
                self._attachment_stale(process, frame)
            case _:
                raise PeppyError(f"`{type(frame).__name__}` does not concern topics", kind="ProtocolViolation")
        return None

    def _stream_open(self, process: Process, frame: StreamOpen, fds: tuple[int, ...]) -> StreamOpened:
        if frame.stream_id in process.streams:  # registered again after a reconnect: the old descriptors are as good
            for fd in fds:
                os.close(fd)
            return StreamOpened(waiting=0)
        if self._stream(frame.stream_id) is not None:
            for fd in fds:
                os.close(fd)
            raise PeppyError(f"stream id `{frame.stream_id:016x}` is in use", kind="ProtocolViolation")
        data_fd, ctrl_fd = fds
        try:
            observer = Observer.open(data_fd, ctrl_fd)
        except OSError as error:
            os.close(data_fd)
            os.close(ctrl_fd)
            raise PeppyError(f"`{frame.topic}` is no stream: {error}", kind="ProtocolViolation") from error
        stream = Stream(
            frame.stream_id,
            process.session,
            frame.topic,
            QoSProfile(frame.qos),
            frame.schema_hash,
            data_fd,
            ctrl_fd,
            observer,
            next(self._order),
            sampled_at=monotonic(),
        )
        process.streams[stream.stream_id] = stream
        waiting = [subscription for subscription in self._subscriptions() if self._reads(subscription, stream)]
        for subscription in waiting:
            self._attach(subscription, stream)
        return StreamOpened(waiting=len(waiting))

    def _subscribe(self, process: Process, frame: Subscribe, fds: tuple[int, ...]) -> Subscribed:
        known = process.subscriptions.get(frame.subscription_id)
        if known is not None:  # registered again after a reconnect
            os.close(fds[0])
            subscription = known
        else:
            subscription = Subscription(
                process.session,
                frame.subscription_id,
                frame.link_id,
                frame.topic,
                frame.schema_hash,
                next(self._doorbell_ids),
                fds[0],
                next(self._order),
            )
            process.subscriptions[frame.subscription_id] = subscription
        for stream_id, row, ticket in frame.held:
            if (stream := self._stream(stream_id)) is not None:
                subscription.rows[stream_id] = Row(stream, row, ticket)
        matching = [stream for stream in self._streams() if self._reads(subscription, stream)]
        for stream in matching:
            if stream.stream_id not in subscription.rows:
                self._attach(subscription, stream)
        return Subscribed(producers=len(matching))

    def _attachment_stale(self, process: Process, frame: AttachmentStale) -> None:
        subscription = process.subscriptions.get(frame.subscription_id)
        row = subscription.rows.pop(frame.stream_id, None) if subscription else None
        if subscription is None or row is None:
            return
        row.stream.session.send(RowLeft(frame.stream_id, frame.row, frame.ticket))
        self._attach(subscription, row.stream)

    # --- attaching -----------------------------------------------------------------------------------------------

    def _reads(self, subscription: Subscription, stream: Stream) -> bool:
        if subscription.topic != stream.topic:
            return False
        consumer, producer = subscription.session.instance_id, stream.session
        return self._passes(consumer, subscription.link_id, producer.instance_id, producer.reference)

    def _attach(self, subscription: Subscription, stream: Stream) -> None:
        if subscription.schema_hash != stream.schema_hash:
            self._refuse(subscription, stream, "SchemaMismatch", _mismatch(subscription, stream))
            return
        row = Row(stream)
        subscription.rows[stream.stream_id] = row
        self._start(self._reserve(subscription, row))

    async def _reserve(self, subscription: Subscription, row: Row) -> None:
        stream = row.stream
        holder = self._processes.get(stream.session.instance_id)
        if holder is None:
            return
        first = subscription.doorbell_id not in holder.doorbells
        holder.doorbells.add(subscription.doorbell_id)
        request = Attach(stream.stream_id, subscription.doorbell_id, _history(subscription, stream))
        try:
            answer = await stream.session.request(request, (subscription.doorbell_fd,) if first else ())
        except PeppyError as error:
            if first and self._processes.get(stream.session.instance_id) is holder:
                holder.doorbells.discard(subscription.doorbell_id)  # it may not have arrived: sent again next time
            if subscription.rows.get(stream.stream_id) is row:
                del subscription.rows[stream.stream_id]
                if error.kind == "TooManyReaders":
                    self._refuse(subscription, stream, error.kind, error.message)
            return
        assert isinstance(answer, Attached)
        row.number, row.ticket = answer.claim[3:5]
        if subscription.rows.get(stream.stream_id) is not row:  # it left while the producer answered
            stream.session.send(RowLeft(stream.stream_id, row.number, row.ticket))
            return
        subscription.session.send(
            Attachment(
                subscription.subscription_id,
                stream.stream_id,
                stream.session.instance_id,
                int(stream.qos),
                answer.claim,
            ),
            (stream.data_fd, stream.ctrl_fd),
        )

    def _refuse(self, subscription: Subscription, stream: Stream, kind: str, message: str) -> None:
        producer = stream.session.instance_id
        if (producer, kind) in subscription.told:
            return
        subscription.told.add((producer, kind))
        subscription.session.send(AttachmentRefused(subscription.subscription_id, producer, kind, message))

    # --- leaving -------------------------------------------------------------------------------------------------

    def _drop_stream(self, process: Process, stream: Stream) -> None:
        del process.streams[stream.stream_id]
        for subscription in self._subscriptions():
            if subscription.rows.pop(stream.stream_id, None) is not None:
                subscription.session.send(StreamGone(subscription.subscription_id, stream.stream_id))
        _release(stream)

    def _drop_subscription(self, process: Process, subscription: Subscription) -> None:
        del process.subscriptions[subscription.subscription_id]
        for stream_id, row in subscription.rows.items():
            if row.ticket:
                row.stream.session.send(RowLeft(stream_id, row.number, row.ticket))
        subscription.rows.clear()
        for holder in self._processes.values():
            if subscription.doorbell_id in holder.doorbells:
                holder.doorbells.remove(subscription.doorbell_id)
                holder.session.send(DoorbellGone(subscription.doorbell_id))
        os.close(subscription.doorbell_fd)

    # --- counters ------------------------------------------------------------------------------------------------

    def sample(self) -> None:
        """Take the rate of every stream since the last call; meant to be called once a second."""
        now = monotonic()
        for stream in self._streams():
            published = stream.observer.stats().published
            elapsed = now - stream.sampled_at
            if elapsed > 0:
                stream.hz = (published - stream.published) / elapsed
            stream.published, stream.sampled_at = published, now

    def stream_count(self) -> int:
        """How many streams exist."""
        return sum(len(process.streams) for process in self._processes.values())

    def topic_rows(self, live: Iterable[tuple[str, Reference, Topic]]) -> tuple[TopicRow, ...]:
        """One row per topic that a live instance declares, whether it has published yet or not."""
        streams = {(stream.session.instance_id, stream.topic): stream for stream in self._streams()}
        rows: list[TopicRow] = []
        for instance_id, reference, topic in sorted(live, key=lambda entry: (entry[0], entry[2].name)):
            stream = streams.get((instance_id, topic.name))
            rows.append(
                TopicRow(
                    address=f"{instance_id}/{topic.name}",
                    instance_id=instance_id,
                    name=topic.name,
                    interface=None,
                    node=str(reference),
                    qos=topic.qos.name,
                    subscribers=len(self._rows_of(stream)) if stream else 0,
                    published=stream.observer.stats().published if stream else 0,
                    hz=round(stream.hz, 1) if stream else 0.0,
                )
            )
        return tuple(rows)

    def counters(self, instance_ids: Iterable[str]) -> tuple[TopicCounters, ...]:
        """The counters of every stream that these instances write (`out`) or read (`in`)."""
        wanted = set(instance_ids)
        found: list[TopicCounters] = []
        for stream in self._streams():
            stats = stream.observer.stats()
            writer = stream.session.instance_id
            if writer in wanted:
                found.append(TopicCounters(writer, stream.topic, "out", None, stats.published, 0, 0, 0))
            for subscription, row in self._rows_of(stream):
                reader = subscription.session.instance_id
                if reader not in wanted:
                    continue
                seen = stream.observer.row(row.number)
                lag = max(0, stats.head + 1 - seen.cursor)
                found.append(TopicCounters(reader, stream.topic, "in", writer, seen.taken, seen.lost, lag, 0))
        return tuple(sorted(found, key=lambda row: (row.instance, row.topic, row.side, row.peer or "")))

    # --- looking around ------------------------------------------------------------------------------------------

    def _streams(self) -> list[Stream]:
        return [stream for process in self._processes.values() for stream in process.streams.values()]

    def _stream(self, stream_id: int) -> Stream | None:
        return next((stream for stream in self._streams() if stream.stream_id == stream_id), None)

    def _subscriptions(self) -> list[Subscription]:
        return [found for process in self._processes.values() for found in process.subscriptions.values()]

    def _rows_of(self, stream: Stream) -> list[tuple[Subscription, Row]]:
        return [
            (subscription, row)
            for subscription in self._subscriptions()
            if (row := subscription.rows.get(stream.stream_id)) is not None and row.ticket
        ]

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _history(subscription: Subscription, stream: Stream) -> History:
    """What a reader gets first (docs/reference/qos.md, Late joiners)."""
    if subscription.order < stream.order:
        return History.ALL
    return History.LAST if stream.qos is QoSProfile.Critical else History.NONE


def _mismatch(subscription: Subscription, stream: Stream) -> str:
    return (
        f"`{subscription.session.instance_id}` cannot read topic `{stream.topic}` of `{stream.session.instance_id}`: "
        f"they were generated from different formats "
        f"({subscription.schema_hash:016x} and {stream.schema_hash:016x})"
    )


def _release(stream: Stream) -> None:
    os.close(stream.data_fd)
    os.close(stream.ctrl_fd)
