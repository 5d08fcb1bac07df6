"""Brings writers and readers of topics together; no message ever passes through here (docs/design/protocol.md).

A subscription and a stream are attached when the slot's filter passes the producer and both sides were generated from
the same format. The broker then asks the producer for a row and hands the row and the two descriptors to the consumer.

Who is gone is decided by the end of the process (a pidfd), not by the end of its connection: a node that merely lost
the daemon keeps its streams and rows, and registers them again.
"""

import itertools
import secrets
from functools import partial
from time import monotonic

from peppy.daemon.attaching import Attaching, Passes
from peppy.daemon.end_watch import EndWatch
from peppy.daemon.stream_table import StreamTable
from peppy.daemon.streams import PeerSession, Process, Row, Stream, Subscription
from peppy.errors import PeppyError
from peppy.model.qos import QoSProfile
from peppy.protocol.answers import Answer, StreamOpened, Subscribed
from peppy.protocol.frame import close_all
from peppy.protocol.frames import Frame
from peppy.protocol.streams import (
    AttachmentStale,
    DoorbellGone,
    RowLeft,
    StreamClose,
    StreamOpen,
    Subscribe,
    Unsubscribe,
)
from peppy.ring import Observer

STREAMS = 4096
"""Streams, and subscriptions, that one process may have."""


class TopicBroker(StreamTable):
    """The table of streams and subscriptions, kept by what nodes say. Lives on the daemon's event loop."""

    def __init__(self, passes: Passes) -> None:
        super().__init__()
        self._attaching = Attaching(self, passes)
        self._order = itertools.count(1)
        self._doorbell_ids = itertools.count(secrets.randbits(62))  # nodes keep the doorbells of an earlier daemon

    # --- connections ---------------------------------------------------------------------------------------------

    def connected(self, session: PeerSession) -> None:
        """A node has said hello. One that was here before under another connection registers everything again."""
        known = self.processes.get(session.instance_id)
        if known is not None and known.session.pid == session.pid:
            known.session = session
            for stream in known.streams.values():
                stream.session = session
            for subscription in known.subscriptions.values():
                subscription.session = session
            return
        if known is not None:  # the id is used again before the end of its former process was noticed here
            self._process_ended(known)
        watch = EndWatch(session.pid)
        process = self.processes[session.instance_id] = Process(session, watch)
        watch.begin(partial(self._process_ended, process))

    def ended(self, instance_id: str) -> None:
        """The node of this id has ended, though its process may go on: nothing that it had is there any more."""
        if (process := self.processes.get(instance_id)) is not None:
            self._process_ended(process)

    def close(self) -> None:
        """Drop everything without a word to anybody: the daemon ends, the data plane stays."""
        self._attaching.close()
        for process in list(self.processes.values()):
            for stream in process.streams.values():
                stream.release()
            for subscription in process.subscriptions.values():
                subscription.release()
            self._forget(process)

    def _process_ended(self, process: Process) -> None:
        for stream in list(process.streams.values()):
            self._attaching.drop_stream(process, stream)
        for subscription in list(process.subscriptions.values()):
            self._drop_subscription(process, subscription)
        self._forget(process)

    def _forget(self, process: Process) -> None:
        process.watch.close()
        del self.processes[process.session.instance_id]

    # --- frames --------------------------------------------------------------------------------------------------

    def handle(self, session: PeerSession, frame: Frame, fds: tuple[int, ...]) -> Answer | None:
        """Serve one frame of a node and take over its descriptors; the answer of a request, None for a notice.

        Raises PeppyError (`ProtocolViolation`) for an id that is in use or descriptors that are no stream.
        """
        process = self.processes.get(session.instance_id)
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
                    self._attaching.drop_stream(process, stream)
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
            return StreamOpened(waiting=self._attaching.attach_all(known))
        try:
            stream = self._new_stream(process, frame, fds)
        except BaseException:
            close_all(fds)
            raise
        process.streams[stream.stream_id] = stream
        for subscription in self.subscriptions():
            if (held := subscription.held.pop(stream.stream_id, None)) is not None:
                subscription.rows[stream.stream_id] = Row(stream, *held)
        return StreamOpened(waiting=self._attaching.attach_all(stream))

    def _new_stream(self, process: Process, frame: StreamOpen, fds: tuple[int, ...]) -> Stream:
        if len(process.streams) >= STREAMS:
            raise PeppyError(f"a process has at most {STREAMS} streams", kind="ProtocolViolation")
        if self.stream(frame.stream_id) is not None:
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
            try:
                subscription = self._new_subscription(
                    process, frame.subscription_id, frame.link_id, frame.topic, frame.schema_hash, fds[0]
                )
            except PeppyError:
                close_all(fds)
                raise
        self._take_over(subscription, {stream_id: (row, ticket) for stream_id, row, ticket in frame.held})
        matching = [stream for stream in self.streams() if self._attaching.reads(subscription, stream)]
        for stream in matching:
            if stream.stream_id not in subscription.rows:
                self._attaching.attach(subscription, stream)
        return Subscribed(producers=len(matching))

    def _new_subscription(
        self,
        process: Process,
        subscription_id: int,
        link_id: str,
        topic: str,
        schema_hash: int | None,
        doorbell_fd: int,
    ) -> Subscription:
        if len(process.subscriptions) >= STREAMS:
            raise PeppyError(f"a process has at most {STREAMS} subscriptions", kind="ProtocolViolation")
        doorbell_id, order = next(self._doorbell_ids), next(self._order)
        subscription = Subscription(
            process.session, subscription_id, link_id, topic, schema_hash, doorbell_id, doorbell_fd, order
        )
        process.subscriptions[subscription_id] = subscription
        return subscription

    def watch(
        self, session: PeerSession, subscription_id: int, producer: str | None, topic: str, fds: tuple[int, ...]
    ) -> bool:
        """A command line looks at `topic` of an instance (None: of the first that opens it); with a doorbell it reads.

        Takes over the doorbell. Gives whether there is such a stream; ProcessLookupError when the process has ended.
        """
        if (process := self.processes.get(session.instance_id)) is None or process.session is not session:
            self.connected(session)
            process = self.processes[session.instance_id]
        if subscription_id in process.subscriptions:
            raise PeppyError(f"subscription id `{subscription_id}` is in use", kind="ProtocolViolation")
        subscription = self._new_subscription(process, subscription_id, "", topic, None, fds[0] if fds else -1)
        subscription.producer = producer
        stream = next((stream for stream in self.streams() if self._attaching.reads(subscription, stream)), None)
        if stream is not None:
            self._attaching.attach(subscription, stream)
        return stream is not None

    def _take_over(self, subscription: Subscription, held: dict[int, tuple[int, int]]) -> None:
        """The consumer says which rows it has; a row that it was given and does not have got lost on the way."""
        for stream_id, row in list(subscription.rows.items()):
            if row.ticket and held.get(stream_id) != (row.number, row.ticket):
                del subscription.rows[stream_id]
                row.stream.session.send(RowLeft(stream_id, row.number, row.ticket))
        subscription.held.clear()
        for stream_id, (number, ticket) in held.items():
            if (stream := self.stream(stream_id)) is None:
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
            self._attaching.attach(subscription, stream)
        else:
            self._attaching.attach_later(stream)

    # --- leaving -------------------------------------------------------------------------------------------------

    def _drop_subscription(self, process: Process, subscription: Subscription) -> None:
        del process.subscriptions[subscription.subscription_id]
        left = [row for row in subscription.rows.values() if row.ticket]
        subscription.rows.clear()
        for row in left:
            row.stream.session.send(RowLeft(row.stream.stream_id, row.number, row.ticket))
        for holder in self.processes.values():
            if subscription.doorbell_id in holder.doorbells:
                holder.doorbells.remove(subscription.doorbell_id)
                holder.session.send(DoorbellGone(subscription.doorbell_id))
        subscription.release()
        for row in left:
            self._attaching.attach_waiting(row.stream)
