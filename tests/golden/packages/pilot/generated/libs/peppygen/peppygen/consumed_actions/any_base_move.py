"""Action `move` of `base:v1`, called through the slot `any-base`."""

from typing import NamedTuple, Self

from peppy.codec import F32, F64, I32, Array, ArrayPayload, Bool, Floats, Payload, Plan, String, plan_of
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import actions as _actions

TARGET_NODE_NAME = "base"
TARGET_ACTION_NAME = "move"

GoalResponseData = _actions.GoalResponseData
CancelResponse = _actions.CancelResponse
CancelState = _actions.CancelState
ResultStatus = _actions.ResultStatus


class GoalRequestTarget(ArrayPayload):
    """Field `target`."""

    pose: Floats
    frame_id: String


class GoalRequest(Payload):
    """What the server is asked for."""

    target: GoalRequestTarget
    speed: F32 | None


class ResultResponseDataStatus(Payload):
    """Field `status`."""

    code: I32
    text: String


class ResultResponseDataPathItem(Payload):
    """Field `path`, one item."""

    x: F64
    y: F64


class ResultResponseData(Payload):
    """What the goal has led to."""

    status: ResultResponseDataStatus
    path: Array[ResultResponseDataPathItem]
    complete: Bool


class ResultResponse(NamedTuple):
    """How the goal ended, and where it ran; `data` is None when it was abandoned or its result has expired."""

    core_node: str
    instance_id: str
    status: ResultStatus
    data: ResultResponseData | None


_GOAL_FORMAT = '[["target",[["pose",["f64",7],0],["frame_id","string",0]],0],["speed","f32",1]]'
_GOAL: Plan[GoalRequest] = plan_of("any_base_move goal", _GOAL_FORMAT, {"target": GoalRequestTarget, "": GoalRequest})
_RESULT_FORMAT = (
    '[["status",[["code","i32",0],["text","string",0]],0],["path",[[["x","f64",0],["y","f64",0]],0],0],'
    '["complete","bool",0]]'
)
_RESULT: Plan[ResultResponseData] = plan_of(
    "any_base_move result",
    _RESULT_FORMAT,
    {"status": ResultResponseDataStatus, "path": ResultResponseDataPathItem, "": ResultResponseData},
)
_ACTION: _actions.ConsumedAction[None, ResultResponse] = _actions.ConsumedAction(
    "any-base", TARGET_ACTION_NAME, _GOAL, None, _RESULT, ResultResponse
)


class ActionHandle(_actions.ClientHandle[None, ResultResponse]):
    """One goal that this node has sent; `data` tells whether the server has accepted it, and why not.

    `await cancel_goal(timeout)` asks the server to stop, `timeout` seconds at most; it gives a `CancelResponse`.
    """

    @classmethod
    async def fire_goal(
        cls, node_runner: NodeRunner, request: GoalRequest, timeout: float, feedback_qos: QoSProfile | None = None
    ) -> Self:
        """Send a goal and wait for the server's decision, `timeout` seconds at most.

        `feedback_qos` has no effect here: no feedback. Raises ServiceUnreachable when nobody took the goal, which is
        safe to repeat; ServiceTimeout when a server took it and did not decide in time; SchemaMismatch when the two
        nodes were generated from different formats; TypeError and ValueError for what cannot be sent.
        """
        return await cls._fire(node_runner, _ACTION, _GOAL.encode_message(request), timeout, feedback_qos)

    async def get_result(self, timeout: float) -> ResultResponse:
        """Wait for the end of the goal, `timeout` seconds at most; may be asked again.

        Raises ServiceTimeout while the goal goes on, and GoalRejected when the server did not accept it.
        """
        return await self._get_result(timeout)
