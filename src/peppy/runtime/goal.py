"""One accepted goal at its server: its cancel flag, its feedback, its workers and its one end
(docs/reference/services_actions.md, State machine)."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from peppy.codec import EncodedPayload
from peppy.model.goals import ResultStatus
from peppy.protocol.calls import GoalEnded, GoalKept
from peppy.protocol.payloads import NOTHING, Packed
from peppy.runtime.abandonment import Workers
from peppy.runtime.feedback import FeedbackStream


class Goal:
    """A live goal, or one that has ended. Belongs to the event loop, but for `cancel`, `is_cancelled` and `kept`.

    `stream` is None when its client reads no feedback.
    """

    def __init__(
        self,
        goal_id: str,
        client_instance_id: str,
        endpoint_id: int,
        loop: asyncio.AbstractEventLoop,
        stream: FeedbackStream | None = None,
    ) -> None:
        self.goal_id = goal_id
        self.stream = stream
        self.workers = Workers()
        self.context: weakref.ref[Any] | None = None
        self.has_ended = False
        self.is_cancelled = False
        """Whether the client has asked to cancel it."""
        self._client_instance_id = client_instance_id
        self._endpoint_id = endpoint_id
        self._loop = loop
        self._waiting: set[asyncio.Future[None]] = set()

    def cancel(self) -> None:
        """Set the flag and wake who waits for it. The worker decides what becomes of the goal."""
        self.is_cancelled = True
        call_on(self._loop, self._wake)

    async def cancelled(self) -> None:
        """Return when the flag is set."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(future)
        try:
            if not self.is_cancelled:
                await future
        finally:
            self._waiting.discard(future)

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def publish(self, payload: EncodedPayload) -> None:
        """Send one feedback message; nothing happens once the goal has ended, or when its client reads none."""
        if self.stream is not None and not self.has_ended:
            await self.stream.publish(payload)

    # --- for a daemon that does not know it --------------------------------------------------------------------------

    def kept(self) -> GoalKept:
        """What a daemon is told of it after a reconnect."""
        kept = GoalKept(self.goal_id, self._endpoint_id, self._client_instance_id)
        if self.stream is not None:
            kept.stream_id, claim = self.stream.stream_id, self.stream.claim
            kept.row, kept.ticket = claim.row, claim.ticket
        return kept

    @property
    def descriptors(self) -> tuple[int, ...]:
        """DATA and CTRL of its feedback."""
        return () if self.stream is None else self.stream.descriptors[:2]


class Ending:
    """How a goal has ended, on its way to the daemon. `settled`: the daemon has it, or there is none to wait for."""

    def __init__(self, goal: Goal, status: ResultStatus, result: Packed = NOTHING) -> None:
        self.goal = goal
        self.result = result
        self.frame = GoalEnded(goal.goal_id, int(status), beside=result.beside)
        self.settled = asyncio.Event()
        self.generation = 0
        """Of the connection that the daemon was last told on."""


def call_on(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: Any) -> None:
    """Call something on the loop, from any thread, at any moment; a loop that is closed has nobody to call."""
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        return
