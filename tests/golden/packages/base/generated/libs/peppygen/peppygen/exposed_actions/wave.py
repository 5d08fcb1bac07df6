"""Action `wave`, exposed by this node."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Self

from peppy.codec import Plan, plan_of
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import actions as _actions

ACTION_NAME = "wave"

GoalResponse = _actions.GoalResponse


class GoalRequest(NamedTuple):
    """One goal, and the instance and core node that it comes from."""

    instance_id: str
    core_node: str


_GOAL: Plan[None] = plan_of("wave goal", None, {})
_RESULT = plan_of("wave result", None, {})
_ACTION = _actions.ExposedAction(ACTION_NAME, _GOAL, None, QoSProfile.Standard, _RESULT, GoalRequest)


class GoalContext(_actions.GoalContext[GoalRequest]):
    """One accepted goal; it ends with the first `complete` or `complete_cancelled`, later ones do nothing.

    `request()` is what the client sent and `goal_id()` names the goal. `is_cancelled()` and `await cancel_signal()`
    tell that the client wants it to stop. A goal whose tasks end without completing it is abandoned.
    """

    async def complete(self) -> None:
        """End the goal as completed, with its result."""
        await self._complete(_RESULT.encode())

    async def complete_cancelled(self) -> None:
        """End the goal as cancelled, with its result."""
        await self._complete_cancelled(_RESULT.encode())


class ActionHandle(_actions.ServerHandle[GoalRequest, GoalContext]):
    """The server's end of the action; other nodes can send goals for as long as the node keeps it."""

    @classmethod
    async def expose(cls, node_runner: NodeRunner) -> Self:
        """Offer the action to other nodes; RuntimeError when this process offers it already."""
        return await cls._expose(node_runner, _ACTION, GoalContext)

    async def handle_goal_next_request(
        self, decider: Callable[[GoalRequest], GoalResponse | Awaitable[GoalResponse]]
    ) -> GoalContext | None:
        """Wait for the next goal that `decider`, sync or async, accepts; None when the node shuts down.

        Goals that it rejects are answered here. When it fails, the goal is rejected with the text of the exception.
        """
        return await self._next_goal(decider)
