"""Waiting for messages: tasks and threads share one eventfd, the doorbell (docs/design/ring.md, Sleeping and waking).

Every stream that the subscription reads rings it, and so does whoever changes the set of streams or closes the
subscription. Whoever waits reads the doorbell first, then looks at every stream, arms those that are empty, and only
then sleeps. One that consumed a wake-up and leaves something behind rings again for the others.
"""

import asyncio
import os
import select
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, monotonic_ns
from typing import TypeVar

from peppy.loop import EventLoop, Turn, quiet

T = TypeVar("T")

LONGEST_POLL = 3600.0
"""Seconds of one system call that waits; the system has a limit."""


LONGEST_TURN_NS = 5_000_000
"""A task that has taken messages for so long, without waiting, lets others have their turn before the next one."""


class Waiting(ABC):
    """The waiting half of a subscription; `_lock` guards both halves.

    `urgent` are those of the same event loop that read `critical` topics: they are served before all others.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, urgent: "list[Waiting]") -> None:
        self._urgent = urgent
        self.doorbell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._loop = loop
        self._lock = threading.RLock()
        self._tasks_waiting: dict[Turn[None], None] = {}  # in the order in which they came
        self._threads_waiting = 0
        self._watching = False
        self._loop_left = False
        self._closed = False
        self._turn_began_ns = 0  # when the first message since the last wait was taken; 0 before
        self.turn_is_long = False
        """Whether the event loop is due for its turn: see `give_way`."""

    @abstractmethod
    def _armed(self) -> bool:
        """Arm every stream; False when one of them has something, or its end, after all."""

    async def wait(self) -> bool:
        """Wait on the event loop until a read is worth another try; False once closed."""
        turn = self._lie_down()
        if turn is not None:
            try:
                await turn
            except BaseException:
                self._tasks_waiting.pop(turn, None)
                raise
        elif self.turn_is_long:
            await self.give_way()
        return not self._closed

    async def give_way(self) -> None:
        """On the event loop, before the next message is taken: let others have their turn. A reader that is slower than
        its producers never waits for a message, and nothing else would run, not even the end of the node."""
        self.turn_is_long = False
        self._turn_began_ns = 0
        await asyncio.sleep(0)

    def _took(self) -> None:
        """A message was taken on the event loop, without waiting for it."""
        now = monotonic_ns()
        if not self._turn_began_ns:
            self._turn_began_ns = now
        elif now - self._turn_began_ns > LONGEST_TURN_NS:
            self.turn_is_long = True

    def _lie_down(self) -> Turn[None] | None:
        """On the event loop: what the task is to await, and then look again; None when it should look at once."""
        if self._closed:
            return None
        if not self._watching:
            self._watch()
            self._watching = True
        if quiet(self.doorbell) and self._threads_waiting:
            self._loop.call_soon(self._pass_on)  # it may have been rung for them
        if not self._armed():
            return None
        self._turn_began_ns = 0
        turn: Turn[None] = Turn(loop=self._loop)
        self._tasks_waiting[turn] = None
        return turn

    def wake_tasks(self) -> None:
        """On the event loop: let every task that waits look again."""
        waiting, self._tasks_waiting = self._tasks_waiting, {}
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)

    def _wake_if_rung(self) -> None:
        """On the event loop, before one that is less urgent."""
        if self._tasks_waiting and not self._closed and quiet(self.doorbell):
            if self._threads_waiting:
                self._loop.call_soon(self._pass_on)  # after the tasks have had their turn
            self._wake_at_once()

    def _doorbell_rang(self) -> None:
        try:
            for urgent in self._urgent:
                if urgent is not self:
                    urgent._wake_if_rung()
        except BaseException:  # a task ends this run of the loop, and the next one is to hear this doorbell
            with self._lock:
                self._ring()
            raise
        if self._threads_waiting and not self._tasks_waiting and not self._closed:
            # The bell is for threads: taking it from them and ringing again would wake this loop again and again,
            # while they wait for the interpreter. The next task that sleeps watches it anew.
            self._stop_watching()
        else:
            self._wake_at_once()

    def _doorbell_is_rung(self) -> None:
        """As `_doorbell_rang`, in a loop that goes on calling until the doorbell is read."""
        if self._tasks_waiting or not self._threads_waiting:
            quiet(self.doorbell)
            if self._threads_waiting:  # one may have come just before the doorbell was read
                self._loop.call_soon(self._pass_on)  # after the tasks have had their turn
        self._doorbell_rang()

    def _wake_at_once(self) -> None:
        """As `wake_tasks`, called by the event loop itself."""
        waiting, self._tasks_waiting = self._tasks_waiting, {}
        try:
            for turn in waiting:
                turn.wake(None)
        except BaseException:  # a task ends the program, or at least this run of the loop
            self._tasks_waiting = waiting | self._tasks_waiting
            self.wake_tasks()
            raise

    def _watch(self) -> None:
        """A loop of ours serves the doorbell at once, and it need not be read until the task waits again; a standalone
        program may have another loop."""
        if isinstance(self._loop, EventLoop):
            self._loop.serve(self.doorbell, self._doorbell_rang, edges=True)
        else:
            self._loop.add_reader(self.doorbell, self._doorbell_is_rung)

    def _stop_watching(self) -> None:
        if not self._watching:
            return
        self._watching = False
        if isinstance(self._loop, EventLoop):
            self._loop.stop_serving(self.doorbell)
        else:
            self._loop.remove_reader(self.doorbell)

    def _pass_on(self) -> None:
        """What is left, or the end, is for the others who wait."""
        with self._lock:
            if (self._threads_waiting or self._tasks_waiting) and not self._armed():
                self._ring()

    def _wait_on_thread(self, take: Callable[[], T | None], deadline: float) -> T | None:
        """Wait on this thread for something to `take`, and pass on what it leaves; None at the deadline (monotonic) or
        once closed."""
        with self._lock:
            self._threads_waiting += 1
        try:
            taken = None
            while taken is None and not self._closed and (left := deadline - monotonic()) > 0:
                if self._armed():
                    poll = select.poll()
                    poll.register(self.doorbell, select.POLLIN)
                    poll.poll(1000 * min(left, LONGEST_POLL))
                    quiet(self.doorbell)
                taken = take()
            return taken
        finally:
            with self._lock:
                self._threads_waiting -= 1
                self._pass_on()
                self._release_doorbell()

    def _ring(self) -> None:
        """Under the lock: the doorbell's number may be somebody else's once it is closed."""
        if self.doorbell >= 0:
            with suppress(BlockingIOError):  # others ring too, and can fill the counter: then it has rung
                os.eventfd_write(self.doorbell, 1)

    def _is_on_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    # --- the end -----------------------------------------------------------------------------------------------------

    def _leave_doorbell(self) -> None:
        """After the close, from any thread."""
        if self._is_on_loop():
            self._leave_tasks()
            return
        try:
            self._loop.call_soon_threadsafe(self._leave_tasks)
        except RuntimeError:  # the loop is closed and watches nothing any more
            self._leave_loop()

    def _leave_tasks(self) -> None:
        """Runs on the loop after the close: wake the tasks, then let go of the doorbell."""
        self._stop_watching()
        self.wake_tasks()
        self._leave_loop()

    def _leave_loop(self) -> None:
        with self._lock:
            self._loop_left = True
            self._release_doorbell()

    def _release_doorbell(self) -> None:
        """Under the lock: the last of loop and threads closes it."""
        if self._loop_left and not self._threads_waiting and self.doorbell >= 0:
            os.close(self.doorbell)
            self.doorbell = -1
