"""The client's end of feedback: what one goal sends, up to the end that the daemon tells (docs/reference/qos.md,
Feedback; docs/reference/services_actions.md, Feedback).
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar, cast

from peppy.codec import Plan
from peppy.errors import ActionFeedbackClosed, DecodeError
from peppy.model.qos import QoSProfile
from peppy.protocol.calls import Decided, FeedbackEnd, FollowGoal
from peppy.protocol.frame import Received
from peppy.protocol.frames import Frame
from peppy.ring import Claim, Outcome, StaleClaim
from peppy.runtime.descriptors import allow_many
from peppy.runtime.link import Link
from peppy.runtime.source import TAKE, Source
from peppy.runtime.waiting import Waiting

M = TypeVar("M")


class FeedbackReader(Waiting, Generic[M]):
    """Messages of one goal. Belongs to the event loop, but for `end`."""

    def __init__(
        self,
        goal_id: str,
        plan: Plan[M],
        loop: asyncio.AbstractEventLoop,
        urgent: list[Waiting],
        link: Link,
        closed: Callable[[str], None],
    ) -> None:
        """`closed` is told the goal's id when nothing follows and all descriptors are given back."""
        super().__init__(loop, urgent)
        self.goal_id = goal_id
        self._plan = plan
        self._link = link
        self._generation = link.generation  # what the daemon says of the goal may come on this connection, or a later
        self._tell_closed = closed
        self._source: Source | None = None
        self._goal_ended = False
        self._turn = asyncio.Lock()  # calls are served in their order
        self._lost = 0

    def attach(self, decided: Decided, fds: tuple[int, ...]) -> None:
        """Read this stream from its first message on. The descriptors stay the caller's.

        Raises OSError when this process has no room for one more stream.
        """
        if self._closed or len(fds) < 2:
            return
        with suppress(StaleClaim):  # the server has ended and its row is nobody's: there is nothing to read
            self._source = Source(
                decided.stream_id,
                decided.instance_id,
                QoSProfile(decided.qos),
                Claim(*decided.claim),
                fds,
                self._plan,
                f"feedback message(s) of goal `{self.goal_id}`",
                lambda _count: None,  # `lost` tells
            )
            if decided.qos == QoSProfile.Critical:
                self._urgent.append(self)
            if self._link.generation != self._generation:
                self.follow()  # the reconnect has found nothing to follow yet

    def follow(self) -> None:
        """Ask for the goal's end, which may have been told to nobody. From any thread."""
        if self._source is not None:
            self._link.send(FollowGoal(self.goal_id))

    def end(self) -> None:
        """The goal is terminal, so everything it has sent is in the stream. From any thread."""
        with self._lock:
            self._goal_ended = True
            self._ring()

    async def next(self) -> M:
        """The next message. Cancelling the wait loses none. ActionFeedbackClosed once all are taken, and ever after."""
        async with self._turn:
            if self.turn_is_long:
                await self.give_way()
            while not self._closed:
                goal_ended = self._goal_ended  # before the look: what was written until then is seen
                taken = self._take()
                if taken is not None:
                    self._took()
                    return cast(M, taken[1])
                if self.turn_is_long:  # what is left comes after the others' turn
                    await self.give_way()
                    continue
                if goal_ended or self._source is None:
                    self.close()
                    break
                await self.wait()
        raise ActionFeedbackClosed(f"the feedback of goal `{self.goal_id}` has ended")

    @property
    def lost(self) -> int:
        """Messages that were overwritten before they were taken, or could not be decoded."""
        source = self._source
        return self._lost if source is None else source.stats().row.lost + source.undecodable

    def close(self) -> None:
        """Give the row and all descriptors back: the server waits for nobody. Calling it again does nothing."""
        with self._lock:
            if self._closed:
                return
            self._lost = self.lost
            self._closed = True
            if self._source is not None:
                self._source.close()
                self._source = None
            if self in self._urgent:
                self._urgent.remove(self)
        self._leave_doorbell()
        self._tell_closed(self.goal_id)

    # --- taking ------------------------------------------------------------------------------------------------------

    def _take(self) -> tuple[str, Any] | None:
        """The next message with its producer; None when there is nothing now."""
        if self._source is None:
            return None
        try:
            taken = self._source.past_garbage(TAKE)
        except DecodeError:  # there is more to come, after the others' turn
            self.turn_is_long = True
            return None
        if isinstance(taken, tuple):
            return taken
        if taken is Outcome.CLOSED:
            self._goal_ended = True
        return None

    def _armed(self) -> bool:
        """Arm the stream; False when it has something, or its end, after all."""
        with self._lock:
            if self._closed or self._goal_ended or self._source is None:
                return False
            return self._source.arm()


class FeedbackReaders:
    """All goals whose feedback this process reads; a part of the control thread."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop, urgent: list[Waiting]) -> None:
        self._link = link
        self._urgent = urgent
        self._loop = loop
        self._lock = threading.Lock()
        self._readers: dict[str, FeedbackReader[Any]] = {}

    def open(self, goal_id: str, plan: Plan[M]) -> FeedbackReader[M]:
        """A reader for a goal that is about to be sent. OSError when this process has no free descriptor."""
        if not self._readers:
            allow_many()
        reader = FeedbackReader(goal_id, plan, self._loop, self._urgent, self._link, self._forget)
        with self._lock:
            self._readers[goal_id] = reader
        return reader

    def close(self) -> None:
        """Close all readers."""
        for reader in self._all():
            reader.close()

    def _forget(self, goal_id: str) -> None:
        with self._lock:
            self._readers.pop(goal_id, None)

    def _all(self) -> list[FeedbackReader[Any]]:
        with self._lock:
            return list(self._readers.values())

    # --- on the control thread ---------------------------------------------------------------------------------------

    def frames(self) -> Mapping[type[Frame], Callable[[Received], Frame | None]]:
        """What the daemon says of feedback."""
        return {FeedbackEnd: self._ended}

    def connection_lost(self) -> None:
        """Feedback does not need the daemon, but for its end."""

    def register_again(self) -> None:
        """The end of a goal may have been told to nobody."""
        for reader in self._all():
            reader.follow()

    def _ended(self, received: Received) -> None:
        assert isinstance(received.frame, FeedbackEnd)
        with self._lock:
            reader = self._readers.get(received.frame.goal_id)
        if reader is not None:
            reader.end()
