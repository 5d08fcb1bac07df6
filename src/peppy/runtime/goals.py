"""All goals that this process serves: live ones, and ends that the daemon does not have yet
(docs/reference/services_actions.md, Goals).

What the daemon asks (cancel, or the whole truth after a reconnect) is answered by the control thread, however busy the
loop is; `_lock` guards what both use. Everything else belongs to the loop.
"""

import asyncio
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import CodeType
from typing import Any

from peppy.codec import EncodedPayload
from peppy.errors import PeppyError
from peppy.model.goals import ResultStatus
from peppy.protocol.calls import GoalSignalled, SignalGoal
from peppy.protocol.frame import Received
from peppy.protocol.frames import Frame
from peppy.protocol.streams import RowLeft
from peppy.runtime.abandonment import contexts_among_arguments, held_by, holders, only_wraps_method
from peppy.runtime.calls import packed
from peppy.runtime.config import RuntimeConfig
from peppy.runtime.control import ControlThread
from peppy.runtime.feedback import FeedbackRings
from peppy.runtime.goal import Ending, Goal, call_on

LOOKS = 4
"""Passes of the event loop in which whoever ended with a worker lets go of its context: callbacks, awaiting tasks."""

REMEMBERED = 4096
"""Goals whose ids are remembered: one that comes again, its acknowledgement lost with a daemon, never runs twice."""

LOOK_SECS = 0.5
"""How often a goal without workers is looked at again, whose context somebody else still holds."""


class Goals:
    """A part of the control thread; `config` is what the node was told at its start."""

    def __init__(
        self,
        config: RuntimeConfig,
        control: ControlThread,
        loop: asyncio.AbstractEventLoop,
        is_ending: Callable[[], bool],
    ) -> None:
        self.endpoints = control.endpoints
        self.link = control.link
        self.loop = loop
        self.rings = FeedbackRings(config.topics, config.actions.feedback_ring_bytes)
        self.feedback_bound = config.reliable.publish_timeout_secs
        self.accept_loops: dict[asyncio.Task[Any], CodeType] = {}
        """Tasks that wait for the next goal, and the code of the coroutine function in which they do."""
        self.is_ending = is_ending
        self._row_of_a_topic_left = control.streams.frames()[RowLeft]
        self._lock = threading.RLock()
        self._live: dict[str, Goal] = {}
        self._endings: dict[str, Ending] = {}  # that no daemon has confirmed
        self._orphans: dict[str, Goal] = {}  # live goals without workers, whose context somebody still holds
        self._fresh: dict[str, int] = {}  # orphans to look at in each pass of the loop, and how often yet
        self._accepted: dict[str, None] = {}  # ids of the last goals
        self._kinds: tuple[type, ...] = ()
        self._looking: asyncio.TimerHandle | None = None

    # --- a goal's life -----------------------------------------------------------------------------------------------

    def begin(self, goal: Goal) -> None:
        """The goal is accepted: it can be cancelled and is told to the daemon after a reconnect."""
        with self._lock:
            self._live[goal.goal_id] = goal
        self._accepted[goal.goal_id] = None
        if len(self._accepted) > REMEMBERED:
            del self._accepted[next(iter(self._accepted))]

    def has_begun(self, goal_id: str) -> bool:
        """Whether a goal of this id has been accepted here, as far back as is remembered."""
        return goal_id in self._accepted

    def hand_out(self, goal: Goal, context: Any) -> None:
        """`context` is all that may finish the goal: with its last reference the goal is abandoned."""
        loop = self.loop

        def gone(_reference: object) -> None:  # anywhere, in the middle of anything: only tells the loop
            call_on(loop, self.abandon, goal)

        if type(context) not in self._kinds:
            self._kinds = (*self._kinds, type(context))
        goal.context = weakref.ref(context, gone)

    async def finish(self, goal: Goal, status: ResultStatus, result: EncodedPayload, what: str) -> None:
        """End a live goal; returns when the daemon has its outcome, at once without a daemon. Does nothing for a goal
        that has ended. Raises ValueError for a result that is too large; the goal stays live then."""
        if goal.has_ended:
            return
        payload = packed(result, what)
        ending = self._end(goal, Ending(goal, status, payload))
        await ending.settled.wait()

    def abandon(self, goal: Goal) -> None:
        """Nobody can finish the goal any more. Does nothing for one that has ended."""
        if not goal.has_ended:
            self._end(goal, Ending(goal, ResultStatus.ABANDONED))

    async def abandon_all(self, deadline: float) -> None:
        """The node ends: abandon what is live, and wait until the daemon has every outcome or the deadline (time of the
        loop) comes."""
        for goal in list(self._live.values()):
            self.abandon(goal)
        with self._lock:
            endings = list(self._endings.values())
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                for ending in endings:
                    await ending.settled.wait()
        self.rings.close()
        if self._looking is not None:
            self._looking.cancel()

    def _end(self, goal: Goal, ending: Ending) -> Ending:
        goal.has_ended = True
        if goal.stream is not None:
            ending.frame.last_position = goal.stream.end()
        with self._lock:
            self._orphans.pop(goal.goal_id, None)
            self._live.pop(goal.goal_id, None)
            self._endings[goal.goal_id] = ending
            if goal.stream is not None:
                goal.stream.give_back()  # it may close the descriptors of another ring, never of a live goal
            self._tell(ending)
        return ending

    def _tell(self, ending: Ending) -> None:
        """Under the lock, on any thread."""
        goal_id = ending.goal.goal_id

        def answered(answer: object) -> None:
            if isinstance(answer, PeppyError):  # it never will: the outcome is lost
                print(f"[ERROR] the daemon refuses the outcome of goal `{goal_id}`: {answer}", file=sys.stderr)
            if answer is not None:
                with self._lock:
                    self._endings.pop(goal_id, None)
                    ending.result.close()
            call_on(self.loop, ending.settled.set)

        result = ending.result
        ending.generation = self.link.request(ending.frame, answered, result.fds, result.inside)
        if not ending.generation:
            call_on(self.loop, ending.settled.set)

    # --- on the control thread ---------------------------------------------------------------------------------------

    def frames(self) -> Mapping[type[Frame], Callable[[Received], Frame | None]]:
        """What the daemon says of goals; a row that is left may be that of a goal's client."""
        return {SignalGoal: self._signal, RowLeft: self._row_left}

    def connection_lost(self) -> None:
        """Goals go on; who waits for a confirmation is told that there is none."""

    def register_again(self) -> None:
        """Tell a daemon that does not know it which goals are live, and how others have ended."""
        with self._lock:
            for goal in self._live.values():
                self.link.send(goal.kept(), goal.descriptors)
            for ending in list(self._endings.values()):
                if ending.generation != self.link.generation:
                    self._tell(ending)

    def _signal(self, received: Received) -> None:
        assert isinstance(received.frame, SignalGoal)
        goal_id = received.frame.goal_id
        with self._lock:  # the worker may end the goal at once, but that is said after this
            if (goal := self._live.get(goal_id)) is not None:
                goal.cancel()
                self.link.send(GoalSignalled(goal_id))

    def _row_left(self, received: Received) -> Frame | None:
        frame = received.frame
        assert isinstance(frame, RowLeft)
        with self._lock:
            streams = [goal.stream for goal in self._live.values() if goal.stream is not None]
            found = [stream for stream in streams if stream.stream_id == frame.stream_id]
            for stream in found:
                stream.release_row(frame.row, frame.ticket)
        return None if found else self._row_of_a_topic_left(received)

    # --- abandonment -------------------------------------------------------------------------------------------------

    def task_created(self, task: "asyncio.Task[Any]", work: object) -> None:
        """A task with a context among its arguments works on that goal."""
        if not self._live:
            return
        for context in contexts_among_arguments(work, self._kinds):
            if not only_wraps_method(work, context):
                self.add_worker(context.goal, task)

    def method_awaited(self, goal: Goal) -> None:
        """The current task awaits a method of the goal's context: it works on the goal, unless it is that call."""
        task = asyncio.current_task()
        context = None if goal.context is None else goal.context()
        if task is not None and context is not None and not only_wraps_method(task.get_coro(), context):
            self.add_worker(goal, task)

    def add_worker(self, goal: Goal, task: "asyncio.Task[Any]") -> None:
        """`task` works on the goal."""
        if not goal.has_ended:
            self._orphans.pop(goal.goal_id, None)
            goal.workers.add(task, lambda: self._workers_ended(goal))

    def turn_to_next(self, task: "asyncio.Task[Any]", waiting_in: CodeType) -> None:
        """An accept loop is about to wait for the next goal, in a coroutine function of this code: earlier goals do not
        wait for it any more, if others have worked on them."""
        self.accept_loops[task] = waiting_in
        for goal in list(self._live.values()):
            if goal.workers.leave(task):
                self._workers_ended(goal)

    def _workers_ended(self, goal: Goal) -> None:
        if goal.has_ended or not goal.workers.are_done:
            return
        if goal.workers.have_failed:
            self.abandon(goal)
            return
        self._orphans[goal.goal_id] = goal
        if not self._fresh:
            self.loop.call_soon(self._look_at_fresh)
        self._fresh[goal.goal_id] = LOOKS

    def _look_at_fresh(self) -> None:
        looks, self._fresh = self._fresh, {}
        self._look_at([self._orphans[goal_id] for goal_id in looks if goal_id in self._orphans])
        self._fresh |= {goal_id: left - 1 for goal_id, left in looks.items() if left and goal_id in self._orphans}
        if self._fresh:
            self.loop.call_soon(self._look_at_fresh)
        elif self._orphans and self._looking is None:
            self._looking = self.loop.call_later(LOOK_SECS, self._look_at_all)

    def _look_at_all(self) -> None:
        self._look_at(list(self._orphans.values()))
        self._looking = self.loop.call_later(LOOK_SECS, self._look_at_all) if self._orphans else None

    def _look_at(self, orphans: list[Goal]) -> None:
        """Abandon those whose context nobody holds but accept loops that wait; the others may be finished yet."""
        held = held_by(self.accept_loops)
        for goal in orphans:
            if goal.context is None or holders(goal.context, held) <= 0:
                self.abandon(goal)
