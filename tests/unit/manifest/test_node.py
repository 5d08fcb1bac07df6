"""Valid manifests become the model, and all problems of a broken one come together (docs/reference/manifest.md)."""

import hashlib
import os
from pathlib import Path
from time import monotonic

import pytest

from peppy.errors import InvalidInput
from peppy.manifest import document
from peppy.manifest.document import DEPTH_LIMIT, SIZE_LIMIT, parse_value
from peppy.manifest.node import parse_node, read_node
from peppy.model.names import Reference
from peppy.model.node import Conformance, Consumed, Execution, Language, Slot, SlotKind, Variant
from peppy.model.parameters import Group, Leaf, Parameter
from peppy.model.qos import QoSProfile
from peppy.model.types import Array, Field, MessageFormat, Object, Scalar, Token

WHEELS = """{
  peppy_schema: "node/v1",
  manifest: {
    name: "wheels", tag: "0.2.0", labels: ["drive"],
    depends_on: {
      interfaces: [{ name: "range_sensor", tag: "v2", link_id: "bumper", from_any: true }],
      nodes:      [{ name: "battery", tag: "v1", link_id: "power" }],
    },
    variants: [{ name: "sim", source: { local: "./variants/sim" } }],
  },
  interfaces: {
    topics:   { emits: [{ name: "odometry", qos_profile: "sensor_data", message_format: { x: "double", y: "f64" } }],
                consumes: [{ link_id: "bumper", name: "distance" }] },
    services: { exposes: [{ name: "set_speed", request_message_format: { mps: "f32" } }] },
    actions:  { exposes: [{ name: "dock", feedback_topic: { type: "t", message_format: { remaining_m: "f32" } } }] },
    conforms_to: [{ name: "drive_base", tag: "v1", sha256: "%s" }],
  },
  execution: {
    language: "python",
    parameters: { wheel_radius_m: { $type: "f64", $default: 1 } },
    build_cmd: ["uv", "sync"],
    run_cmd: ["uv", "run", "wheels"],
  },
}
""" % ("AB" * 32)


def parsed(text: str):
    return parse_node(text.encode(), "peppy.json5").manifest


def problems(text: str | bytes):
    with pytest.raises(InvalidInput) as raised:
        parse_node(text if isinstance(text, bytes) else text.encode(), "peppy.json5")
    return raised.value


def fields_of(text: str):
    manifest = parsed(
        '{ peppy_schema: "node_v1", manifest: { name: "a", tag: "b" },'
        '  execution: { language: "other", run_cmd: ["x"] },'
        "  interfaces: { topics: { emits: [{ name: 't', message_format: { " + text + " } }] } } }"
    )
    topic = manifest.emitted("t")
    assert topic is not None
    return topic.message_format


def test_the_parts_of_a_manifest_become_the_model():
    manifest = parsed(WHEELS)
    assert manifest.reference == Reference("wheels", "0.2.0")
    assert manifest.labels == ("drive",)
    assert manifest.variants == (Variant("sim", "./variants/sim"),)
    assert manifest.slots == (
        Slot(SlotKind.NODE, "power", Reference("battery", "v1")),
        Slot(SlotKind.INTERFACE, "bumper", Reference("range_sensor", "v2"), from_any=True),
    )
    assert manifest.consumed_topics == (Consumed("bumper", "distance"),)
    assert manifest.conforms_to == (Conformance(Reference("drive_base", "v1"), "ab" * 32),)
    assert manifest.execution == Execution(
        Language.PYTHON,
        Group((Parameter("wheel_radius_m", Leaf(Token.F64, 1.0)),)),
        ("uv", "sync"),
        ("uv", "run", "wheels"),
    )


def test_members_keep_their_formats_and_profiles():
    manifest = parsed(WHEELS)
    (topic,), (service,), (action,) = manifest.emitted_topics, manifest.exposed_services, manifest.exposed_actions
    assert topic.qos is QoSProfile.SensorData
    assert topic.message_format == MessageFormat((Field("x", Scalar(Token.F64)), Field("y", Scalar(Token.F64))))
    assert service.request == MessageFormat((Field("mps", Scalar(Token.F32)),))
    assert service.response is None
    assert action.feedback is not None
    assert action.feedback.qos is QoSProfile.Standard
    assert (action.goal, action.result) == (None, None)


def test_every_form_of_a_type_is_read():
    assert fields_of(
        "a: { $type: 'str', $optional: true }, b: { $type: 'array', $items: { c: 'u8' } }, d: { e: 'time' }"
    ) == (
        MessageFormat(
            (
                Field("a", Scalar(Token.STRING), optional=True),
                Field("b", Array(Object((Field("c", Scalar(Token.U8)),)))),
                Field("d", Object((Field("e", Scalar(Token.TIME)),))),
            )
        )
    )


def test_a_fixed_length_and_an_optional_array_are_read():
    text = "a: { $type: 'array', $items: { $type: 'bool' }, $length: 4, $optional: true }"
    assert fields_of(text) == MessageFormat((Field("a", Array(Scalar(Token.BOOL), 4), optional=True),))


def test_an_empty_format_is_no_format():
    assert fields_of("") is None


def test_the_order_of_fields_is_the_order_of_the_text():
    message_format = fields_of("z: 'u8', a: 'u8', m: 'u8'")
    assert message_format is not None
    assert [field.name for field in message_format.fields] == ["z", "a", "m"]


def test_sixteen_nested_objects_are_allowed():
    assert fields_of("a: { " * 16 + "b: 'u8'" + " }" * 16) is not None


def test_1024_fields_are_allowed():
    assert fields_of(", ".join(f"f{index}: 'u8'" for index in range(1024))) is not None


def test_a_default_variant_stands_in_for_the_execution():
    manifest = parsed(
        "{ peppy_schema: 'node_v1', manifest: { name: 'a', tag: 'b',"
        " variants: [{ name: 'default', source: { local: 'x' } }] } }"
    )
    assert manifest.execution is None


def test_a_character_written_as_two_escapes_is_one_character():
    manifest = parsed(WHEELS.replace('"drive"', '"\\ud83d\\ude00"'))
    assert manifest.labels == ("\U0001f600",)


def test_the_digest_is_that_of_the_bytes():
    raw = WHEELS.encode()
    found = parse_node(raw, "peppy.json5")
    assert found.sha256 == hashlib.sha256(raw).hexdigest()
    assert found.raw == raw


def test_a_byte_order_mark_does_not_move_the_columns():
    (problem,) = problems(b"\xef\xbb\xbf[]").details
    assert (problem.kind, problem.line, problem.column) == ("WrongType", 1, 1)


def test_all_problems_come_together_in_the_order_of_the_text():
    text = WHEELS.replace('"0.2.0"', "2").replace('"sensor_data"', '"fast"').replace('"python"', '"perl"')
    found = problems(text)
    assert [problem.kind for problem in found.details] == ["WrongType", "BadQosProfile", "BadLanguage"]
    assert [problem.line for problem in found.details] == [4, 12, 19]
    assert found.kind == "Invalid"


def test_a_repeated_key_does_not_hide_other_problems():
    text = WHEELS.replace("language:", "run_cmd: [], run_cmd: [], language:").replace('"0.2.0"', "2")
    assert [problem.kind for problem in problems(text).details] == ["WrongType", "DuplicateKey", "DuplicateKey"]


def test_twenty_problems_are_shown_and_the_others_counted():
    found = problems(WHEELS.replace('["drive"]', f"[{'1, ' * 23}]"))
    assert len(found.details) == 21
    assert found.details[-1].message == "... and 3 more"


def test_lines_end_with_any_of_the_three_line_ends():
    (problem,) = problems("{\r\n  a\r: 1,\n  b }").details
    assert (problem.line, problem.column) == (4, 5)


@pytest.mark.parametrize("level", [1, DEPTH_LIMIT])
def test_the_allowed_nesting_is_not_too_large(level: int):
    assert problems("[" * level + "]" * level).kind == "WrongType"


def test_brackets_in_texts_and_comments_do_not_nest():
    assert (
        problems("['" + "[" * 99 + "', \"" + "{" * 99 + '"] // ' + "[" * 99 + "\n/*" + "[" * 99 + "*/").kind
        == "WrongType"
    )


@pytest.mark.parametrize(
    "raw",
    [b"[" * 100_000, b"x" * 10_000_000, b"[" + b"1," * 32_000 + b"]", b"/*" * 30_000, b"'" * 60_000, b"{a:" * 20_000],
    ids=["nesting", "size", "values", "comments", "quotes", "objects"],
)
def test_a_hostile_text_is_refused_within_ten_seconds(raw: bytes):
    start = monotonic()
    assert problems(raw).details[0].kind in ("DocumentTooLarge", "DocumentSyntax")
    # The limit is one second; a busy machine gets ten.
    assert monotonic() - start < 10


def test_the_same_text_is_read_by_the_grammar_once():
    text = "{ peppy_schema: 'node_v1' } // this comment stands in no other test"
    before = document._read_json5.cache_info().hits
    first, second = problems(text), problems(text)
    assert document._read_json5.cache_info().hits == before + 1
    assert first.details == second.details


def test_a_directory_is_read_through_its_manifest(tmp_path: Path):
    (tmp_path / "peppy.json5").write_text(WHEELS)
    assert read_node(tmp_path).manifest == read_node(tmp_path / "peppy.json5").manifest


def unreadable(path: Path):
    with pytest.raises(InvalidInput) as raised:
        read_node(path)
    (problem,) = raised.value.details
    assert problem.hint
    return problem


def test_a_directory_without_manifest_is_missing_one(tmp_path: Path):
    problem = unreadable(tmp_path)
    assert problem.kind == "DocumentMissing"
    assert f"no peppy.json5 in `{tmp_path}`" in problem.message


def test_a_file_that_is_not_there_is_missing(tmp_path: Path):
    problem = unreadable(tmp_path / "other.json5")
    assert problem.kind == "DocumentMissing"
    assert str(tmp_path / "other.json5") in problem.message


def test_a_pipe_is_not_a_document_and_does_not_stop_the_reader(tmp_path: Path):
    os.mkfifo(tmp_path / "peppy.json5")
    problem = unreadable(tmp_path)
    assert (problem.kind, "not a file" in problem.message) == ("DocumentUnreadable", True)


def test_a_path_through_a_file_is_unreadable(tmp_path: Path):
    (tmp_path / "file").write_text("")
    problem = unreadable(tmp_path / "file" / "peppy.json5")
    assert problem.kind == "DocumentUnreadable"


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_path_that_no_file_can_have_is_unreadable(name: str):
    assert unreadable(Path(name)).kind == "DocumentUnreadable"


def test_bytes_that_are_no_text_are_unreadable(tmp_path: Path):
    (tmp_path / "peppy.json5").write_bytes(b"{ a: '\xff' }")
    problem = unreadable(tmp_path)
    assert problem.kind == "DocumentUnreadable"
    assert "not UTF-8: byte 6 is 0xff" in problem.message


def test_a_large_file_is_refused_by_its_size(tmp_path: Path):
    with open(tmp_path / "peppy.json5", "wb") as file:
        file.truncate(10**12)
    problem = unreadable(tmp_path)
    assert problem.kind == "DocumentTooLarge"
    assert f"{10**12} bytes, the limit is {SIZE_LIMIT} bytes" in problem.message


def test_a_single_value_is_read_for_the_command_line():
    assert parse_value("{ a: [1, 2.5, 'x'] }") == {"a": [1, 2.5, "x"]}


@pytest.mark.parametrize("text", ["", "{", "{ a: 1, a: 2 }", "[" * 99 + "]" * 99, "\ud800"])
def test_what_is_no_single_value_is_a_value_error(text: str):
    with pytest.raises(ValueError, match=r".+"):
        parse_value(text)
