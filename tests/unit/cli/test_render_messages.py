"""Messages and windows as they are printed (docs/reference/cli.md, Topics of a running stack)."""

import json
import math
from typing import Any

import numpy
import pytest

from peppy.cli.render.messages import select, value_data, value_lines
from peppy.cli.render.rates import bw_data, bw_text, hz_data, hz_text, size_text
from peppy.codec import Gathered, compile_plan
from peppy.errors import PeppyError
from peppy.model.types import Array, Field, MessageFormat, Object, Scalar, Token
from peppy.runtime.rates import Window


def scalar(token: Token) -> Scalar:
    return Scalar(token)


MARK = Object((Field("id", scalar(Token.U32)), Field("label", scalar(Token.STRING))))
FORMAT = MessageFormat(
    (
        Field("stamp", scalar(Token.TIME)),
        Field("gain", scalar(Token.F32)),
        Field("pose", Object((Field("x", scalar(Token.F64)), Field("y", scalar(Token.F64)))), optional=True),
        Field("ranges", Array(scalar(Token.F32))),
        Field("flags", Array(scalar(Token.U8), 4)),
        Field("words", Array(scalar(Token.STRING))),
        Field("jpeg", scalar(Token.BYTES)),
        Field("marks", Array(MARK)),
        Field("note", scalar(Token.STRING), optional=True),
    )
)
PLAN = compile_plan(FORMAT)


def message(**given: Any) -> Any:
    """A message as `topic echo` decodes it: views into the payload."""
    pose, mark = PLAN.classes["pose"], PLAN.classes["marks"]
    values = {
        "stamp": 1.5,
        "gain": 0.1,
        "pose": pose(1.0, -2.5),
        "ranges": numpy.array([0.1, 0.2, 0.3], "f4"),
        "flags": b"\x01\x02\x03\x04",
        "words": ["a", "b"],
        "jpeg": b"\xff\xd8",
        "marks": [mark(1, "left"), mark(2, "right")],
        "note": None,
        **given,
    }
    encoded = PLAN.encode(*values.values())
    assert isinstance(encoded, Gathered)
    data = bytearray(encoded.length)
    for part, offset in [(encoded.head, 0), *encoded.parts]:
        octets = memoryview(part).cast("B")
        data[offset : offset + len(octets)] = octets
    return PLAN.decode(memoryview(data), owned=False)


def lines(value: Any, path: str | None = None, *, full: bool = False) -> list[str]:
    selection = select("a/b", FORMAT, path)
    return value_lines(selection.type, selection.of(value), full=full)


def test_a_message_is_an_indented_tree() -> None:
    assert lines(message()) == [
        "stamp: 1.5",
        "gain: 0.1",
        "pose:",
        "  x: 1.0",
        "  y: -2.5",
        "ranges: [0.1, 0.2, 0.3]",
        "flags: [1, 2, 3, 4]",
        'words: ["a", "b"]',
        "jpeg: <2 bytes>",
        "marks:",
        "  - id: 1",
        '    label: "left"',
        "  - id: 2",
        '    label: "right"',
        "note: null",
    ]


def test_an_absent_object_is_null_and_an_empty_array_is_empty() -> None:
    told = lines(message(pose=None, marks=[], ranges=numpy.zeros(0, "f4"), words=[], jpeg=b""))
    assert told[2:4] == ["pose: null", "ranges: []"]
    assert told[5:8] == ["words: []", "jpeg: <0 bytes>", "marks: []"]


def test_arrays_of_more_than_16_are_cut() -> None:
    assert lines(message(ranges=numpy.full(16, 0.1, "f4")), "ranges") == [f"[{', '.join(['0.1'] * 16)}]"]
    assert lines(message(ranges=numpy.full(1000, 0.1, "f4")), "ranges") == ["[0.1, 0.1, … 1000 elements]"]
    assert lines(message(words=["w"] * 17), "words") == ['["w", "w", … 17 elements]']
    mark = PLAN.classes["marks"]
    cut = lines(message(marks=[mark(number, "m") for number in range(17)]), "marks")
    assert cut == ["- id: 0", '  label: "m"', "- id: 1", '  label: "m"', "… 17 elements"]


def test_full_cuts_nothing() -> None:
    assert lines(message(ranges=numpy.full(17, 0.1, "f4")), "ranges", full=True) == [f"[{', '.join(['0.1'] * 17)}]"]
    assert lines(message(), "jpeg", full=True) == ["ffd8"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("pose.x", "1.0"), ("stamp", "1.5"), ("flags", "[1, 2, 3, 4]"), ("jpeg", "<2 bytes>")],
)
def test_a_field_is_printed_alone(path: str, expected: str) -> None:
    assert lines(message(), path) == [expected]


def test_a_field_of_an_absent_object_is_null() -> None:
    assert lines(message(pose=None), "pose.x") == ["null"]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("pose.xx", "did you mean `pose.x`?"),
        ("marks.id", "did you mean `marks`?"),
        ("", "it has `stamp`, `gain`"),
        ("qqqq", "it has `stamp`, `gain`, `pose`, `pose.x`"),
    ],
)
def test_a_field_that_does_not_exist_is_named(path: str, hint: str) -> None:
    with pytest.raises(PeppyError) as raised:
        select("a/b", FORMAT, path)
    assert raised.value.kind == "NotFound"
    assert f"`a/b` has no field `{path}`" in raised.value.message
    assert hint in (raised.value.hint or "")


def test_a_topic_without_payload_is_empty_and_has_no_fields() -> None:
    assert value_lines(select("a/b", None, None).type, None, full=False) == ["(empty)"]
    with pytest.raises(PeppyError, match="has no payload"):
        select("a/b", None, "x")


def test_text_of_nodes_cannot_move_the_cursor() -> None:
    (told,) = lines(message(words=["\x1b[2J", "\x9b2J", "\u202e"]), "words")
    assert told.isprintable()


def test_json_has_bytes_as_their_number_or_as_base64() -> None:
    assert value_data(Object(FORMAT.fields), message(), full=False) == {
        "stamp": 1.5,
        "gain": 0.1,
        "pose": {"x": 1.0, "y": -2.5},
        "ranges": [0.1, 0.2, 0.3],
        "flags": [1, 2, 3, 4],
        "words": ["a", "b"],
        "jpeg": {"bytes": 2},
        "marks": [{"id": 1, "label": "left"}, {"id": 2, "label": "right"}],
        "note": None,
    }
    assert value_data(Scalar(Token.BYTES), b"\xff\xd8", full=True) == "/9g="


def test_json_has_no_numbers_that_json_has_not() -> None:
    pose = PLAN.classes["pose"]
    data = value_data(Object(FORMAT.fields), message(pose=pose(math.inf, 1.0), gain=math.nan), full=False)
    assert (data["pose"], data["gain"]) == ({"x": None, "y": 1.0}, None)
    json.dumps(data, allow_nan=False)
    assert lines(message(gain=math.nan), "gain") == ["NaN"]


@pytest.mark.parametrize("value", [0.1, 1e-45, 3.4028234663852886e38, 1 / 3, -0.0, 16777217.0])
def test_short_floats_are_the_same_in_32_bits(value: float) -> None:
    narrow = float(numpy.float32(value))
    (told,) = value_lines(Scalar(Token.F32), narrow, full=False)
    assert numpy.float32(told) == numpy.float32(value)
    assert len(told) <= len(repr(narrow))


# --- windows ---------------------------------------------------------------------------------------------------------

CAMERA = Window(30, 30.002, 33_100_000, 33_649_000, 2, 186_640_000.4, 6_220_844.0, 6_220_844, 6_220_844)
IMU = Window(10_000, 10_000.04, 98_200, 1_204_000, 0, 640_002.6, 64.0, 64, 64)
NOTHING = Window(0, 0.0, None, None, 0, 0.0, None, None, None)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (CAMERA, "rate 30.0 Hz  min 33.1 ms  max 33.6 ms  lost 2"),
        (IMU, "rate 10000.0 Hz  min 0.098 ms  max 1.20 ms  lost 0"),
        (NOTHING, "rate 0.00 Hz  min -  max -  lost 0"),
    ],
)
def test_hz_is_one_line(window: Window, expected: str) -> None:
    assert hz_text(window) == expected


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (CAMERA, "186.6 MB/s  mean 6.22 MB  min 6.22 MB  max 6.22 MB"),
        (IMU, "640.0 kB/s  mean 64 B  min 64 B  max 64 B"),
        (NOTHING, "0 B/s  mean -  min -  max -"),
    ],
)
def test_bw_is_one_line(window: Window, expected: str) -> None:
    assert bw_text(window) == expected


def test_windows_as_data_have_numbers() -> None:
    assert hz_data(CAMERA) == {"rate_hz": 30.002, "min_ms": 33.1, "max_ms": 33.649, "lost": 2}
    assert hz_data(NOTHING) == {"rate_hz": 0.0, "min_ms": None, "max_ms": None, "lost": 0}
    assert bw_data(IMU) == {"bytes_per_s": 640002.6, "mean_bytes": 64.0, "min_bytes": 64, "max_bytes": 64}


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 B"), (999, "999 B"), (64.25, "64.2 B"), (1000, "1.00 kB"), (999_990, "1.00 MB"), (5e15, "5000.0 TB")],
)
def test_sizes_have_decimal_units(size: float, expected: str) -> None:
    assert size_text(size) == expected
