"""Gets readers their rows: attaches subscriptions to streams, and ends what ends (docs/design/protocol.md, Streams)."""

import asyncio
from collections.abc import Callable, Coroutine

from peppy.daemon.stream_table import StreamTable
from peppy.daemon.streams import Process, Row, Stream, Subscription, history, mismatch
from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.protocol.answers import Attached
from peppy.protocol.calls import NO_CLAIM
from peppy.protocol.frame import ConnectionClosed
from peppy.protocol.streams import Attach, Attachment, AttachmentRefused, RowLeft, StreamGone

RETRY_SECS = 1.0
"""After so long a reader is attached again that could not be for a passing reason, such as a full descriptor table."""

Passes = Callable[[str, str, str, Reference], bool]
"""passes(consumer's instance id, link_id, producer's instance id, producer's node): the slot's run-time filter."""


class Attaching:
    """Every reservation of a row, under way or done. One that looks on without a row gets `NO_CLAIM`."""

    def __init__(self, table: StreamTable, passes: Passes) -> None:
        self._table = table
        self._passes = passes
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Ask nobody any more."""
        for task in self._tasks:
            task.cancel()

    def reads(self, subscription: Subscription, stream: Stream) -> bool:
        """Whether the slot of the subscription admits the producer, and the topic is the one that it reads."""
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
            for subscription in self._table.subscriptions()
            if stream.stream_id not in subscription.rows and self.reads(subscription, stream)
        ]
        return sorted(found, key=lambda subscription: subscription.order)

    def attach_all(self, stream: Stream) -> int:
        """Attach whoever reads the stream and has no row of it; how many of them will have one."""
        missing = self._missing(stream)
        for subscription in missing:
            self.attach(subscription, stream)
        return sum(subscription.takes_row and subscription.understands(stream) for subscription in missing)

    def attach_waiting(self, stream: Stream) -> None:
        """A row has become free: it goes to whoever was refused first."""
        for subscription in self._missing(stream):
            if stream.stream_id in subscription.refused and subscription.understands(stream):
                self.attach(subscription, stream)
                return

    def attach_later(self, stream: Stream) -> None:
        """Attach whoever misses the stream, after a pause."""

        def attach() -> None:
            if self._table.stream(stream.stream_id) is stream:
                self.attach_all(stream)

        asyncio.get_running_loop().call_later(RETRY_SECS, attach)

    def attach(self, subscription: Subscription, stream: Stream) -> None:
        """Get the subscription a row of the stream, unless it is told why it cannot have one."""
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
        holder = self._table.processes.get(session.instance_id)
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
                    self.attach(subscription, stream)  # the producer is back already
                elif not stream.dropped:
                    self._not_attached(holder, subscription, stream, error)
            return
        row.number, row.ticket = answer.claim[3:5]
        if subscription.rows.get(stream.stream_id) is not row:  # it left while the producer answered
            stream.session.send(RowLeft(stream.stream_id, row.number, row.ticket))
            self.attach_waiting(stream)
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
                self.drop_stream(holder, stream)
            return
        self._refuse(subscription, stream, error.kind, error.message)
        if error.kind != "TooManyReaders":
            self.attach_later(stream)

    def _refuse(self, subscription: Subscription, stream: Stream, kind: str, message: str) -> None:
        """Tell the consumer; of a producer it hears the same only once, but for what a free row ends."""
        producer = stream.session.instance_id
        subscription.refused.add(stream.stream_id)
        if kind != "TooManyReaders" and (producer, kind) in subscription.told:
            return
        subscription.told.add((producer, kind))
        refused = AttachmentRefused(subscription.subscription_id, stream.stream_id, producer, kind, message)
        subscription.session.send(refused)

    def drop_stream(self, process: Process, stream: Stream) -> None:
        """The stream has ended. Who waits for the producer's answer about a row is told after it: the answer was sent
        before the end and may be read after it."""
        del process.streams[stream.stream_id]
        stream.dropped = True
        for subscription in self._table.subscriptions():
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

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
