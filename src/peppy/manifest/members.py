"""Topics, services and actions as a node or an interface declares them (docs/reference/manifest.md, 2.1 and 2.2)."""

from collections.abc import Callable
from typing import TypeVar

from peppy.manifest.cursor import Cursor
from peppy.manifest.formats import format_of
from peppy.model.node import Action, Feedback, Service, Topic
from peppy.model.qos import QoSProfile
from peppy.model.text import quoted
from peppy.model.types import MessageFormat

Item = TypeVar("Item")

REQUEST, RESPONSE = "request_message_format", "response_message_format"
_TOPIC = {"name": True, "qos_profile": False, "message_format": False}
_SERVICE = {"name": True, REQUEST: False, RESPONSE: False}
_ACTION = {"name": True, "goal_service": False, "feedback_topic": False, "result_service": False}
_CALL = {REQUEST: False, RESPONSE: False, "qos_profile": False}
_FEEDBACK = {"type": False, "name": False, "qos_profile": False, "message_format": False}


def topics(cursor: Cursor | None) -> tuple[Topic, ...]:
    """The topics of a list."""
    return named(cursor, "topic", _topic)


def services(cursor: Cursor | None) -> tuple[Service, ...]:
    """The services of a list."""
    return named(cursor, "service", _service)


def actions(cursor: Cursor | None) -> tuple[Action, ...]:
    """The actions of a list."""
    return named(cursor, "action", _action)


def named(cursor: Cursor | None, noun: str, read: Callable[[Cursor], Item | None]) -> tuple[Item, ...]:
    """What `read` gives for every item of a list whose items have a `name` of their own."""
    found: list[Item] = []
    names: dict[str, Cursor] = {}
    for item in cursor.items() if cursor else ():
        value = read(item)
        if value is not None:
            found.append(value)
        name = item.under("name")
        if isinstance(name, str):
            refuse_repeated(names, name, item, f"the {noun} {quoted(name)} is listed twice")
    return tuple(found)


def refuse_repeated(seen: dict[str, Cursor], key: str, cursor: Cursor, text: str) -> None:
    """Reports an item whose `key` an earlier item of the list has."""
    if key in seen:
        cursor.report("DuplicateItem", text, "remove one of the two", first=seen[key])
    seen.setdefault(key, cursor)


def _topic(cursor: Cursor) -> Topic | None:
    members = cursor.members(_TOPIC)
    if members is None:
        return None
    name = members["name"].name() if "name" in members else None
    qos = _qos(members.get("qos_profile"), QoSProfile.Standard)
    message_format = format_of(members.get("message_format"), "Message")
    return Topic(name, qos, message_format) if name is not None and qos is not None else None


def _service(cursor: Cursor) -> Service | None:
    members = cursor.members(_SERVICE)
    if members is None:
        return None
    name = members["name"].name() if "name" in members else None
    request = format_of(members.get(REQUEST), "RequestData")
    response = format_of(members.get(RESPONSE), "Response")
    return Service(name, request, response) if name is not None else None


def _action(cursor: Cursor) -> Action | None:
    members = cursor.members(_ACTION)
    if members is None:
        return None
    name = members["name"].name() if "name" in members else None
    goal, goal_response = _call(members.get("goal_service"), "GoalRequestData", None)
    result_request, result = _call(members.get("result_service"), None, "Result")
    feedback = _feedback(members["feedback_topic"], name) if "feedback_topic" in members else None
    return Action(name, goal, feedback, result, goal_response, result_request) if name is not None else None


def _call(
    cursor: Cursor | None, request: str | None, response: str | None
) -> tuple[MessageFormat | None, MessageFormat | None]:
    """The two formats of a goal or result service, whose classes begin with `request` and `response`."""
    members = cursor.members(_CALL) if cursor else None
    if members is None:
        return None, None
    _qos(members.get("qos_profile"), QoSProfile.Reliable)
    return format_of(members.get(REQUEST), request), format_of(members.get(RESPONSE), response)


def _feedback(cursor: Cursor, action: str | None) -> Feedback | None:
    members = cursor.members(_FEEDBACK)
    if members is None:
        return None
    for key in members.keys() & {"type", "name"}:
        members[key].string()
    qos = _qos(members.get("qos_profile"), QoSProfile.Standard)
    declared = members.get("message_format")
    if declared is None or declared.value == {}:
        text = f"action {quoted(action or '?')}: feedback needs a non-empty message_format"
        (declared or cursor).report("FeedbackFormatRequired", text, "declare its fields or remove `feedback_topic`")
        return None
    message_format = format_of(declared, "Feedback")
    return Feedback(qos, message_format) if qos is not None and message_format is not None else None


def _qos(cursor: Cursor | None, default: QoSProfile) -> QoSProfile | None:
    if cursor is None:
        return default
    word = cursor.one_of("BadQosProfile", "QoS profile", [profile.word for profile in QoSProfile])
    return QoSProfile.of(word) if word is not None else None
