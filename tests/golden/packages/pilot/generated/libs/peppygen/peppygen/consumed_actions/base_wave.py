"""Action `wave` of `base:v1`, called through the slot `base`."""

from typing import NamedTuple, Self

from peppy.codec import Plan, plan_of
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import actions as _actions

TARGET_NODE_NAME = "base"
TARGET_ACTION_NAME = "wave"

GoalResponseData = _actions.GoalResponseData
CancelResponse = _actions.CancelResponse
CancelState = _actions.CancelState
ResultStatus = _actions.ResultStatus


class ResultResponse(NamedTuple):
    """How the goal ended, and where it ran."""

    core_node: str
    instance_id: str
    status: ResultStatus


_GOAL: Plan[None] = plan_of("base_wave goal", None, {})
_RESULT: Plan[None] = plan_of("base_wave result", None, {})
_ACTION: _actions.ConsumedAction[None, ResultResponse] = _actions.ConsumedAction(
    "base", TARGET_ACTION_NAME, _GOAL, None, _RESULT, ResultResponse
)


class ActionHandle(_actions.ClientHandle[None, ResultResponse]):
    """One goal that this node has sent; `data` tells whether the server has accepted it, and why not.

    `await cancel_goal(timeout)` asks the server to stop, `timeout` seconds at most; it gives a `CancelResponse`.
    """

    @classmethod
    async def fire_goal(cls, node_runner: NodeRunner, timeout: float, feedback_qos: QoSProfile | None = None) -> Self:
        """Send a goal and wait for the server's decision, `timeout` seconds at most.

        `feedback_qos` has no effect here: no feedback. Raises ServiceUnreachable when nobody took the goal, which is
        safe to repeat; ServiceTimeout when a server took it and did not decide in time; SchemaMismatch when the two
        nodes were generated from different formats; TypeError and ValueError for what cannot be sent.
        """
        return await cls._fire(node_runner, _ACTION, b"", timeout, feedback_qos)

    async def get_result(self, timeout: float) -> ResultResponse:
        """Wait for the end of the goal, `timeout` seconds at most; may be asked again.

        Raises ServiceTimeout while the goal goes on, and GoalRejected when the server did not accept it.
        """
        return await self._get_result(timeout)
