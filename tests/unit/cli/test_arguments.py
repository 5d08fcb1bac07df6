"""The argument of a call: every value a message can have is read, everything else is named (cli.md, Arguments)."""

import io
from typing import Any

import pytest

from peppy.cli.arguments import given_object, message_of, packed
from peppy.cli.usage import Misuse
from peppy.codec import compile_plan, plan_of
from peppy.errors import InvalidInput

EVERYTHING = (
    '[["on","bool",0],["small","u8",0],["deep","i64",0],["gain","f32",0],["exact","f64",0],["name","string",0],'
    '["stamp","time",0],["mask","bytes",0],["image",["u8",0],0],["pose",["f32",3],0],'
    '["header",[["Frame-ID","string",0],["seq","u32",0]],0],'
    '["boxes",[[["score","f32",0],["tag","bytes",0]],0],0],["note","string",1]]'
)
FULL = """{
  on: true, small: 0xff, deep: -9223372036854775808, gain: .5, exact: 1, name: 'Größe', stamp: 1.5, mask: 'AQI=',
  image: [1, 2, 3], pose: [1, 2.5, Infinity], header: { 'Frame-ID': "cam", seq: 7 },
  boxes: [{ score: 0.5, tag: { hex: "0aff" } }],  // note is optional
}"""


def read(text: str | None, format_text: str | None = EVERYTHING) -> Any:
    plan = plan_of("arm/move", format_text, {})
    return plan.decode(packed(plan, message_of(plan, given_object(text))).inside)


def problems(text: str | None, format_text: str | None) -> list[tuple[str, str | None, str]]:
    with pytest.raises(InvalidInput) as raised:
        message_of(plan_of("arm/move", format_text, {}), given_object(text))
    return [(problem.kind, problem.path, problem.message) for problem in raised.value.details]


def hint_of(text: str | None, format_text: str | None) -> str | None:
    with pytest.raises(InvalidInput) as raised:
        message_of(plan_of("arm/move", format_text, {}), given_object(text))
    return raised.value.hint


def test_every_type_is_read_and_travels() -> None:
    message = read(FULL)
    assert (message.on, message.small, message.deep, message.gain, message.exact) == (True, 255, -(2**63), 0.5, 1.0)
    assert (message.name, message.stamp, message.mask, message.image) == ("Größe", 1.5, b"\1\2", b"\1\2\3")
    assert message.pose == [1.0, 2.5, float("inf")]
    assert (message.header.frame_id, message.header.seq) == ("cam", 7)
    assert [(box.score, box.tag) for box in message.boxes] == [(0.5, b"\x0a\xff")]
    assert message.note is None


@pytest.mark.parametrize("written", ['"AQI="', '{ hex: "0102" }', '{ hex: "01 02" }', "[1, 2]"])
@pytest.mark.parametrize("token", ['"bytes"', '["u8",0]', '["u8",2]'])
def test_octets_are_base64_hexadecimal_or_numbers(written: str, token: str) -> None:
    assert read(f"{{ data: {written} }}", f'[["data",{token},0]]').data == b"\1\2"


@pytest.mark.parametrize(
    ("token", "written", "expected"),
    [
        ('"u8"', "256", "an integer from 0 to 255"),
        ('"u8"', "-1", "an integer from 0 to 255"),
        ('"u8"', "1.0", "an integer from 0 to 255"),
        ('"i8"', "true", "an integer from -128 to 127"),
        ('"u64"', "18446744073709551616", "an integer from 0 to 18446744073709551615"),
        ('"bool"', "1", "true or false"),
        ('"string"', "5", "a text"),
        ('"string"', '"\\ud800"', "a text"),
        ('"f32"', "1e39", "a number in the range of `f32`"),
        ('"f64"', '"1"', "a number"),
        ('"time"', "NaN", "a finite number of seconds"),
        ('"time"', '"now"', "seconds since 1970 as a number"),
        ('"bytes"', '"?"', "base64 text, `{ hex: '…' }` or a list of integers from 0 to 255"),
        ('"bytes"', '{ hex: "0" }', "base64 text, `{ hex: '…' }` or a list of integers from 0 to 255"),
        ('"bytes"', "[256]", "base64 text, `{ hex: '…' }` or a list of integers from 0 to 255"),
        ('["f32",3]', "[1, 2]", "3 elements, found 2"),
        ('["u8",3]', '"AQI="', "3 elements, found 2"),
        ('["f32",0]', "5", "a list"),
        ('[["x","u8",0]]', "5", "an object"),
        ('"u8"', "null", "an integer from 0 to 255"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_type(token: str, written: str, expected: str) -> None:
    ((kind, path, text),) = problems(f"{{ value: {written} }}", f'[["value",{token},0]]')
    assert (kind, path) == ("FieldType", "value")
    assert text.endswith(f": expected {expected}")


def test_all_that_is_wrong_is_reported_at_once_with_dotted_paths() -> None:
    text = '{ header: { seq: -1, seqn: 2 }, boxes: [{ score: 1, weight: 2 }, { score: "a" }], speed: 3 }'
    format_text = '[["header",[["seq","u32",0]],0],["boxes",[[["score","f32",0]],0],0],["name","string",0]]'
    assert problems(text, format_text) == [
        ("UnknownField", "speed", "there is no such field, given as `3`"),
        ("UnknownField", "header.seqn", "there is no such field, given as `2`, nearest is `seq`"),
        ("FieldType", "header.seq", "`-1` is no `u32`: expected an integer from 0 to 4294967295"),
        ("UnknownField", "boxes[0].weight", "there is no such field, given as `2`"),
        ("FieldType", "boxes[1].score", '`"a"` is no `f32`: expected a number'),
        ("MissingField", "name", "`string` is missing"),
    ]
    assert hint_of(text, format_text) == "`arm/move` takes `{ header: object, boxes: array[object], name: string }`"


def test_without_argument_every_required_field_is_missing() -> None:
    assert [(kind, path) for kind, path, _ in problems(None, '[["a","u8",0],["b","u8",1]]')] == [("MissingField", "a")]


def test_a_format_without_payload_takes_no_field() -> None:
    assert message_of(compile_plan(None), given_object(None)) is None
    assert message_of(compile_plan(None), given_object("{}")) is None
    assert problems("{ samples: 5 }", None) == [("UnknownField", "samples", "there is no such field, given as `5`")]
    assert hint_of("{ samples: 5 }", None) == "`arm/move` takes no fields: leave the argument out"


@pytest.mark.parametrize(
    "text", ["", "5", "[1]", "null", "{", "{ a: 1, a: 2 }", '{"a": 1, "a": 2}', "samples=5", "[" * 5000]
)
def test_a_text_that_is_no_object_is_a_usage_error(text: str) -> None:
    with pytest.raises(Misuse):
        given_object(text)


def test_standard_input_must_be_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{ samples: \xff }"), encoding="utf-8"))
    with pytest.raises(Misuse, match="no UTF-8 text: invalid start byte at byte 11"):
        given_object("-")


def test_a_dash_reads_the_object_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("{ samples: 5 }"))
    assert given_object("-") == {"samples": 5}


def test_strict_json_may_be_larger_than_a_document() -> None:
    assert len(given_object('{"data": [' + "1," * 100_000 + "1]}")["data"]) == 100_001  # type: ignore[arg-type]
