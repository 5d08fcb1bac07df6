"""Brings writers and readers of topics together; no message ever passes through here (docs/design/protocol.md).

A subscription and a stream are attached when the slot's filter passes the producer and both sides were generated from
the same format. The broker then asks the producer for a row and hands the row and the two descriptors to the consumer.

Who is gone is decided by the end of the process (a pidfd), not by the end of its connection: a node that merely lost
the daemon keeps its streams and rows, and registers them again.
"""

import asyncio
import itertools
import os
import secrets
from collections.abc import Callable, Coroutine
from time import monotonic

from peppy.daemon.streams import PeerSession, Process, Row, Stream, Subscription, history, mismatch
from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.model.qos import QoSProfile
from peppy.protocol.answers import Answer, Attached, StreamOpened, Subscribed
from peppy.protocol.frame import ConnectionClosed, close_all
from peppy.protocol.frames import Frame
from peppy.protocol.streams import (
    Attach,
    Attachment,
    AttachmentRefused,
    AttachmentStale,
    DoorbellGone,
    RowLeft,
    StreamClose,
    StreamGone,
    StreamOpen,
    Subscribe,
    Unsubscribe,
)
from peppy.ring import Observer

RETRY_SECS = 1.0
"""After so long a reader is attached again that could not be for a passing reason, such as a full descriptor table."""

NO_CLAIM = (0, 0, 0, 0, 0, 0)
"""What somebody gets who looks at a stream without a row in it."""

Passes = Callable[[str, str, str, Reference], bool]
"""passes(consumer's instance id, link_id, producer's instance id, producer's node): the slot's run-time filter."""


class TopicBroker:
    """All streams and subscriptions of the stack. Lives on the daemon's event loop."""

    def __init__(self, passes: Passes) -> None:
        self._passes = passes
        self._processes: dict[str, Process] = {}  # by instance id
        self._order = itertools.count(1)
        self._doorbell_ids = itertools.count(secrets.randbits(62))  # nodes keep the doorbells of an earlier daemon
        self._tasks: set[asyncio.Task[None]] = set()

    # --- connections ---------------------------------------------------------------------------------------------

    def connected(self, session: PeerSession) -> None:
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

    def ended(self, instance_id: str) -> None:
        """The node of this id has ended, though its process may go on: nothing that it had is there any more."""
        if (process := self._processes.get(instance_id)) is not None:
            self._process_ended(process)

    def close(self) -> None:
        """Drop everything without a word to anybody: the daemon ends, the data plane stays."""
        for task in self._tasks:
            task.cancel()
        for process in list(self._processes.values()):
            for stream in process.streams.values():
                stream.release()
            for subscription in process.subscriptions.values():
                subscription.release()
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

    def handle(self, session: PeerSession, frame: Frame, fds: tuple[int, ...]) -> Answer | None:
        """Serve one frame of a node and take over its descriptors; the answer of a request, None for a notice.

        Raises PeppyError (`ProtocolViolation`) for an id that is in use or descriptors that are no stream.
        """
        process = self._processes.get(session.instance_id)
        if process is None or process.session is not session:  # its last words arrive behind the news of its end
            close_all(fds)
            if type(frame).Answer is None:
                return None
            raise PeppyError(f"the process of `{session.instance_id}` has ended", kind="NotFound")
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
        known = process.streams.get(frame.stream_id)
        if known is not None:  # registered again after a reconnect: the old descriptors are as good
            close_all(fds)
            return StreamOpened(waiting=self._attach_all(known))
        try:
            stream = self._new_stream(process, frame, fds)
        except BaseException:
            close_all(fds)
            raise
        process.streams[stream.stream_id] = stream
        for subscription in self._subscriptions():
            if (held := subscription.held.pop(stream.stream_id, None)) is not None:
                subscription.rows[stream.stream_id] = Row(stream, *held)
        return StreamOpened(waiting=self._attach_all(stream))

    def _new_stream(self, process: Process, frame: StreamOpen, fds: tuple[int, ...]) -> Stream:
        if self._stream(frame.stream_id) is not None:
            raise PeppyError(f"stream id `{frame.stream_id:016x}` is in use", kind="ProtocolViolation")
        try:
            qos, observer = QoSProfile(frame.qos), Observer.open(fds[0], fds[1])
        except (OSError, ValueError) as error:
            raise PeppyError(f"`{frame.topic}` is no stream: {error}", kind="ProtocolViolation") from error
        return Stream(
            frame.stream_id,
            process.session,
            frame.topic,
            qos,
            frame.schema_hash,
            fds,
            observer,
            next(self._order),
            sampled_at=monotonic(),
        )

    def _subscribe(self, process: Process, frame: Subscribe, fds: tuple[int, ...]) -> Subscribed:
        subscription = process.subscriptions.get(frame.subscription_id)
        if subscription is not None:  # registered again after a reconnect
            close_all(fds)
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
        self._take_over(subscription, {stream_id: (row, ticket) for stream_id, row, ticket in frame.held})
        matching = [stream for stream in self.streams() if self._reads(subscription, stream)]
        for stream in matching:
            if stream.stream_id not in subscription.rows:
                self._attach(subscription, stream)
        return Subscribed(producers=len(matching))

    def watch(
        self, session: PeerSession, subscription_id: int, producer: str | None, topic: str, fds: tuple[int, ...]
    ) -> bool:
        """A command line looks at `topic` of an instance (None: of the first that opens it); with a doorbell it reads.

        Takes over the doorbell. Gives whether there is such a stream; ProcessLookupError when the process has ended.
        """
        if (process := self._processes.get(session.instance_id)) is None or process.session is not session:
            self.connected(session)
            process = self._processes[session.instance_id]
        if subscription_id in process.subscriptions:
            raise PeppyError(f"subscription id `{subscription_id}` is in use", kind="ProtocolViolation")
        doorbell_id, doorbell_fd = next(self._doorbell_ids), fds[0] if fds else -1
        subscription = Subscription(
            session, subscription_id, "", topic, None, doorbell_id, doorbell_fd, next(self._order), producer
        )
        process.subscriptions[subscription_id] = subscription
        stream = next((stream for stream in self.streams() if self._reads(subscription, stream)), None)
        if stream is not None:
            self._attach(subscription, stream)
        return stream is not None

    def _take_over(self, subscription: Subscription, held: dict[int, tuple[int, int]]) -> None:
        """The consumer says which rows it has; a row that it was given and does not have got lost on the way."""
        for stream_id, row in list(subscription.rows.items()):
            if row.ticket and held.get(stream_id) != (row.number, row.ticket):
                del subscription.rows[stream_id]
                row.stream.session.send(RowLeft(stream_id, row.number, row.ticket))
        subscription.held.clear()
        for stream_id, (number, ticket) in held.items():
            if (stream := self._stream(stream_id)) is None:
                subscription.held[stream_id] = (number, ticket)  # its producer has not come back yet
            else:
                subscription.rows[stream_id] = Row(stream, number, ticket)

    def _attachment_stale(self, process: Process, frame: AttachmentStale) -> None:
        subscription = process.subscriptions.get(frame.subscription_id)
        row = subscription.rows.get(frame.stream_id) if subscription else None
        if subscription is None or row is None or not row.ticket:  # or it looks on without a row
            return
        if (row.number, row.ticket) != (frame.row, frame.ticket):
            return
        stream = row.stream
        del subscription.rows[frame.stream_id]
        stream.session.send(RowLeft(frame.stream_id, frame.row, frame.ticket))
        if frame.reason is None:
            self._attach(subscription, stream)
        else:
            self._attach_later(stream)

    # --- attaching -----------------------------------------------------------------------------------------------

    def _reads(self, subscription: Subscription, stream: Stream) -> bool:
        if subscription.topic != stream.topic:
            return False
        if subscription.schema_hash is None:  # a command line looks at one producer, or at the first that comes
            return subscription.producer in (None, stream.session.instance_id)
        consumer, producer = subscription.session.instance_id, stream.session
        return self._passes(consumer, subscription.link_id, producer.instance_id, producer.reference)

    def _missing(self, stream: Stream) -> list[Subscription]:
        """Subscriptions that read the stream and have no row of it, the eldest first."""
        found = [
            subscription
            for subscription in self._subscriptions()
            if stream.stream_id not in subscription.rows and self._reads(subscription, stream)
        ]
        return sorted(found, key=lambda subscription: subscription.order)

    def _attach_all(self, stream: Stream) -> int:
        missing = self._missing(stream)
        for subscription in missing:
            self._attach(subscription, stream)
        return sum(subscription.takes_row and subscription.understands(stream) for subscription in missing)

    def _attach_waiting(self, stream: Stream) -> None:
        """A row has become free: it goes to whoever was refused first."""
        for subscription in self._missing(stream):
            if stream.stream_id in subscription.refused and subscription.understands(stream):
                self._attach(subscription, stream)
                return

    def _attach_later(self, stream: Stream) -> None:
        def attach() -> None:
            if self._stream(stream.stream_id) is stream:
                self._attach_all(stream)

        asyncio.get_running_loop().call_later(RETRY_SECS, attach)

    def _attach(self, subscription: Subscription, stream: Stream) -> None:
        if not subscription.understands(stream):
            self._refuse(subscription, stream, "SchemaMismatch", mismatch(subscription, stream))
            return
        if stream.dropped:
            return
        if subscription.schema_hash is None:
            subscription.producer = stream.session.instance_id
        row = Row(stream)
        subscription.rows[stream.stream_id] = row
        if not subscription.takes_row:
            self._hand_over(subscription, stream, NO_CLAIM)
            return
        stream.reserving += 1
        self._start(self._reserve(subscription, row))

    async def _reserve(self, subscription: Subscription, row: Row) -> None:
        """Get a row for the subscription. A stream that ends meanwhile is read to its end all the same."""
        stream = row.stream
        try:
            await self._reserve_row(subscription, row)
        finally:
            stream.reserving -= 1
            if stream.dropped:
                self._end(subscription, stream)
                if not stream.reserving:
                    stream.release()

    async def _reserve_row(self, subscription: Subscription, row: Row) -> None:
        stream, session = row.stream, row.stream.session
        holder = self._processes.get(session.instance_id)
        if holder is None:
            return  # it left before this could begin
        if subscription.rows.get(stream.stream_id) is not row:
            session.send(RowLeft(stream.stream_id, 0, 0))  # a first message may wait for this reader
            return
        try:
            answer = await self._ask_for_row(holder, subscription, stream)
        except PeppyError as error:
            if subscription.rows.get(stream.stream_id) is row:
                del subscription.rows[stream.stream_id]
                if isinstance(error, ConnectionClosed) and stream.session is not session:
                    self._attach(subscription, stream)  # the producer is back already
                elif not stream.dropped:
                    self._not_attached(holder, subscription, stream, error)
            return
        row.number, row.ticket = answer.claim[3:5]
        if subscription.rows.get(stream.stream_id) is not row:  # it left while the producer answered
            stream.session.send(RowLeft(stream.stream_id, row.number, row.ticket))
            self._attach_waiting(stream)
            return
        subscription.refused.discard(stream.stream_id)
        self._hand_over(subscription, stream, answer.claim)

    @staticmethod
    def _hand_over(subscription: Subscription, stream: Stream, claim: tuple[int, int, int, int, int, int]) -> None:
        number, producer = subscription.subscription_id, stream.session.instance_id
        attachment = Attachment(number, stream.stream_id, producer, int(stream.qos), claim)
        subscription.session.send(attachment, stream.fds)

    async def _ask_for_row(self, holder: Process, subscription: Subscription, stream: Stream) -> Attached:
        """The producer's answer, however late: a row that it reserves for nobody would stay reserved."""
        doorbell = subscription.doorbell_id
        first = doorbell not in holder.doorbells
        holder.doorbells.add(doorbell)
        reader, overwriting = subscription.session.instance_id, subscription.looks_on
        request = Attach(stream.stream_id, doorbell, history(subscription, stream), reader, overwriting)
        try:
            answer = await stream.session.request(request, (subscription.doorbell_fd,) if first else (), timeout=None)
        except PeppyError as error:
            if error.kind == "NoDescriptors":
                holder.doorbells.discard(doorbell)  # it got lost on the way: sent again next time
            raise
        assert isinstance(answer, Attached)
        return answer

    def _not_attached(self, holder: Process, subscription: Subscription, stream: Stream, error: PeppyError) -> None:
        if isinstance(error, ConnectionClosed):
            return  # the producer registers the stream again, or its process is gone
        if error.kind == "NotFound":  # closed while the daemon could not be told
            if holder.streams.get(stream.stream_id) is stream:
                self._drop_stream(holder, stream)
            return
        self._refuse(subscription, stream, error.kind, error.message)
        if error.kind != "TooManyReaders":
            self._attach_later(stream)

    def _refuse(self, subscription: Subscription, stream: Stream, kind: str, message: str) -> None:
        """Tell the consumer; of a producer it hears the same only once, but for what a free row ends."""
        producer = stream.session.instance_id
        subscription.refused.add(stream.stream_id)
        if kind != "TooManyReaders" and (producer, kind) in subscription.told:
            return
        subscription.told.add((producer, kind))
        refused = AttachmentRefused(subscription.subscription_id, stream.stream_id, producer, kind, message)
        subscription.session.send(refused)

    # --- leaving -------------------------------------------------------------------------------------------------

    def _drop_stream(self, process: Process, stream: Stream) -> None:
        """The stream has ended. Who waits for the producer's answer about a row is told after it: the answer was sent
        before the end and may be read after it."""
        del process.streams[stream.stream_id]
        stream.dropped = True
        for subscription in self._subscriptions():
            row = subscription.rows.get(stream.stream_id)
            if row is None or row.ticket or not subscription.takes_row:
                self._end(subscription, stream)
        if not stream.reserving:
            stream.release()

    def _end(self, subscription: Subscription, stream: Stream) -> None:
        had_row = subscription.rows.pop(stream.stream_id, None) is not None
        if had_row or stream.stream_id in subscription.refused:
            subscription.refused.discard(stream.stream_id)
            subscription.session.send(StreamGone(subscription.subscription_id, stream.stream_id))

    def _drop_subscription(self, process: Process, subscription: Subscription) -> None:
        del process.subscriptions[subscription.subscription_id]
        left = [row for row in subscription.rows.values() if row.ticket]
        subscription.rows.clear()
        for row in left:
            row.stream.session.send(RowLeft(row.stream.stream_id, row.number, row.ticket))
        for holder in self._processes.values():
            if subscription.doorbell_id in holder.doorbells:
                holder.doorbells.remove(subscription.doorbell_id)
                holder.session.send(DoorbellGone(subscription.doorbell_id))
        subscription.release()
        for row in left:
            self._attach_waiting(row.stream)

    # --- counters ------------------------------------------------------------------------------------------------

    def sample(self) -> None:
        """Take the rate of every stream since the last call; meant to be called once a second."""
        now = monotonic()
        for stream in self.streams():
            published = stream.observer.stats().published
            elapsed = now - stream.sampled_at
            if elapsed > 0:
                stream.hz = (published - stream.published) / elapsed
            stream.published, stream.sampled_at = published, now

    def stream_count(self) -> int:
        """How many streams exist."""
        return sum(len(process.streams) for process in self._processes.values())

    def stream_of(self, instance_id: str, topic: str) -> Stream | None:
        """The stream of one topic of a live instance, once it has published."""
        process = self._processes.get(instance_id)
        streams = process.streams.values() if process is not None else ()
        return next((stream for stream in streams if stream.topic == topic), None)

    # --- looking around ------------------------------------------------------------------------------------------

    def streams(self) -> list[Stream]:
        """All streams of the stack."""
        return [stream for process in self._processes.values() for stream in process.streams.values()]

    def _stream(self, stream_id: int) -> Stream | None:
        return next((stream for stream in self.streams() if stream.stream_id == stream_id), None)

    def _subscriptions(self) -> list[Subscription]:
        return [found for process in self._processes.values() for found in process.subscriptions.values()]

    def rows_of(self, stream: Stream) -> list[tuple[Subscription, Row]]:
        """Who has a row of a stream."""
        return [
            (subscription, row)
            for subscription in self._subscriptions()
            if (row := subscription.rows.get(stream.stream_id)) is not None and row.ticket
        ]

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
