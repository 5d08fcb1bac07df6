"""Modules for actions (docs/reference/node_api.md, Actions).

An exposed action becomes a module with `ActionHandle`, `GoalContext`, `GoalRequest` and `GoalResponse`, a consumed one
a module with `ActionHandle`, `GoalRequest` and what the server answers. They hold types and signatures; behaviour is in
the library:

    peppy.runtime.actions
        ExposedAction(name, goal plan, feedback plan or None, the feedback's profile, result plan, GoalRequest)
        GoalContext[GoalRequest]                 ._publish_feedback(payload), ._complete(payload),
                                                 ._complete_cancelled(payload)
        ServerHandle[GoalRequest, GoalContext]   ._expose(node_runner, action, kind of context), ._next_goal(decider)
        ConsumedAction(link_id, name, goal plan, feedback plan or None, result plan, ResultResponse)
        ClientHandle[FeedbackMessage, ResultResponse]
                                                 ._fire(node_runner, action, payload, timeout, feedback_qos),
                                                 ._next_feedback(), ._feedback_lost(), ._get_result(timeout)

What comes from an interface names it (`name:tag`) in one more argument, the last.
"""

from peppy.gen.payloads import Payloads, fields_of, library_imports, message_class, sequences_of
from peppy.gen.plans import plan
from peppy.gen.text import (
    Call,
    class_text,
    imports,
    inherited_from,
    literal,
    module,
    owned_by,
    provider_of,
    reached_through,
)
from peppy.model.names import Reference
from peppy.model.node import Action, Slot
from peppy.model.qos import QoSProfile
from peppy.model.types import MessageFormat

# --- exposed --------------------------------------------------------------------------------------------------------


def exposed_action(action: Action, interface: Reference | None) -> str:
    """The module of an action that the node exposes; `interface` is where it is inherited from."""
    goal = message_class("GoalRequestData", "What a client asks for.", action.goal)
    feedback, feedback_arguments = _sent_by_fields("Feedback", _feedback_format(action))
    result, result_arguments = _sent_by_fields("Result", action.result)
    received = ["instance_id: str", "core_node: str", *(["data: GoalRequestData"] if action.goal else [])]
    profile = action.feedback.qos if action.feedback else QoSProfile.Standard
    plans = ["_GOAL", "_FEEDBACK" if action.feedback else "None", f"QoSProfile.{profile.name}", "_RESULT"]
    served = Call("_actions.ExposedAction(", ["ACTION_NAME", *plans, "GoalRequest", *inherited_from(interface)])
    return module(
        f"Action `{action.name}`{owned_by(interface)}, exposed by this node.",
        imports(
            {
                "collections.abc": ["Awaitable", "Callable", *sequences_of(feedback, result)],
                "typing": ["NamedTuple", "Self"],
            }
        ),
        library_imports("actions", ["NodeRunner", "QoSProfile"], goal, feedback, result),
        f"ACTION_NAME = {literal(action.name)}",
        "GoalResponse = _actions.GoalResponse",
        *goal.texts,
        *feedback.texts,
        *result.texts,
        class_text("GoalRequest(NamedTuple)", "One goal, and the instance and core node that it comes from.", received),
        plan("_GOAL", f"{action.name} goal", action.goal, goal, goal.root)
        + _feedback_plan(action, action.name, feedback)
        + plan("_RESULT", f"{action.name} result", action.result, result)
        + f"{served.text(before='_ACTION = ')}\n",
        _goal_context(feedback_arguments, result_arguments),
        _SERVER_HANDLE,
    )


def _sent_by_fields(prefix: str, message_format: MessageFormat | None) -> tuple[Payloads, list[str]]:
    """The nested classes of a payload that is sent as arguments, and these arguments with their annotations."""
    payloads = Payloads(prefix, sent=True)
    fields = fields_of(message_format)
    payloads.add_nested(fields)
    return payloads, payloads.arguments(fields)


def _goal_context(feedback: list[str], result: list[str]) -> str:
    text = _GOAL_CONTEXT
    if feedback:
        docstring = "Send the client one feedback message; nothing happens once the goal has ended."
        text += "\n" + _sending("publish_feedback", feedback, docstring, "_FEEDBACK")
    text += "\n" + _sending("complete", result, "End the goal as completed, with its result.", "_RESULT")
    docstring = "End the goal as cancelled, with its result."
    return text + "\n" + _sending("complete_cancelled", result, docstring, "_RESULT")


def _sending(method: str, arguments: list[str], docstring: str, plan_name: str) -> str:
    """A method of the context that encodes its arguments and sends them."""
    head = Call(f"async def {method}(", ["self", *arguments], ") -> None:").text("    ")
    encode = Call(f"{plan_name}.encode(", [argument.partition(":")[0] for argument in arguments])
    body = Call(f"await self._{method}(", [encode]).text("        ")
    return f'{head}\n        """{docstring}"""\n{body}\n'


_GOAL_CONTEXT = '''\
class GoalContext(_actions.GoalContext[GoalRequest]):
    """One accepted goal; it ends with the first `complete` or `complete_cancelled`, later ones do nothing.

    `request()` is what the client sent and `goal_id()` names the goal. `is_cancelled()` and `await cancel_signal()`
    tell that the client wants it to stop. A goal whose tasks end without completing it is abandoned.
    """
'''
_SERVER_HANDLE = '''\
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
'''


# --- consumed -------------------------------------------------------------------------------------------------------


def consumed_action(slot: Slot, module_name: str, action: Action) -> str:
    """The module of an action that the node calls through `slot`."""
    goal = message_class("GoalRequest", "What the server is asked for.", action.goal, sent=True)
    feedback = message_class("FeedbackMessage", "One message of a goal's progress.", _feedback_format(action))
    result = message_class("ResultResponseData", "What the goal has led to.", action.result)
    plans = ["_GOAL", "_FEEDBACK" if action.feedback else "None", "_RESULT"]
    arguments = [literal(slot.link_id), "TARGET_ACTION_NAME", *plans, "ResultResponse", *reached_through(slot)]
    called = Call("_actions.ConsumedAction(", arguments)
    annotation = "" if action.feedback else ": _actions.ConsumedAction[None, ResultResponse]"
    return module(
        f"Action `{action.name}` of {provider_of(slot)}, called through the slot `{slot.link_id}`.",
        imports({"collections.abc": sequences_of(goal), "typing": ["NamedTuple", "Self"]}),
        library_imports("actions", ["NodeRunner", "QoSProfile"], goal, feedback, result),
        f"TARGET_NODE_NAME = {literal(slot.provider.name)}\nTARGET_ACTION_NAME = {literal(action.name)}",
        _ANSWERS,
        *goal.texts,
        *feedback.texts,
        *result.texts,
        _result_response(action),
        plan("_GOAL", f"{module_name} goal", action.goal, goal, goal.root)
        + _feedback_plan(action, module_name, feedback)
        + plan("_RESULT", f"{module_name} result", action.result, result, result.root)
        + f"{called.text(before=f'_ACTION{annotation} = ')}\n",
        _client_handle(action, feedback.root),
    )


def _result_response(action: Action) -> str:
    answered = ["core_node: str", "instance_id: str", "status: ResultStatus"]
    if not action.result:
        return class_text("ResultResponse(NamedTuple)", "How the goal ended, and where it ran.", answered)
    docstring = "How the goal ended, and where it ran; `data` is None when it was abandoned or its result has expired."
    return class_text("ResultResponse(NamedTuple)", docstring, [*answered, "data: ResultResponseData | None"])


def _client_handle(action: Action, feedback: str) -> str:
    request = ["request: GoalRequest"] if action.goal else []
    arguments = ["cls", "node_runner: NodeRunner", *request, "timeout: float", "feedback_qos: QoSProfile | None = None"]
    fire = Call("async def fire_goal(", arguments, ") -> Self:").text("    ")
    payload = "_GOAL.encode_message(request)" if action.goal else 'b""'
    sent = Call("return await cls._fire(", ["node_runner", "_ACTION", payload, "timeout", "feedback_qos"])
    text = "replaces the declared profile" if action.feedback else "has no effect here: no feedback"
    docstring = _FIRE_DOCSTRING.format(feedback_qos=f"`feedback_qos` {text}.")
    return f'''\
class ActionHandle(_actions.ClientHandle[{feedback}, ResultResponse]):
    """One goal that this node has sent; `data` tells whether the server has accepted it, and why not.

    `await cancel_goal(timeout)` asks the server to stop, `timeout` seconds at most; it gives a `CancelResponse`.
    """

    @classmethod
{fire}
{docstring}{sent.text("        ")}
{_ON_NEXT_FEEDBACK if action.feedback else ""}{_GET_RESULT}'''


_ANSWERS = """\
GoalResponseData = _actions.GoalResponseData
CancelResponse = _actions.CancelResponse
CancelState = _actions.CancelState
ResultStatus = _actions.ResultStatus
"""
_FIRE_DOCSTRING = '''\
        """Send a goal and wait for the server's decision, `timeout` seconds at most.

        {feedback_qos} Raises ServiceUnreachable when nobody took the goal, which is
        safe to repeat; ServiceTimeout when a server took it and did not decide in time; SchemaMismatch when the two
        nodes were generated from different formats; TypeError and ValueError for what cannot be sent.
        """
'''
_ON_NEXT_FEEDBACK = '''
    async def on_next_feedback_message(self) -> FeedbackMessage:
        """Wait for the next feedback message; ActionFeedbackClosed when the goal has ended and all are read."""
        return await self._next_feedback()

    def feedback_lost(self) -> int:
        """How many feedback messages were overwritten before this node read them."""
        return self._feedback_lost()
'''
_GET_RESULT = '''
    async def get_result(self, timeout: float) -> ResultResponse:
        """Wait for the end of the goal, `timeout` seconds at most; may be asked again.

        Raises ServiceTimeout while the goal goes on, and GoalRejected when the server did not accept it.
        """
        return await self._get_result(timeout)
'''


# --- both -----------------------------------------------------------------------------------------------------------


def _feedback_format(action: Action) -> MessageFormat | None:
    return action.feedback.message_format if action.feedback else None


def _feedback_plan(action: Action, member: str, payloads: Payloads) -> str:
    if action.feedback is None:
        return ""
    decoded = payloads.root if payloads.root != "None" else None
    return plan("_FEEDBACK", f"{member} feedback", action.feedback.message_format, payloads, decoded)
