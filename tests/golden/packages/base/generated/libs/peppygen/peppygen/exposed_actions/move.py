"""Action `move`, exposed by this node."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Self

from peppy.codec import F32, F64, I32, Annotated, Array, Length, Payload, Plan, String, plan_of
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import actions as _actions

ACTION_NAME = "move"

GoalResponse = _actions.GoalResponse


class GoalRequestDataTarget(Payload):
    """Field `target`."""

    pose: Annotated[Array[F64], Length(7)]
    frame_id: String


class GoalRequestData(Payload):
    """What a client asks for."""

    target: GoalRequestDataTarget
    speed: F32 | None


class ResultStatus(Payload):
    """Field `status`."""

    code: I32
    text: String


class ResultPathItem(Payload):
    """Field `path`, one item."""

    x: F64
    y: F64


class GoalRequest(NamedTuple):
    """One goal, and the instance and core node that it comes from."""

    instance_id: str
    core_node: str
    data: GoalRequestData


_GOAL_FORMAT = '[["target",[["pose",["f64",7],0],["frame_id","string",0]],0],["speed","f32",1]]'
_GOAL: Plan[GoalRequestData] = plan_of(
    "move goal", _GOAL_FORMAT, {"target": GoalRequestDataTarget, "": GoalRequestData}
)
_RESULT_FORMAT = (
    '[["status",[["code","i32",0],["text","string",0]],0],["path",[[["x","f64",0],["y","f64",0]],0],0],'
    '["complete","bool",0]]'
)
_RESULT = plan_of("move result", _RESULT_FORMAT, {"status": ResultStatus, "path": ResultPathItem})
_ACTION = _actions.ExposedAction(ACTION_NAME, _GOAL, None, QoSProfile.Standard, _RESULT, GoalRequest)


class GoalContext(_actions.GoalContext[GoalRequest]):
    """One accepted goal; it ends with the first `complete` or `complete_cancelled`, later ones do nothing.

    `request()` is what the client sent and `goal_id()` names the goal. `is_cancelled()` and `await cancel_signal()`
    tell that the client wants it to stop. A goal whose tasks end without completing it is abandoned.
    """

    async def complete(self, status: ResultStatus, path: Sequence[ResultPathItem], complete: bool) -> None:
        """End the goal as completed, with its result."""
        await self._complete(_RESULT.encode(status, path, complete))

    async def complete_cancelled(self, status: ResultStatus, path: Sequence[ResultPathItem], complete: bool) -> None:
        """End the goal as cancelled, with its result."""
        await self._complete_cancelled(_RESULT.encode(status, path, complete))


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
