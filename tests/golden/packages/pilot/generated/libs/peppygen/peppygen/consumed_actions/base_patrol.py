"""Action `patrol` of `base:v1`, called through the slot `base`."""

from typing import NamedTuple, Self

from peppy.codec import F64, U8, Array, ArrayPayload, Bytes, F32Array, Payload, Plan, String, plan_of
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import actions as _actions

TARGET_NODE_NAME = "base"
TARGET_ACTION_NAME = "patrol"

GoalResponseData = _actions.GoalResponseData
CancelResponse = _actions.CancelResponse
CancelState = _actions.CancelState
ResultStatus = _actions.ResultStatus


class FeedbackMessageRequest(Payload):
    """Field `request`."""

    message: String


class FeedbackMessage(ArrayPayload):
    """One message of a goal's progress."""

    from_: String
    timeout: F64
    feedback_qos: U8
    request: FeedbackMessageRequest
    decider: F32Array
    list: Array[String]
    a_rather_long_field_name_that_makes_the_signature_wrap: Bytes


class ResultResponse(NamedTuple):
    """How the goal ended, and where it ran."""

    core_node: str
    instance_id: str
    status: ResultStatus


_GOAL: Plan[None] = plan_of("base_patrol goal", None, {})
_FEEDBACK_FORMAT = (
    '[["from","string",0],["timeout","f64",0],["feedback_qos","u8",0],["request",'
    '[["message","string",0]],0],["decider",["f32",0],0],["list",["string",0],0],'
    '["a_rather_long_field_name_that_makes_the_signature_wrap","bytes",0]]'
)
_FEEDBACK: Plan[FeedbackMessage] = plan_of(
    "base_patrol feedback", _FEEDBACK_FORMAT, {"request": FeedbackMessageRequest, "": FeedbackMessage}
)
_RESULT: Plan[None] = plan_of("base_patrol result", None, {})
_ACTION = _actions.ConsumedAction("base", TARGET_ACTION_NAME, _GOAL, _FEEDBACK, _RESULT, ResultResponse)


class ActionHandle(_actions.ClientHandle[FeedbackMessage, ResultResponse]):
    """One goal that this node has sent; `data` tells whether the server has accepted it, and why not.

    `await cancel_goal(timeout)` asks the server to stop, `timeout` seconds at most; it gives a `CancelResponse`.
    """

    @classmethod
    async def fire_goal(cls, node_runner: NodeRunner, timeout: float, feedback_qos: QoSProfile | None = None) -> Self:
        """Send a goal and wait for the server's decision, `timeout` seconds at most.

        `feedback_qos` replaces the declared profile. Raises ServiceUnreachable when nobody took the goal, which is
        safe to repeat; ServiceTimeout when a server took it and did not decide in time; SchemaMismatch when the two
        nodes were generated from different formats; TypeError and ValueError for what cannot be sent.
        """
        return await cls._fire(node_runner, _ACTION, b"", timeout, feedback_qos)

    async def on_next_feedback_message(self) -> FeedbackMessage:
        """Wait for the next feedback message; ActionFeedbackClosed when the goal has ended and all are read."""
        return await self._next_feedback()

    def feedback_lost(self) -> int:
        """How many feedback messages were overwritten before this node read them."""
        return self._feedback_lost()

    async def get_result(self, timeout: float) -> ResultResponse:
        """Wait for the end of the goal, `timeout` seconds at most; may be asked again.

        Raises ServiceTimeout while the goal goes on, and GoalRejected when the server did not accept it.
        """
        return await self._get_result(timeout)
