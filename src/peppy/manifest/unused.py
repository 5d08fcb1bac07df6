"""Formats that a document declares and nothing uses (docs/reference/messages.md, Accepted)."""

from collections.abc import Iterator

from peppy.model.node import Action, NodeManifest

ANSWERED = frozenset({"accepted", "error_message"})
"""The fields that every answer to a goal has, declared or not."""


def unused_formats(manifest: NodeManifest) -> Iterator[str]:
    """One warning for each format of an action that has no effect, naming the action and the fields."""
    for action in manifest.exposed_actions:
        yield from _goal_response(action)
        yield from _result_request(action)


def _goal_response(action: Action) -> Iterator[str]:
    declared = () if action.unused_goal_response is None else action.unused_goal_response.fields
    others = [field.name for field in declared if field.name not in ANSWERED]
    if others:
        place = f"`goal_service.response_message_format` of action `{action.name}`"
        yield f"{_listed(others)} in {place} is not sent: a goal is answered with `accepted` and `error_message`"


def _result_request(action: Action) -> Iterator[str]:
    if action.unused_result_request is not None:
        names = [field.name for field in action.unused_result_request.fields]
        place = f"`result_service.request_message_format` of action `{action.name}`"
        yield f"{_listed(names)} in {place} is not sent: asking for a result takes no fields"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
