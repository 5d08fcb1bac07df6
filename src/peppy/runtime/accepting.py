"""Accepting goals: one decider at a time per action, in the order in which the goals came
(docs/reference/services_actions.md, Accepting goals).
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from peppy.codec import Plan
from peppy.model.qos import QoSProfile
from peppy.protocol.calls import Decision
from peppy.protocol.frame import close_all
from peppy.protocol.payloads import other_descriptors, payload_of
from peppy.runtime.delivery import Delivery
from peppy.runtime.descriptors import allow_many
from peppy.runtime.feedback import FeedbackStream
from peppy.runtime.goal import Goal, call_on
from peppy.runtime.goals import Goals

LONGEST_REASON = 4096
"""Characters of a rejection's reason."""


class GoalResponse(NamedTuple):
    """What a decider answers."""

    accepted: bool
    error_message: str | None

    @staticmethod
    def accept() -> "GoalResponse":
        """Take the goal: it is live from now on."""
        return GoalResponse(True, None)

    @staticmethod
    def reject(reason: str) -> "GoalResponse":
        """Decline the goal; the client gets the reason, at most 4 096 characters of it."""
        return GoalResponse(False, reason)


Decider = Callable[[Any], GoalResponse | Awaitable[GoalResponse]]


class Messages(NamedTuple):
    """The formats of an action; `request` makes the goal request of a client's ids and the decoded goal."""

    goal: Plan[Any]
    feedback: Plan[Any] | None
    feedback_qos: QoSProfile
    request: Callable[..., Any]


class Acceptor:
    """The accepting side of one action of this process; belongs to the event loop."""

    def __init__(
        self, goals: Goals, name: str, interface: str | None, hashes: tuple[int, ...], messages: Messages
    ) -> None:
        """Offer the action. RuntimeError when this process does already."""
        self._goals = goals
        self._name = name
        self._messages = messages
        self._turn = asyncio.Lock()
        allow_many()
        self._endpoint = goals.endpoints.open("action", name, interface, hashes, self._refuse)

    async def next(self, decider: Decider, make_context: Callable[[Goal, Any], Any]) -> Any:
        """The context of the next goal that `decider` accepts; None when the node ends, and ever after."""
        task = asyncio.current_task()
        assert task is not None
        self._goals.turn_to_next(task, Acceptor.next.__code__)
        try:
            while True:
                async with self._turn:
                    delivery = await self._endpoint.next()
                    if delivery is None:
                        return None
                    accepted = await self._decide(delivery, decider)
                if accepted is not None:
                    goal, request = accepted
                    context = make_context(goal, request)
                    self._goals.hand_out(goal, context)
                    return context
        finally:
            self._goals.accept_loops.pop(task, None)

    def close(self) -> None:
        """Offer the action no more: goals that wait are rejected, live ones go on. From any thread, at any moment."""
        call_on(self._goals.loop, self._endpoint.close)

    # --- one goal ----------------------------------------------------------------------------------------------------

    async def _decide(self, delivery: Delivery, decider: Decider) -> tuple[Goal, Any] | None:
        """The goal that is live now with its request, None for one that is rejected; the client is told."""
        try:
            request, stream = self._prepare(delivery)
        except Exception as error:  # no user code has run
            return self._reject(delivery, None, _text(error))
        try:
            response = decider(request)
            if inspect.isawaitable(response):
                response = await response
            reason = self._reason(response)
        except Exception as error:
            reason = _text(error)
        except BaseException:
            if self._goals.is_ending():  # the client is told that its server has stopped
                _discard(stream)
            else:
                self._reject(delivery, stream, f"the decider of action `{self._name}` was cancelled")
            raise
        if reason is not None:
            return self._reject(delivery, stream, reason)
        return self._accept(delivery, stream), request

    def _prepare(self, delivery: Delivery) -> tuple[Any, FeedbackStream | None]:
        """What the decider gets, and the stream of a client that reads feedback: whatever may fail fails before the
        decider has taken anything. RuntimeError for a goal that was accepted already, DecodeError for one that is none,
        OSError without room for a stream."""
        doorbells = other_descriptors(delivery.received)
        try:
            request = self._request(delivery)
            if self._goals.has_begun(delivery.goal_id or ""):
                raise RuntimeError(f"the goal id `{delivery.goal_id}` is already in use")
            return request, self._stream(delivery, doorbells)
        except BaseException:
            close_all(doorbells)
            raise

    def _request(self, delivery: Delivery) -> Any:
        """What the decider gets. DecodeError for a goal that is none."""
        messages = self._messages
        goal = messages.goal.decode(payload_of(delivery.received))
        data = () if messages.goal.message_format is None else (goal,)
        return messages.request(delivery.caller_instance_id, delivery.caller_core_node, *data)

    def _stream(self, delivery: Delivery, doorbells: tuple[int, ...]) -> FeedbackStream | None:
        """Owns the doorbell, unless it raises."""
        goals, plan = self._goals, self._messages.feedback
        if plan is None or not doorbells:
            close_all(doorbells)
            return None
        reader = f"the client `{delivery.caller_instance_id}` of goal `{delivery.goal_id}`"
        return goals.rings.open(plan, self._qos(delivery), doorbells[0], goals.feedback_bound, reader)

    def _qos(self, delivery: Delivery) -> QoSProfile:
        return self._messages.feedback_qos if delivery.feedback_qos < 0 else QoSProfile(delivery.feedback_qos)

    def _reason(self, response: object) -> str | None:
        """Why the goal is rejected; None when it is accepted. TypeError for what is no answer."""
        if not isinstance(response, GoalResponse):
            raise TypeError(f"the decider of action `{self._name}` returned `{response!r}`, not a GoalResponse")
        return None if response.accepted else response.error_message or ""

    def _accept(self, delivery: Delivery, stream: FeedbackStream | None) -> Goal:
        """The goal is in the table of this process before the daemon hears of it, and in the daemon's before its client
        does: nobody can cancel a goal that is unknown."""
        goal_id, client = delivery.goal_id or "", delivery.caller_instance_id
        goal = Goal(goal_id, client, self._endpoint.endpoint_id, self._goals.loop, stream)
        self._goals.begin(goal)
        decision, descriptors = Decision(delivery.number, True), ()
        if stream is not None:
            qos = int(self._qos(delivery))
            decision = Decision(delivery.number, True, None, stream.stream_id, qos, stream.claim)
            descriptors = stream.descriptors
        if not self._endpoint.answer(delivery, decision, descriptors) or delivery.withdrawn:
            goal.cancel()  # its client has given up: the worker lets go of what the decider took
        return goal

    def _reject(self, delivery: Delivery, stream: FeedbackStream | None, reason: str) -> None:
        _discard(stream)
        self._endpoint.answer(delivery, _rejection(delivery, reason))

    def _refuse(self, delivery: Delivery, text: str) -> None:
        """A goal that nobody decides: too many wait, or the action is closed. On the control thread or the loop."""
        delivery.endpoint.answer(delivery, _rejection(delivery, text))


def _discard(stream: FeedbackStream | None) -> None:
    if stream is not None:
        stream.end()
        stream.release_row(stream.claim.row, stream.claim.ticket)
        stream.give_back()


def _rejection(delivery: Delivery, reason: str) -> Decision:
    return Decision(delivery.number, False, reason[:LONGEST_REASON].encode(errors="backslashreplace").decode())


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
