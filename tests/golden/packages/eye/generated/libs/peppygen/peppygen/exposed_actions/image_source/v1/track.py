"""Action `track` of interface `image_source:v1`, exposed by this node."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Self

from peppy.codec import Payload, Plan, String, plan_of
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import actions as _actions

ACTION_NAME = "track"

GoalResponse = _actions.GoalResponse


class GoalRequestData(Payload):
    """What a client asks for."""

    target: String


class GoalRequest(NamedTuple):
    """One goal, and the instance and core node that it comes from."""

    instance_id: str
    core_node: str
    data: GoalRequestData


_GOAL_FORMAT = '[["target","string",0]]'
_GOAL: Plan[GoalRequestData] = plan_of("track goal", _GOAL_FORMAT, {"": GoalRequestData})
_FEEDBACK_FORMAT = '[["metres","f32",0]]'
_FEEDBACK = plan_of("track feedback", _FEEDBACK_FORMAT, {})
_RESULT_FORMAT = '[["lost","bool",0]]'
_RESULT = plan_of("track result", _RESULT_FORMAT, {})
_ACTION = _actions.ExposedAction(
    ACTION_NAME, _GOAL, _FEEDBACK, QoSProfile.Standard, _RESULT, GoalRequest, "image_source:v1"
)


class GoalContext(_actions.GoalContext[GoalRequest]):
    """One accepted goal; it ends with the first `complete` or `complete_cancelled`, later ones do nothing.

    `request()` is what the client sent and `goal_id()` names the goal. `is_cancelled()` and `await cancel_signal()`
    tell that the client wants it to stop. A goal whose tasks end without completing it is abandoned.
    """

    async def publish_feedback(self, metres: float) -> None:
        """Send the client one feedback message; nothing happens once the goal has ended."""
        await self._publish_feedback(_FEEDBACK.encode(metres))

    async def complete(self, lost: bool) -> None:
        """End the goal as completed, with its result."""
        await self._complete(_RESULT.encode(lost))

    async def complete_cancelled(self, lost: bool) -> None:
        """End the goal as cancelled, with its result."""
        await self._complete_cancelled(_RESULT.encode(lost))


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
