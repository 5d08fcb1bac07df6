"""Formats that have no effect are told at sync (docs/reference/messages.md, Accepted)."""

from peppy.manifest.node import parse_node
from peppy.manifest.unused import unused_formats


def warnings(action: str) -> list[str]:
    text = (
        '{peppy_schema: "node_v1", manifest: {name: "one", tag: "v1"},'
        f'interfaces: {{actions: {{exposes: [{{name: "dock", {action}}}]}}}}, '
        'execution: {language: "python", run_cmd: ["x"]}}'
    )
    return list(unused_formats(parse_node(text.encode(), "peppy.json5").manifest))


def test_fields_of_an_answer_to_a_goal_that_nobody_sends_are_named() -> None:
    (warning,) = warnings('goal_service: {response_message_format: {accepted: "bool", queue: "u8", reason: "string"}}')
    assert "`queue`, `reason`" in warning
    assert "action `dock`" in warning
    assert "`goal_service.response_message_format`" in warning


def test_an_answer_to_a_goal_that_declares_what_is_sent_anyway_is_fine() -> None:
    declared = '{accepted: "bool", error_message: {$type: "string", $optional: true}}'
    assert warnings(f"goal_service: {{response_message_format: {declared}}}") == []


def test_fields_of_a_question_for_the_result_are_named() -> None:
    (warning,) = warnings('result_service: {request_message_format: {verbose: "bool"}}')
    assert "`verbose`" in warning
    assert "`result_service.request_message_format`" in warning


def test_empty_formats_are_fine() -> None:
    empty = "{request_message_format: {}, response_message_format: {}}"
    assert warnings(f"goal_service: {empty}, result_service: {empty}") == []
