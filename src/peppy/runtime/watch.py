"""Streams as the command line sees them: looked at without a trace, or read like any subscription does.

The daemon hands over the descriptors (docs/design/protocol.md, A topic is watched). A topic that is only looked at
needs no row: nothing of it is seen by writer or readers. One that is read has a row, which never holds the writer up.
"""

import itertools
import os
import select
from contextlib import suppress
from types import TracebackType
from typing import Self

from peppy.client import Client
from peppy.errors import PeppyError, TooManyReaders
from peppy.model.qos import QoSProfile
from peppy.protocol.answers import Watched
from peppy.protocol.frame import close_all
from peppy.protocol.frames import TopicWatch
from peppy.protocol.streams import (
    Attachment,
    AttachmentRefused,
    AttachmentStale,
    StreamGone,
    Unsubscribe,
)
from peppy.ring import Claim, Observer, Outcome, Reader, StaleClaim, View

REQUEST_SECS = 10.0
"""How long the daemon may take to answer."""


class WatchedTopic:
    """One topic. `observer` is None until its stream is there; `gone` once the stream has ended."""

    def __init__(self, watched: Watched, doorbell: int) -> None:
        self.name = watched.name
        self.instance_id = watched.instance_id
        """The producer; None while nobody knows who it will be."""
        self.live = watched.live
        self.open = watched.open
        self.observer: Observer | None = None
        self.gone = False
        self.doorbell = doorbell
        """The eventfd of a reader; -1 of a topic that is only looked at."""
        self.stream_id: int | None = None
        self._reader: Reader | None = None

    @property
    def address(self) -> str:
        """`<instance_id>/<name>`, or the name alone while the producer is unknown."""
        return self.name if self.instance_id is None else f"{self.instance_id}/{self.name}"

    def take(self) -> View | None:
        """The next message in place, or None when there is none now, or never again once `gone`."""
        if self._reader is None:
            return None
        view = self._reader.take_view()
        return view if isinstance(view, View) else None

    def rests(self) -> bool:
        """Whether a reader may sleep until its doorbell rings: reads the doorbell, then looks again."""
        if self._reader is None:
            return True
        with suppress(BlockingIOError):
            os.eventfd_read(self.doorbell)
        return self._reader.arm() is Outcome.EMPTY

    def attach(self, frame: Attachment, fds: tuple[int, ...], claim: Claim) -> None:
        """Look at this stream, and read it when there is a doorbell. StaleClaim when its row is no longer free."""
        if self.doorbell >= 0:
            newest = QoSProfile(frame.qos) is QoSProfile.SensorData
            self._reader = Reader.open(fds[0], fds[1], claim, newest=newest)
        self.observer = Observer.open(fds[0], fds[1])
        self.stream_id, self.instance_id = frame.stream_id, frame.producer_instance_id

    def close(self) -> None:
        """Give up the row, if there is one."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self.doorbell >= 0:
            os.close(self.doorbell)
            self.doorbell = -1


class Watches:
    """The topics that one command watches. A context manager: its end gives the rows back."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._numbers = itertools.count(1)
        self._topics: dict[int, WatchedTopic] = {}
        self._asked = False  # news may have come in before the answer to a request

    def open(self, topic: str, *, reads: bool) -> WatchedTopic:
        """Watch a topic from now on, there or not yet; `reads` to take its messages.

        Raises what the daemon answers: `NotFound`, or `Refused` for a name of several topics.
        """
        number = next(self._numbers)
        doorbell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) if reads else -1
        fds = (doorbell,) if reads else ()
        try:
            watched = self._client.call(TopicWatch(number, topic), timeout=REQUEST_SECS, fds=fds)
        except BaseException:
            close_all(fds)
            raise
        self._topics[number] = WatchedTopic(watched, doorbell)
        self._asked = True
        return self._topics[number]

    def wait(self, seconds: float | None) -> None:
        """Wait until the daemon tells something, a message comes for a reader, or `seconds` are over."""
        readers = [topic for topic in self._topics.values() if topic.doorbell >= 0]
        daemon = self._client.fileno()
        # Looking is to cost next to nothing: who reads no messages hears the daemon when there is something to hear.
        if (self._asked or readers or daemon < 0) and self._serve():
            return
        if not all(topic.rests() for topic in readers):
            return
        poll = select.poll()
        for descriptor in (daemon, *(topic.doorbell for topic in readers)):
            poll.register(descriptor, select.POLLIN)
        ready = poll.poll(None if seconds is None else max(0.0, seconds) * 1000)
        if any(descriptor == daemon for descriptor, _ in ready):
            self._serve()

    def close(self) -> None:
        """Give all rows back."""
        for number, topic in self._topics.items():
            topic.close()
            with suppress(PeppyError):
                self._client.tell(Unsubscribe(number))
        self._topics.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self) -> bool:
        """Whether the daemon has told something. Raises TooManyReaders, or why a stream cannot be read."""
        served = self._asked = False
        while (received := self._client.notice()) is not None:
            served = True
            try:
                match received.frame:
                    case Attachment() as attachment:
                        self._attach(attachment, received.fds)
                    case AttachmentRefused() as refused:
                        raise _refusal(refused)
                    case StreamGone(subscription_id=number, stream_id=stream_id):
                        self._stream_gone(number, stream_id)
                    case _:
                        pass
            finally:
                close_all(received.fds)
        return served

    def _attach(self, frame: Attachment, fds: tuple[int, ...]) -> None:
        topic = self._topics.get(frame.subscription_id)
        if topic is None or topic.observer is not None:  # the first stream is watched to its end, not its successors
            return
        if not fds:
            raise PeppyError(f"topic `{topic.address}`: this process has no free file descriptor", kind="Refused")
        claim = Claim(*frame.claim)
        try:
            topic.attach(frame, fds, claim)
        except StaleClaim:
            stale = AttachmentStale(frame.subscription_id, frame.stream_id, claim.row, claim.ticket)
            self._client.tell(stale)

    def _stream_gone(self, number: int, stream_id: int) -> None:
        topic = self._topics.get(number)
        if topic is not None and topic.stream_id == stream_id:
            topic.gone = True


def _refusal(refused: AttachmentRefused) -> PeppyError:
    producer, message = refused.producer_instance_id, refused.message
    if refused.kind == TooManyReaders.__name__:
        return TooManyReaders(f"`{producer}`: {message}", hint="end one of the topic's readers, then try again")
    return PeppyError(f"`{producer}`: {message}", kind=refused.kind)
