"""Reading topics: one cursor over all producers that a slot admits (docs/reference/qos.md, Reading).

Who waits for a message, and how, is in `waiting.py`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from math import inf
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar, cast

from peppy.codec import Plan
from peppy.errors import DecodeError, PeppyError, SchemaMismatch, TooManyReaders
from peppy.model.qos import QoSProfile
from peppy.ring import Claim, Outcome, StaleClaim, StreamClosed
from peppy.runtime.complaints import Complaints
from peppy.runtime.loan import PendingLoan, ReadLoan
from peppy.runtime.source import TAKE, MessageInfo, Source
from peppy.runtime.waiting import Waiting

if TYPE_CHECKING:
    from peppy.runtime.streams import Streams

M = TypeVar("M")
T = TypeVar("T")

SPIN_US = 1000.0
"""Microseconds of one call that spins; afterwards it is seen whether there is a second stream by now."""


class SubscriptionStats(NamedTuple):
    """Counters since the subscription was opened (docs/reference/qos.md, Drop accounting)."""

    received: int
    lost: int
    lag: int
    copies_forced: int


class Subscription(Waiting, Generic[M]):
    """Messages of one topic through one slot. `next` belongs to the event loop, the other reads to any thread."""

    def __init__(
        self,
        subscription_id: int,
        link_id: str,
        topic: str,
        plan: Plan[M],
        spin_us: int,
        control: "Streams",
        loop: asyncio.AbstractEventLoop,
        urgent: list[Waiting],
    ) -> None:
        super().__init__(loop, urgent)
        self.subscription_id = subscription_id
        self.link_id = link_id
        self.topic = topic
        self.plan = plan
        self._spin_us = spin_us
        self._control = control
        self._sources: list[Source] = []
        self._known: Future[None] = Future()
        self._refusals: dict[int, PeppyError] = {}  # by stream; 0 stands for the subscription itself
        self._latest: Source | None = None  # whose message was the last one that was returned
        self._ended = SubscriptionStats(0, 0, 0, 0)  # of streams that are finished
        self._losses = Complaints()
        plan.prepare_decode()
        control.open_subscription(self)

    # --- reading ---------------------------------------------------------------------------------------------------

    async def next(self) -> tuple[str, M] | None:
        """The next message with its producer's instance id; None once the subscription is closed.

        Cancelling the wait loses no message.
        """
        if self.turn_is_long:
            await self.give_way()
        taken = self._take() or self._spin(self._take)
        if taken is not None:
            self._took()
        while taken is None:
            turn = self._lie_down()  # as `wait` does, which would be one more coroutine to wake
            if turn is not None:
                try:
                    await turn
                except BaseException:
                    self._tasks_waiting.pop(turn, None)
                    raise
            elif self.turn_is_long:
                await self.give_way()
            if self._closed:
                return None
            taken = self._take()
        return taken

    def take(self) -> tuple[str, M] | None:
        """A message that is there, or None; never waits."""
        taken = self._take()
        if taken is not None:
            self._took()
        return taken

    def take_blocking(self, timeout: float | None = None) -> tuple[str, M] | None:
        """Wait for a message, interpreter lock released; None after `timeout` seconds or once closed.

        RuntimeError on the event loop's thread, which must not be blocked.
        """
        if self._is_on_loop():
            raise RuntimeError("`take_blocking` would block the event loop: use `await subscription.next()` there")
        taken = self._take() or self._spin(self._take)
        if taken is None:
            taken = self._wait_on_thread(self._take, inf if timeout is None else monotonic() + timeout)
        return taken

    def take_many(self, limit: int) -> list[tuple[str, M]]:
        """Up to `limit` messages that are there, each producer's in order; never waits."""
        found: list[tuple[str, M]] = []
        with self._lock:
            self._check_refusal()
            if len(self._sources) == 1:  # the same as below, without looking around after each message
                source = self._sources[0]
                take = source.take
                try:
                    while len(found) < limit and (taken := take()).__class__ is tuple:
                        found.append(cast("tuple[str, M]", taken))
                except DecodeError as error:
                    source.complain(error)
                if found:
                    self._latest = source
        while len(found) < limit and (another := self._take()) is not None:
            found.append(another)
        return found

    def next_loan(self) -> PendingLoan[M]:
        """The next message with its arrays in place: await it, or `async with` it (docs/reference/node_api.md, 6)."""
        return PendingLoan(self._next_loan)

    @property
    def info(self) -> MessageInfo | None:
        """Of the last message that this subscription returned."""
        latest = self._latest
        return None if latest is None else latest.info

    def stats(self) -> SubscriptionStats:
        """Counters over all producers, those that are gone included."""
        with self._lock:
            return _sum(self._ended, self._sources)

    def close(self) -> None:
        """Give the rows up and end all waiting reads. Calling it again does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._ended = _sum(self._ended, self._sources)._replace(lag=0)
            for source in self._sources:
                source.close()
            self._sources = []
            if self in self._urgent:
                self._urgent.remove(self)
            if not self._known.done():
                self._known.set_result(None)
            self._ring()
        self._control.close_subscription(self)
        self._leave_doorbell()

    @property
    def closed(self) -> bool:
        """Whether the subscription has ended."""
        return self._closed

    def __aiter__(self) -> AsyncIterator[tuple[str, M]]:
        return self

    async def __anext__(self) -> tuple[str, M]:
        message = await self.next()
        if message is None:
            raise StopAsyncIteration
        return message

    def __await__(self) -> Generator[Any, None, Self]:
        """The subscription itself, once the daemon has registered it."""
        yield from asyncio.shield(asyncio.wrap_future(self._known)).__await__()
        return self

    # --- for the control thread ------------------------------------------------------------------------------------

    def registered(self, error: PeppyError | None) -> None:
        """The daemon's answer to the registration; an error is raised by the next read."""
        with self._lock:
            self._refusals.pop(0, None)
            if error is not None:
                self._refusals[0] = error
            if not self._known.done():
                self._known.set_result(None)
            self._ring()

    def attach(self, stream_id: int, producer: str, qos: int, fds: tuple[int, ...], claim: Claim) -> bool:
        """Read this stream too; False when its row is no longer free and another one is needed.

        Raises OSError for descriptors that are no stream.
        """
        with self._lock:
            if self._closed or any(source.stream_id == stream_id for source in self._sources):
                return True
            try:
                what, lost = f"message(s) of topic `{self.topic}`", partial(self._warn_of_loss, producer)
                source = Source(stream_id, producer, QoSProfile(qos), claim, fds, self.plan, what, lost)
            except StaleClaim:
                return False
            self._sources = [*self._sources, source]
            if QoSProfile(qos) is QoSProfile.Critical and self not in self._urgent:
                self._urgent.append(self)
            self._refusals.pop(stream_id, None)
            self._ring()
        return True

    def refused(self, stream_id: int, producer: str, kind: str, message: str) -> None:
        """A stream cannot be read. Too many readers fail the reads until there is a row, all else is said on stderr."""
        if kind == TooManyReaders.__name__:
            with self._lock:
                self._refusals[stream_id] = TooManyReaders(f"topic `{self.topic}` of `{producer}`: {message}")
                self._ring()
            return
        hint = "run `peppy node sync` and add both nodes again" if kind == SchemaMismatch.__name__ else None
        error = PeppyError(f"topic `{self.topic}` of `{producer}`: {message}", kind=kind, hint=hint)
        print(f"[ERROR] {kind}: {error}", file=sys.stderr, flush=True)

    def stream_gone(self, stream_id: int) -> None:
        """The writer of this stream has ended: what is left is taken, then the stream is dropped."""
        with self._lock:
            self._refusals.pop(stream_id, None)
            for source in self._sources:
                if source.stream_id == stream_id:
                    source.writer_gone = True
            self._ring()

    def find_dead_writers(self) -> None:
        """After a time without daemon nobody may have told which writers are gone; their leases do."""
        with self._lock:
            for source in self._sources:
                source.writer_gone = source.writer_gone or not source.reader.writer_alive()
            self._ring()

    def held(self) -> tuple[tuple[int, int, int], ...]:
        """The rows this subscription has, as (stream id, row, ticket)."""
        with self._lock:
            return tuple(source.row for source in self._sources)

    # --- taking ------------------------------------------------------------------------------------------------------

    def _take(self) -> tuple[str, M] | None:
        """The way of every small message: the only stream is looked at here, for speed."""
        with self._lock:
            if len(self._sources) == 1:
                source = self._sources[0]
                try:
                    taken = source.take()
                except DecodeError as error:
                    source.complain(error)
                else:
                    if taken.__class__ is tuple:
                        self._latest = source
                        return cast("tuple[str, M]", taken)
                    if taken is None and not source.writer_gone:
                        return None
            return self._look_around(TAKE)

    def _take_loan(self) -> ReadLoan[M] | None:
        with self._lock:
            loaned = self._look_around(Source.take_loan)
        return None if loaned is None else ReadLoan(loaned.view, loaned.info.instance_id, loaned.message, loaned.info)

    def _look_around(self, take: Callable[[Source], T | Outcome | None]) -> T | None:
        """The next message of any stream. Under the lock."""
        for source in self._in_turn():
            while True:
                try:
                    taken = source.past_garbage(take)
                except DecodeError:  # there is more to come, after the others' turn
                    self.turn_is_long = True
                    return None
                if taken is not None and not isinstance(taken, Outcome):
                    self._latest = source
                    return taken
                if (taken is None and not source.writer_gone) or self._has_ended(source):
                    break
        if self._refusals:
            self._check_refusal()
        return None

    def _has_ended(self, source: Source) -> bool:
        """There is nothing now, and the writer is gone or has closed the stream: a stream without rest is dropped."""
        if source.reader.arm() is Outcome.OK:
            return False  # it was written between the look and the news of the writer's end
        self._ended = _sum(self._ended, [source])._replace(lag=0)
        self._sources = [other for other in self._sources if other is not source]
        source.close()
        return True

    async def _next_loan(self) -> ReadLoan[M] | None:
        if self.turn_is_long:
            await self.give_way()
        taken = self._take_loan() or self._spin(self._take_loan)
        if taken is not None:
            self._took()
        while taken is None:
            if not await self.wait():
                return None
            taken = self._take_loan()
        return taken

    def _in_turn(self) -> list[Source]:
        """All streams, the one with the longest-waiting message first: no producer starves another."""
        sources = self._sources
        if len(sources) < 2:
            return list(sources)
        waiting = [(source.reader.waiting_since(), source) for source in sources]
        return [source for _, source in sorted(waiting, key=_age)]

    def _warn_of_loss(self, producer: str, lost: int) -> None:
        self._losses.add(
            lost, lambda count: f"[WARNING] lost {count} message(s) of topic `{self.topic}` from `{producer}`"
        )

    def _check_refusal(self) -> None:
        if self._refusals and not self._sources:
            error = next(iter(self._refusals.values()))
            raise type(error)(error.message, kind=error.kind, hint=error.hint)

    # --- waiting (the rest of it is in waiting.py) -------------------------------------------------------------------

    def _armed(self) -> bool:
        """Arm every stream; False when one of them has something, or its end, after all."""
        with self._lock:
            if self._closed or (self._refusals and not self._sources):
                return False
            for source in self._sources:  # noqa: SIM110 (a generator costs as much as the call)
                if not source.arm() or source.writer_gone:
                    return False
            return True

    def _spin(self, take: Callable[[], T | None]) -> T | None:
        """Look again and again for `spin_us`, awake: fast when writer and reader have a processor each.

        The only stream is watched by the core, interpreter lock released; several are looked at in turn.
        """
        if not self._spin_us:
            return None
        taken, end = None, monotonic_ns() + 1000 * self._spin_us
        while taken is None and not self._closed and (left := end - monotonic_ns()) > 0:
            sources = self._sources
            if len(sources) == 1:
                with suppress(StreamClosed, IndexError):  # another thread closes it, which is seen here
                    sources[0].reader.spin(min(left / 1000, SPIN_US))
            taken = take()
        return taken


def _age(waiting: tuple[int | None, Source]) -> float:
    since = waiting[0]
    return inf if since is None else since


def _sum(start: SubscriptionStats, sources: list[Source]) -> SubscriptionStats:
    received, lost, lag, copies = start
    for source in sources:
        stats = source.stats()
        received += stats.row.taken - source.undecodable
        lost += stats.row.lost + source.undecodable
        lag += stats.lag
        copies += stats.row.copies_forced
    return SubscriptionStats(received, lost, lag, copies)
