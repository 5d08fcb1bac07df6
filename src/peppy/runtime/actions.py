"""What generated action modules stand on (docs/reference/node_api.md, Actions): the server's `ServerHandle` and
`GoalContext`, the client's `ClientHandle`.
"""

import secrets
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar, cast

from peppy.codec import EncodedPayload, Plan
from peppy.errors import ActionFeedbackClosed, GoalRejected
from peppy.model.goals import CancelState, ResultStatus
from peppy.model.qos import QoSProfile
from peppy.model.types import schema_hash
from peppy.protocol.answers import GoalCancelled
from peppy.protocol.calls import CancelGoal, Decided, GetResult, GoalResult
from peppy.protocol.calls import Goal as GoalFrame
from peppy.protocol.frame import Received, close_all
from peppy.protocol.payloads import payload_of
from peppy.runtime.accepting import Acceptor, GoalResponse, Messages
from peppy.runtime.calls import packed
from peppy.runtime.feedback_reader import FeedbackReader
from peppy.runtime.goal import Goal, call_on
from peppy.runtime.subject import Subject

if TYPE_CHECKING:
    from peppy.runtime.goals import Goals
    from peppy.runtime.runner import NodeRunner

__all__ = [
    "CancelResponse",
    "CancelState",
    "ClientHandle",
    "ConsumedAction",
    "ExposedAction",
    "GoalContext",
    "GoalResponse",
    "GoalResponseData",
    "ResultStatus",
    "ServerHandle",
]

R = TypeVar("R")
C = TypeVar("C")
F = TypeVar("F")
AS_DECLARED = -1


class ExposedAction:
    """An action that this node serves; `interface` (`name:tag`) of an inherited one."""

    def __init__(
        self,
        name: str,
        goal: Plan[Any],
        feedback: Plan[Any] | None,
        feedback_qos: QoSProfile,
        result: Plan[Any],
        request: Callable[..., Any],
        interface: str | None = None,
    ) -> None:
        self.name = name
        self.interface = interface
        self.messages = Messages(goal, feedback, feedback_qos, request)
        self.hashes = _hashes(goal, feedback, result)


class ConsumedAction(Generic[F, R]):
    """An action that this node calls through the slot `link_id`; `interface` (`name:tag`) of an interface slot."""

    def __init__(
        self,
        link_id: str,
        name: str,
        goal: Plan[Any],
        feedback: Plan[F] | None,
        result: Plan[Any],
        response: Callable[..., R],
        interface: str | None = None,
    ) -> None:
        self.link_id = link_id
        self.interface = interface
        self.name = name
        self.feedback = feedback
        self.result = result
        self.response = response
        self.hashes = _hashes(goal, feedback, result)


# --- server --------------------------------------------------------------------------------------------------------


class GoalContext(Generic[R]):
    """One accepted goal, base of the generated class. Its methods belong to the event loop, but for the plain ones.

    The runtime holds no reference: a goal whose context nobody holds any more is abandoned.
    """

    def __init__(self, goal: Goal, request: R, action_name: str, goals: "Goals") -> None:
        self._goal = goal
        self._request = request
        self._action_name = action_name
        self._goals = goals

    def request(self) -> R:
        """What the client has asked for, and which instance it is."""
        return self._request

    def goal_id(self) -> str:
        """The goal's id, 16 hexadecimal digits."""
        return self._goal.goal_id

    def is_cancelled(self) -> bool:
        """Whether the client has asked to cancel the goal; the worker decides what it does."""
        return self._goal.is_cancelled

    def cancel_signal(self) -> Coroutine[Any, Any, None]:
        """Wait until the client asks to cancel the goal; returns at once when it has. The coroutine does not hold the
        context."""
        return self._cancel_signal(self._goal, self._goals)

    @staticmethod
    async def _cancel_signal(goal: Goal, goals: "Goals") -> None:
        goals.method_awaited(goal)
        await goal.cancelled()

    @property
    def goal(self) -> Goal:
        """For the runtime: the goal that this context may finish."""
        return self._goal

    async def _publish_feedback(self, payload: EncodedPayload) -> None:
        self._goals.method_awaited(self._goal)
        await self._goal.publish(payload)

    async def _complete(self, payload: EncodedPayload) -> None:
        await self._finish(ResultStatus.COMPLETED, payload)

    async def _complete_cancelled(self, payload: EncodedPayload) -> None:
        await self._finish(ResultStatus.CANCELLED, payload)

    async def _finish(self, status: ResultStatus, payload: EncodedPayload) -> None:
        self._goals.method_awaited(self._goal)
        await self._goals.finish(self._goal, status, payload, f"result of action `{self._action_name}`")


class ServerHandle(Generic[R, C]):
    """The server's end of an action, base of the generated class: the action is offered for as long as it is kept."""

    def __init__(self, node_runner: "NodeRunner", action: ExposedAction, context: Callable[..., C]) -> None:
        self._goals = node_runner.goals
        self._name = action.name
        self._context = context
        self._acceptor = Acceptor(self._goals, action.name, action.interface, action.hashes, action.messages)
        weakref.finalize(self, self._acceptor.close)

    @classmethod
    async def _expose(cls, node_runner: "NodeRunner", action: ExposedAction, context: Callable[..., C]) -> Self:
        return cls(node_runner, action, context)

    async def _next_goal(self, decider: Callable[[R], GoalResponse | Awaitable[GoalResponse]]) -> C | None:
        return await self._acceptor.next(decider, self._make_context)

    def _make_context(self, goal: Goal, request: R) -> C:
        return self._context(goal, request, self._name, self._goals)


# --- client --------------------------------------------------------------------------------------------------------


class GoalResponseData(NamedTuple):
    """What the server has decided."""

    accepted: bool
    error_message: str | None


class CancelResponse(NamedTuple):
    """What a cancel has found at the goal's server."""

    core_node: str
    instance_id: str
    state: CancelState


class ClientHandle(Generic[F, R]):
    """One goal that this node has sent, base of the generated class. Belongs to the event loop."""

    def __init__(
        self,
        node_runner: "NodeRunner",
        action: ConsumedAction[F, R],
        goal_id: str,
        decided: Decided,
        feedback: FeedbackReader[F] | None,
    ) -> None:
        self.data = GoalResponseData(decided.accepted, decided.error_message)
        self._calls = node_runner.calls
        self._action = action
        self._goal_id = goal_id
        self._core_node = decided.core_node
        self._instance_id = decided.instance_id
        self._feedback = feedback
        if feedback is not None:
            weakref.finalize(self, call_on, node_runner.loop, feedback.close)

    @classmethod
    async def _fire(
        cls,
        node_runner: "NodeRunner",
        action: ConsumedAction[F, R],
        payload: EncodedPayload,
        timeout: float,
        feedback_qos: QoSProfile | None,
    ) -> Self:
        calls = node_runner.calls
        deadline = calls.deadline(timeout)
        goal_id = secrets.token_hex(8)
        subject = Subject("action", action.name, node_runner.whom(action.link_id), timeout)
        qos = AS_DECLARED if feedback_qos is None else int(feedback_qos)
        target = action.link_id, action.name, action.hashes
        frame = GoalFrame(0, goal_id, *target, 0, qos, interface=action.interface)
        feedback = None if action.feedback is None else node_runner.feedback.open(goal_id, action.feedback)
        doorbell = () if feedback is None else (feedback.doorbell,)
        try:
            request = packed(payload, f"goal of action `{action.name}`")
            received = await calls.exchange(frame, subject, deadline, request, doorbell)
            decided = _decided(received)
            try:
                if feedback is not None and decided.accepted:
                    feedback.attach(decided, received.fds)
            finally:
                close_all(received.fds)
        except BaseException:
            if feedback is not None:
                feedback.close()
            raise
        if feedback is not None and not decided.accepted:
            feedback.close()
        return cls(node_runner, action, goal_id, decided, feedback)

    async def cancel_goal(self, timeout: float) -> CancelResponse:
        """Ask the server to cancel the goal, `timeout` seconds at most. SIGNALLED: its runtime has told the worker,
        which decides. Raises ServiceTimeout when the server does not confirm, ServiceUnreachable without a daemon."""
        deadline = self._calls.deadline(timeout)
        if not self.data.accepted:
            return CancelResponse(self._core_node, self._instance_id, CancelState.UNKNOWN)
        frame = CancelGoal(self._goal_id, int(deadline * 1e9))
        answer = await self._calls.ask(frame, GoalCancelled, self._subject(timeout), deadline)
        return CancelResponse(self._core_node, self._instance_id, CancelState(answer.state))

    async def _get_result(self, timeout: float) -> R:
        deadline = self._calls.deadline(timeout)
        if not self.data.accepted:
            raise GoalRejected(f"goal was rejected: {self.data.error_message}")
        frame = GetResult(0, self._goal_id, 0)
        received = await self._calls.exchange(frame, self._subject(timeout), deadline)
        status = ResultStatus(cast(GoalResult, received.frame).status)
        payload = payload_of(received)
        if self._action.result.message_format is None:
            return self._action.response(self._core_node, self._instance_id, status)
        has_data = status in (ResultStatus.COMPLETED, ResultStatus.CANCELLED)
        data = self._action.result.decode(payload) if has_data else None
        return self._action.response(self._core_node, self._instance_id, status, data)

    async def _next_feedback(self) -> F:
        if self._feedback is None:
            raise ActionFeedbackClosed(f"action `{self._action.name}` has no feedback")
        return await self._feedback.next()

    def _feedback_lost(self) -> int:
        return 0 if self._feedback is None else self._feedback.lost

    def _subject(self, timeout: float) -> Subject:
        return Subject("action", self._action.name, self._instance_id, timeout)


def _decided(received: Received) -> Decided:
    assert isinstance(received.frame, Decided)
    return received.frame


def _hashes(goal: Plan[Any], feedback: Plan[Any] | None, result: Plan[Any]) -> tuple[int, int, int]:
    return goal.schema_hash, schema_hash(None) if feedback is None else feedback.schema_hash, result.schema_hash
