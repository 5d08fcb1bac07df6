"""Waiting for room in a reliable stream (docs/design/ring.md, Reliable streams; docs/reference/qos.md, Back-pressure).

The writers of one stream in this process that wait, tasks and threads alike, form one queue. Only its head polls the
stream's eventfd, which readers ring, and tries again at least every 100 ms: nobody rings for a reader that is dead.
"""

import asyncio
import os
import select
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from time import monotonic

from peppy.ring import WouldBlock, Writer

SLICE_SECS = 0.1
"""After so long the head of the queue tries again without having been rung for."""

Write = Callable[[], object]
"""Publishes one message, or raises WouldBlock and has published nothing."""


class SpaceQueue:
    """Who writes to one reliable stream, in the order of their calls; every method may be called from any thread.

    Everybody in this process must write through it, or the order is nobody's. `waits` counts messages that had to wait,
    `timeouts` those that were given up.
    """

    def __init__(self, writer: Writer) -> None:
        self._space = os.dup(writer.space_fd)
        self._lock = threading.RLock()
        self._waiting: deque[_Turn] = deque()
        self._closed = False
        self.waits = 0
        self.timeouts = 0
        _queues.add(self)

    def put_at_once(self, write: Write) -> bool:
        """Write if nobody waits and there is room; whatever else `write` raises comes through."""
        with self._lock:
            if self._waiting:
                return False
            try:
                write()
            except WouldBlock:
                return False
            return True

    async def put(self, write: Write, seconds: float) -> bool:
        """Write, after all who wait already; False when `seconds` were not enough, then nothing has been written.

        The event loop runs on meanwhile. Cancelled while it waits, it has written nothing.
        """
        if self.put_at_once(write):
            return True
        turn, deadline = _TaskTurn(), monotonic() + seconds
        self._enter(turn)
        try:
            while not ((is_head := self._is_head(turn)) and self._try(write)):
                if (left := deadline - monotonic()) <= 0:
                    return self._give_up()
                await turn.sleep(left, self._space if is_head else None)
            return True
        finally:
            self._leave(turn)

    def put_on_thread(self, write: Write, seconds: float) -> bool:
        """As `put`, blocking the calling thread with the interpreter lock released."""
        if self.put_at_once(write):
            return True
        turn, deadline = _ThreadTurn(), monotonic() + seconds
        self._enter(turn)
        try:
            while not ((is_head := self._is_head(turn)) and self._try(write)):
                if (left := deadline - monotonic()) <= 0:
                    return self._give_up()
                turn.sleep(left, self._space if is_head else None)
            return True
        finally:
            self._leave(turn)

    @contextmanager
    def nobody_writes(self) -> Generator[None]:
        """While this lasts, nobody writes; it must be short."""
        with self._lock:
            yield

    def wake(self) -> None:
        """Let the head of the queue try again."""
        with self._lock:
            if self._waiting:
                os.eventfd_write(self._space, 1)

    def close(self) -> None:
        """Let go of the eventfd. The stream is closed already: who still waits learns it from its next try."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._waiting:
                os.eventfd_write(self._space, 1)
            else:
                self._let_go()

    def _let_go(self) -> None:
        """Under the lock, once closed: somebody may still come to wait, and leave after this."""
        if self._space >= 0:
            os.close(self._space)
            self._space = -1

    def _forked(self) -> None:
        """In a fork child: threads that held the lock or waited are the parent's. The core refuses every write."""
        self._lock = threading.RLock()
        self._waiting.clear()

    def _enter(self, turn: "_Turn") -> None:
        with self._lock:
            self.waits += 1
            self._waiting.append(turn)

    def _is_head(self, turn: "_Turn") -> bool:
        """Once the head, always the head; who becomes it is woken."""
        with self._lock:
            return self._waiting[0] is turn

    def _try(self, write: Write) -> bool:
        with self._lock:
            if not self._closed:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._space)  # before the try: what makes room after it rings again
            try:
                write()
            except WouldBlock:
                return False
            return True

    def _give_up(self) -> bool:
        with self._lock:
            self.timeouts += 1
        return False

    def _leave(self, turn: "_Turn") -> None:
        with self._lock:
            was_head = self._waiting[0] is turn
            self._waiting.remove(turn)
            if not self._waiting:
                if self._closed:
                    self._let_go()
            elif was_head:
                self._waiting[0].wake()


class _Turn(ABC):
    """Somebody's place in the queue."""

    @abstractmethod
    def wake(self) -> None:
        """This one is the head now; called from any thread."""


class _ThreadTurn(_Turn):
    def __init__(self) -> None:
        self._is_head = threading.Event()

    def wake(self) -> None:
        self._is_head.set()

    def sleep(self, seconds: float, space: int | None) -> None:
        """Until it is worth another try; with `space`, as the head, until somebody rings or the slice is over."""
        if space is None:
            self._is_head.wait(seconds)
            return
        poll = select.poll()
        poll.register(space, select.POLLIN)
        poll.poll(1000 * min(seconds, SLICE_SECS))


class _TaskTurn(_Turn):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = self._loop.create_future()

    def wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: this task never runs again
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if not self._woken.done():
            self._woken.set_result(None)

    async def sleep(self, seconds: float, space: int | None) -> None:
        """Until it is worth another try; with `space`, as the head, until somebody rings or the slice is over."""
        timer = self._loop.call_later(seconds if space is None else min(seconds, SLICE_SECS), self._wake)
        if space is not None:
            self._loop.add_reader(space, self._wake)
        try:
            await self._woken
        finally:
            timer.cancel()
            if space is not None:
                self._loop.remove_reader(space)
            self._woken = self._loop.create_future()


_queues: weakref.WeakSet[SpaceQueue] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for queue in _queues:
        queue._forked()  # pyright: ignore[reportPrivateUsage]


os.register_at_fork(after_in_child=_after_fork_in_child)
