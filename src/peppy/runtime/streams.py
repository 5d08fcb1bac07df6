"""Streams and subscriptions as the daemon sees them: the control thread's part of the data plane.

It opens streams for subscriptions, gives rows of streams to readers and registers both again after a reconnect. What
it touches of writers and subscriptions is safe from any thread (docs/design/protocol.md, Sequences).
"""

import errno
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from peppy.errors import PeppyError
from peppy.model.types import canonical
from peppy.protocol.answers import Answer, Attached, StreamOpened
from peppy.protocol.frame import Received, close_all
from peppy.protocol.frames import Done, Failed, Frame
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
from peppy.ring import Claim
from peppy.runtime.link import Link
from peppy.runtime.publisher import TopicWriter
from peppy.runtime.subscription import Subscription


class Streams:
    """The writers and subscriptions that this process has registered. `says_formats`: the daemon knows no manifest of
    this program, so it is told what messages look like."""

    def __init__(self, link: Link, *, says_formats: bool = False) -> None:
        self._link = link
        self._says_formats = says_formats
        self._process = os.getpid()
        self._order = threading.Lock()  # a registration and its end are sent in the order in which they happened
        self._writers: dict[int, TopicWriter] = {}
        self._subscriptions: dict[int, Subscription[Any]] = {}
        self._doorbells: dict[int, int] = {}
        self._complaints: set[tuple[int, int]] = set()  # (subscription, stream) that could not be attached

    # --- what publishers and subscriptions ask for ----------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there is a daemon that attaches readers."""
        return self._link.connected

    def check_process(self) -> None:
        """RuntimeError in a process forked from the node: connection, streams and subscriptions are its parent's."""
        if os.getpid() != self._process:
            raise RuntimeError("this process was forked from a node and must not use its publishers or subscriptions")

    def open_stream(self, writer: TopicWriter) -> None:
        """Register a stream that has just been made; readers that waited for it are attached by the daemon."""
        with self._order:
            self._writers[writer.stream_id] = writer
            self._register_stream(writer)

    def close_stream(self, writer: TopicWriter) -> None:
        """The stream is closed: readers take what is left."""
        with self._order:
            if self._writers.pop(writer.stream_id, None) is not None:
                self._link.send(StreamClose(writer.stream_id))

    def open_subscription(self, subscription: Subscription[Any]) -> None:
        """Register a subscription; it is told when the daemon knows it."""
        self.check_process()
        with self._order:
            self._subscriptions[subscription.subscription_id] = subscription
            self._register_subscription(subscription)

    def close_subscription(self, subscription: Subscription[Any]) -> None:
        """The subscription has given its rows up; its doorbell stays open until this has returned."""
        with self._order:
            if self._subscriptions.pop(subscription.subscription_id, None) is not None:
                self._link.send(Unsubscribe(subscription.subscription_id))

    # --- what the control thread passes on -----------------------------------------------------------------------

    def frames(self) -> Mapping[type[Frame], Callable[[Received], Frame | None]]:
        """What the daemon says of streams, and who serves it."""
        return {
            Attach: self._attach,
            Attachment: self._attachment,
            AttachmentRefused: self._attachment_refused,
            StreamGone: self._stream_gone,
            RowLeft: self._row_left,
            DoorbellGone: self._doorbell_gone,
        }

    def connection_lost(self) -> None:
        """Streams do not need the daemon."""

    def register_again(self) -> None:
        """Tell a daemon that does not know it what there is."""
        with self._order:
            for writer in self._writers.values():
                writer.release_unclaimed_rows()
                self._register_stream(writer)
            for subscription in self._subscriptions.values():
                subscription.find_dead_writers()
                self._register_subscription(subscription)

    def close(self) -> None:
        """Let go of the doorbells, after the thread's end."""
        for doorbell_id in list(self._doorbells):
            self._forget_doorbell(doorbell_id)

    def _attach(self, received: Received) -> Frame:
        attach, fds = received.frame, received.fds
        assert isinstance(attach, Attach)
        if fds:
            if attach.doorbell_id in self._doorbells:
                os.close(fds[0])
            else:
                self._doorbells[attach.doorbell_id] = fds[0]
        writer = self._writers.get(attach.stream_id)
        if writer is None:
            return Failed("NotFound", f"stream `{attach.stream_id:016x}` is not open any more")
        doorbell = self._doorbells.get(attach.doorbell_id)
        if doorbell is None:  # it arrived `truncated`
            return Failed("NoDescriptors", "the producer has no free file descriptor")
        try:
            reader, overwriting = attach.reader_instance_id, attach.overwriting
            claim = writer.reserve_row(doorbell, attach.history, reader, overwriting=overwriting)
            return Done(msgspec.Raw(msgspec.msgpack.encode(Attached(claim=claim))))
        except PeppyError as error:
            return Failed(error.kind, error.message, error.hint)
        except (OSError, RuntimeError, ValueError) as error:
            return Failed("Refused", str(error))

    def _attachment(self, received: Received) -> None:
        """Read one more stream. A row that cannot be used goes back, or it would be nobody's for ever."""
        frame, fds = received.frame, received.fds
        assert isinstance(frame, Attachment)
        stream_id, claim = frame.stream_id, Claim(*frame.claim)
        try:
            subscription = self._subscriptions.get(frame.subscription_id)
            if subscription is None:  # closed while the daemon could not be told
                self._link.send(Unsubscribe(frame.subscription_id))
                return
            if any(held == stream_id for held, _, _ in subscription.held()):
                self._say_again(subscription)  # what it has: the second row goes back
                return
            reason = self._read(subscription, frame, fds, claim)
            if reason is not None:
                stale = AttachmentStale(frame.subscription_id, stream_id, claim.row, claim.ticket, reason or None)
                self._link.send(stale)
        finally:
            close_all(fds)

    def _say_again(self, subscription: Subscription[Any]) -> None:
        with self._order:
            if subscription.subscription_id in self._subscriptions:
                self._register_subscription(subscription)

    def _read(
        self, subscription: Subscription[Any], frame: Attachment, fds: tuple[int, ...], claim: Claim
    ) -> str | None:
        """None when the stream is read now, else why it is not: "" when the row was no longer free."""
        attempt = (frame.subscription_id, frame.stream_id)
        try:
            if not fds:  # the frame arrived `truncated`: this process has no free descriptor
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            if not subscription.attach(frame.stream_id, frame.producer_instance_id, frame.qos, fds, claim):
                return ""
        except (OSError, ValueError) as error:
            if attempt not in self._complaints:
                self._complaints.add(attempt)
                where = f"topic `{subscription.topic}` of `{frame.producer_instance_id}`"
                print(f"[ERROR] cannot attach to {where}, trying again: {error}", file=sys.stderr, flush=True)
            return str(error)
        self._complaints.discard(attempt)
        return None

    def _attachment_refused(self, received: Received) -> None:
        refused = received.frame
        assert isinstance(refused, AttachmentRefused)
        if (subscription := self._subscriptions.get(refused.subscription_id)) is not None:
            subscription.refused(refused.stream_id, refused.producer_instance_id, refused.kind, refused.message)

    def _stream_gone(self, received: Received) -> None:
        gone = received.frame
        assert isinstance(gone, StreamGone)
        if (subscription := self._subscriptions.get(gone.subscription_id)) is not None:
            subscription.stream_gone(gone.stream_id)

    def _row_left(self, received: Received) -> None:
        left = received.frame
        assert isinstance(left, RowLeft)
        if (writer := self._writers.get(left.stream_id)) is not None:
            writer.release_row(left.row, left.ticket)

    def _doorbell_gone(self, received: Received) -> None:
        assert isinstance(received.frame, DoorbellGone)
        self._forget_doorbell(received.frame.doorbell_id)

    def _forget_doorbell(self, doorbell_id: int) -> None:
        fd = self._doorbells.pop(doorbell_id, None)
        if fd is None:
            return
        for writer in list(self._writers.values()):
            writer.forget_doorbell(fd)
        os.close(fd)

    # --- registering ---------------------------------------------------------------------------------------------

    def _register_stream(self, writer: TopicWriter) -> None:
        def opened(answer: Answer | PeppyError | None) -> None:
            if isinstance(answer, StreamOpened):
                writer.opened(answer.waiting)
            elif isinstance(answer, PeppyError):
                writer.registered(answer)

        plan = writer.plan
        said = canonical(plan.message_format) if self._says_formats and plan.message_format else None
        frame = StreamOpen(writer.stream_id, writer.name, int(writer.qos), plan.schema_hash, 1, said)
        with writer.kept_open() as fds:
            if fds is not None:
                self._link.request(frame, opened, fds)

    def _register_subscription(self, subscription: Subscription[Any]) -> None:
        def subscribed(answer: Answer | PeppyError | None) -> None:
            if answer is not None:
                subscription.registered(answer if isinstance(answer, PeppyError) else None)

        frame = Subscribe(
            subscription.subscription_id,
            subscription.link_id,
            subscription.topic,
            subscription.plan.schema_hash,
            subscription.held(),
        )
        self._link.request(frame, subscribed, (subscription.doorbell,))
