"""Action `track` of interface `image_source:v1`, called through the slot `source`."""

from typing import NamedTuple, Self

from peppy.codec import F32, Bool, Payload, Plan, String, plan_of
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import actions as _actions

TARGET_NODE_NAME = "image_source"
TARGET_ACTION_NAME = "track"

GoalResponseData = _actions.GoalResponseData
CancelResponse = _actions.CancelResponse
CancelState = _actions.CancelState
ResultStatus = _actions.ResultStatus


class GoalRequest(Payload):
    """What the server is asked for."""

    target: String


class FeedbackMessage(Payload):
    """One message of a goal's progress."""

    metres: F32


class ResultResponseData(Payload):
    """What the goal has led to."""

    lost: Bool


class ResultResponse(NamedTuple):
    """How the goal ended, and where it ran; `data` is None when it was abandoned or its result has expired."""

    core_node: str
    instance_id: str
    status: ResultStatus
    data: ResultResponseData | None


_GOAL_FORMAT = '[["target","string",0]]'
_GOAL: Plan[GoalRequest] = plan_of("source_track goal", _GOAL_FORMAT, {"": GoalRequest})
_FEEDBACK_FORMAT = '[["metres","f32",0]]'
_FEEDBACK: Plan[FeedbackMessage] = plan_of("source_track feedback", _FEEDBACK_FORMAT, {"": FeedbackMessage})
_RESULT_FORMAT = '[["lost","bool",0]]'
_RESULT: Plan[ResultResponseData] = plan_of("source_track result", _RESULT_FORMAT, {"": ResultResponseData})
_ACTION = _actions.ConsumedAction(
    "source", TARGET_ACTION_NAME, _GOAL, _FEEDBACK, _RESULT, ResultResponse, "image_source:v1"
)


class ActionHandle(_actions.ClientHandle[FeedbackMessage, ResultResponse]):
    """One goal that this node has sent; `data` tells whether the server has accepted it, and why not.

    `await cancel_goal(timeout)` asks the server to stop, `timeout` seconds at most; it gives a `CancelResponse`.
    """

    @classmethod
    async def fire_goal(
        cls, node_runner: NodeRunner, request: GoalRequest, timeout: float, feedback_qos: QoSProfile | None = None
    ) -> Self:
        """Send a goal and wait for the server's decision, `timeout` seconds at most.

        `feedback_qos` replaces the declared profile. Raises ServiceUnreachable when nobody took the goal, which is
        safe to repeat; ServiceTimeout when a server took it and did not decide in time; SchemaMismatch when the two
        nodes were generated from different formats; TypeError and ValueError for what cannot be sent.
        """
        return await cls._fire(node_runner, _ACTION, _GOAL.encode_message(request), timeout, feedback_qos)

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
