"""Writing topics whose profile waits: nothing is overwritten that a reader has still to take.

Rules: docs/reference/qos.md, Back-pressure. All messages of the process go through one queue, so they are written in
the order of the calls, whether tasks or threads write them.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from peppy.codec import Gathered, Plan, Room
from peppy.errors import PublishTimeout
from peppy.model.qos import QoSProfile
from peppy.ring import Claim, WouldBlock
from peppy.runtime.config import TopicSettings
from peppy.runtime.publisher import Payload, PublisherStats, TopicWriter
from peppy.runtime.space import SpaceQueue
from peppy.runtime.write_loan import L

if TYPE_CHECKING:
    from peppy.runtime.streams import Streams

ATTACH_SECS = 0.5
"""How long a first `publish` on the event loop may wait for the readers that were there before it."""


class WaitingTopicWriter(TopicWriter):
    """The one writer of a `reliable` or `critical` topic in this process. `publish_timeout_secs` bounds one message."""

    def __init__(
        self,
        name: str,
        qos: QoSProfile,
        plan: Plan[Any],
        settings: TopicSettings,
        control: "Streams",
        publish_timeout_secs: float,
    ) -> None:
        super().__init__(name, qos, plan, settings, control)
        self._bound = publish_timeout_secs
        self._queue: SpaceQueue | None = None
        self._put_at_once: Callable[[Any], None] = self._refuse
        self._has_all_readers = False  # that were registered before the stream; once true, always true
        self._waited_for_readers = 0  # messages, at the beginning: they say nothing about slow readers

    # --- writing ---------------------------------------------------------------------------------------------------

    async def put_async(self, payload: Payload) -> None:
        """Write one message when there is room, while the event loop runs on. PublishTimeout at the bound.

        Cancelled, it has written nothing.
        """
        await self._wait_async(partial(self._write, payload), _length(payload))

    def loan(self, kind: type[L], room: Room) -> L:
        """As for every topic; blocks the thread until there is room, RuntimeError on an event loop."""
        taken: list[L] = []

        def take() -> None:
            self._check_readers()
            loan = self._take_loan(room.length)
            taken.append(kind(loan, room.draft(loan.view), self))

        self._wait(take, room.length)
        return taken[0]

    def publish(self, publish: Callable[[], None]) -> None:
        """Let a loan publish itself when there is room, blocking the thread."""
        self._wait(partial(self._write_loan, publish), 0)

    async def publish_async(self, publish: Callable[[], None]) -> None:
        """Let a loan publish itself when there is room, while the event loop runs on."""
        await self._wait_async(partial(self._write_loan, publish), 0)

    def _put_of_stream(self) -> Callable[[Any], None]:
        assert self._writer is not None
        self._queue = SpaceQueue(self._writer)
        self._put_at_once = super()._put_of_stream()
        return self._put_on_thread

    def _put_on_thread(self, payload: Payload) -> None:
        self._wait(partial(self._write, payload), _length(payload))

    def _write(self, payload: Payload) -> None:
        self._check_readers()
        if self._closed:
            self._refuse(payload)
        self._put_at_once(payload)

    def _write_loan(self, publish: Callable[[], None]) -> None:
        """A loan is ended by its publishing, so the question comes first. Nobody writes in between."""
        assert self._writer is not None
        if not self._writer.has_room():
            raise WouldBlock
        publish()

    def _check_readers(self) -> None:
        """The first message waits until every reader that was there before the stream has its row."""
        if not self._has_all_readers:
            if self.has_readers_due:
                raise WouldBlock
            assert self._queue is not None
            self._waited_for_readers = self._queue.waits
            self._has_all_readers = True

    # --- waiting ---------------------------------------------------------------------------------------------------

    def _wait(self, write: Callable[[], None], length: int) -> None:
        queue = self._queue_for(length)
        if queue.put_at_once(write):
            return
        if not _on_event_loop():
            if not queue.put_on_thread(write, self._bound):
                raise self._timeout()
            return
        # The daemon answers within a millisecond, by way of another thread: nobody is told to use `emit` for that.
        if not self._has_all_readers and queue.put_on_thread(write, min(self._bound, ATTACH_SECS)):
            return
        raise RuntimeError(
            f"publishing on topic `{self.name}` (`{self.qos.word}`) would have to wait for a reader, which would block "
            "the event loop\nhint: use `await emit(...)` there, or publish from a thread of its own"
        )

    async def _wait_async(self, write: Callable[[], None], length: int) -> None:
        queue = self._queue_for(length)
        if not queue.put_at_once(write) and not await queue.put(write, self._bound):
            raise self._timeout()

    def _queue_for(self, length: int) -> SpaceQueue:
        if self._queue is None:
            self.stream(length)
        assert self._queue is not None
        return self._queue

    def _timeout(self) -> PublishTimeout:
        assert self._writer is not None
        where, bound = f"topic `{self.name}`", f"`{self._bound:g}` s"
        if not self._has_all_readers:
            return PublishTimeout(
                f"{where}: its readers have not been attached within {bound}; the message was not written",
                hint="look at the daemon with `peppy service status`",
            )
        slow = None if self._closed else self._writer.slowest()
        if slow is None or slow.lag < self._writer.geometry.depth:
            return PublishTimeout(
                f"{where}: messages that waited before it took the room of {bound}; the message was not written",
                hint="publish less at once",
            )
        reader = self._readers.get(slow.row) or "unknown"
        return PublishTimeout(
            f"{where}: reader `{reader}` is `{slow.lag}` messages behind after {bound}; the message was not written",
            hint=f"let `{reader}` read faster, close its subscription, or stop it",
        )

    # --- what others tell ------------------------------------------------------------------------------------------

    def reserve_row(self, doorbell: int, history: int, reader: str = "", *, overwriting: bool = False) -> Claim:
        """As for every topic; nobody writes meanwhile, so that room which was found stays."""
        assert self._queue is not None
        with self._queue.nobody_writes():
            claim = super().reserve_row(doorbell, history, reader, overwriting=overwriting)
        self._queue.wake()
        return claim

    def release_row(self, row: int, ticket: int) -> None:
        """As for every topic; who waits for that reader goes on."""
        super().release_row(row, ticket)
        self._wake()

    def opened(self, waiting: int) -> None:
        """As for every topic; the first message may be waiting for it."""
        super().opened(waiting)
        self._wake()

    def _wake(self) -> None:
        if self._queue is not None:
            self._queue.wake()

    def close(self) -> None:
        """As for every topic; messages that wait are refused."""
        super().close()
        self._put_at_once = self._refuse
        if self._queue is not None:
            self._queue.close()

    def _stats(self) -> PublisherStats:
        stats = super()._stats()
        if self._queue is None:
            return stats
        waits = self._queue.waits - self._waited_for_readers if self._has_all_readers else 0
        return stats._replace(waits=waits, timeouts=self._queue.timeouts)


def _length(payload: Payload) -> int:
    return payload.length if isinstance(payload, Gathered) else len(payload)


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
