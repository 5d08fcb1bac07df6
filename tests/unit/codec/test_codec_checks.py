"""Values are checked when they are sent (docs/reference/messages.md, Python types and Checks on send)."""

import array
import math
from fractions import Fraction
from typing import Any

import numpy
import pytest
from codec_formats import BOXES, FRAMES, IMAGE, joined, plan

MAX = 3.4028234663852886e38


def sent(kind: str, value: Any) -> Any:
    """What a receiver sees of one field `x` of this canonical type."""
    one = plan(f'[["x",{kind},0]]')
    return one.decode(joined(one.encode(value))).x


def listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, numpy.ndarray) else value


ACCEPTED = [
    ('"bool"', True, True),
    ('"bool"', numpy.bool_(False), False),
    ('"u8"', 255, 255),
    ('"u64"', 2**64 - 1, 2**64 - 1),
    ('"i64"', -(2**63), -(2**63)),
    ('"u16"', numpy.uint8(7), 7),
    ('"f64"', 3, 3.0),
    ('"f64"', Fraction(1, 2), 0.5),
    ('"f64"', math.inf, math.inf),
    ('"f32"', 0.1, 0.10000000149011612),
    ('"f32"', numpy.float32(0.1), 0.10000000149011612),
    ('"f32"', 16777217, 16777216.0),
    ('"f32"', 3.4028235e38, MAX),
    ('"f32"', -math.inf, -math.inf),
    ('"time"', 5, 5.0),
    ('"time"', -1.5, -1.5),
    ('"string"', "grüße", "grüße"),
    ('"bytes"', bytearray(b"ab"), b"ab"),
    ('"bytes"', memoryview(b"abcd")[::2], b"ac"),
    ('"bytes"', numpy.arange(3, dtype="u1"), b"\0\1\2"),
    ('"bytes"', (1, 2, 255), b"\1\2\xff"),
    ('"bytes"', range(3), b"\0\1\2"),
    ('["u8",0]', numpy.array([[1, 2], [3, 4]], "i8"), b"\1\2\3\4"),
    ('["u8",2]', array.array("B", [1, 2]), b"\1\2"),
    ('["i32",3]', [1, -2, 3], [1, -2, 3]),
    ('["i32",3]', numpy.array([1, 2, 3], "i8"), [1, 2, 3]),
    ('["i32",2]', array.array("i", [5, 6]), [5, 6]),
    ('["f32",2]', (0.1, 1), [0.10000000149011612, 1.0]),
    ('["f32",2]', numpy.array([0.5, 2.0], "f4"), [0.5, 2.0]),
    ('["bool",2]', [True, False], [True, False]),
    ('["f32",0]', [0.1, 1.0], [0.10000000149011612, 1.0]),
    ('["f32",0]', [1, 2], [1.0, 2.0]),
    ('["f32",0]', numpy.array([1, 2], "i4"), [1.0, 2.0]),
    ('["f32",0]', numpy.array([1, 2], ">f4"), [1.0, 2.0]),
    ('["f64",0]', numpy.arange(6.0)[::2], [0.0, 2.0, 4.0]),
    ('["f64",0]', array.array("f", [1.5]), [1.5]),
    ('["f64",0]', [numpy.float32(1.5), 2], [1.5, 2.0]),
    ('["u16",0]', numpy.array([[1, 2], [3, 4]], "u2").T, [1, 3, 2, 4]),
    ('["u16",0]', b"\1\2", [1, 2]),
    ('["i16",17]', list(range(17)), list(range(17))),
    ('["bool",0]', numpy.array([True, False]), [True, False]),
    ('["bool",0]', [], []),
    ('["string",0]', ("a", "ü"), ["a", "ü"]),
    ('["time",0]', [1, 2.5], [1.0, 2.5]),
    ('["bytes",0]', [b"a", bytearray(b"b")], [b"a", b"b"]),
]


@pytest.mark.parametrize(("kind", "value", "expected"), ACCEPTED)
def test_an_accepted_value_arrives(kind: str, value: Any, expected: Any) -> None:
    assert listed(sent(kind, value)) == expected


def test_nan_is_legal_in_floats() -> None:
    assert math.isnan(sent('"f32"', math.nan))
    assert math.isnan(sent('["f32",2]', [0.0, math.nan])[1])
    assert math.isnan(sent('["f32",0]', [math.nan])[0])


REFUSED_TYPES = [
    ('"bool"', 1, "field `x`: expected `bool`, got `int`"),
    ('"u8"', True, "field `x`: expected `int` for `u8`, got `bool`"),
    ('"u8"', numpy.bool_(True), "got `bool`"),
    ('"u8"', 1.0, "got `float`"),
    ('"u8"', None, "field `x`: expected `int` for `u8`, got None"),
    ('"u8"', "1", "got `str`"),
    ('"f32"', True, "expected `float` for `f32`, got `bool`"),
    ('"f64"', "1.0", "got `str`"),
    ('"f64"', numpy.zeros(1), "got `ndarray`"),
    ('"time"', numpy.float32(1), "got `float32`"),
    ('"time"', True, "got `bool`"),
    ('"string"', b"abc", "expected `str`, got `bytes`"),
    ('"bytes"', "abc", "got `str`"),
    ('"bytes"', [1, True], "field `x[1]`: expected `int` for `u8`, got `bool`"),
    ('"bytes"', numpy.zeros(2, "f4"), "field `x`: expected elements of `u8`, got `float32`"),
    ('["i32",2]', [1, 2.0], "field `x[1]`: expected `int` for `i32`, got `float`"),
    ('["i32",2]', 5, "field `x`: expected a list of `i32`, got `int`"),
    ('["f32",2]', "ab", "got `str`"),
    ('["f32",0]', "ab", "got `str`"),
    ('["f32",0]', [1.0, True], "field `x[1]`"),
    ('["u16",0]', numpy.zeros(2), "got `float64`"),
    ('["bool",0]', numpy.zeros(2, "u1"), "expected elements of `bool`, got `uint8`"),
    ('["bool",0]', [True, 1], "field `x[1]`: expected `bool`, got `int`"),
    ('["string",0]', "abc", "expected a list of `string`, got `str`"),
    ('["string",0]', ["a", None], "field `x[1]`: expected `str`, got None"),
]
REFUSED_VALUES = [
    ('"u8"', 256, "field `x`: `256` is out of range for `u8` (0 to 255)"),
    ('"i8"', -129, "`-129` is out of range for `i8`"),
    ('"u64"', -1, "`-1` is out of range for `u64`"),
    ('"f32"', 3.5e38, "field `x`: `3.5e+38` is too large for `f32`"),
    ('"f32"', 10**400, "is too large for `f32`"),
    ('"time"', math.inf, "field `x`: a time must be finite"),
    ('"time"', math.nan, "field `x`: a time must be finite"),
    ('"string"', "a\ud800", "field `x`: 'a\\ud800' cannot be encoded as UTF-8"),
    ('["i32",3]', [1, 2], "field `x`: expected `3` elements, got `2`"),
    ('["u8",3]', b"ab", "field `x`: expected `3` elements, got `2`"),
    ('["f64",17]', [0.0] * 16, "field `x`: expected `17` elements, got `16`"),
    ('["i8",2]', [1, 128], "field `x[1]`: `128` is out of range for `i8`"),
    ('["u16",0]', [1, 70000], "field `x[1]`: `70000` is out of range for `u16`"),
    ('["u16",0]', numpy.array([[1, 2], [3, -4]]), "field `x[3]`: `-4` is out of range for `u16`"),
    ('["f32",2]', [0.0, 1e39], "field `x[1]`: `1e+39` is too large for `f32`"),
    ('["f32",0]', [0.0, 1e39], "field `x[1]`: `1e+39` is too large for `f32`"),
    ('["f32",0]', numpy.array([1e39]), "field `x[0]`: `1e+39` is too large for `f32`"),
    ('"bytes"', [1, 256], "field `x[1]`: `256` is out of range for `u8`"),
]


@pytest.mark.parametrize(("kind", "value", "text"), REFUSED_TYPES)
def test_a_wrong_type_is_a_type_error_with_path_and_types(kind: str, value: Any, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        sent(kind, value)
    assert text in str(caught.value)


@pytest.mark.parametrize(("kind", "value", "text"), REFUSED_VALUES)
def test_a_wrong_value_is_a_value_error_with_path_and_value(kind: str, value: Any, text: str) -> None:
    with pytest.raises(ValueError, match="field `x") as caught:
        sent(kind, value)
    assert text in str(caught.value)


def test_the_first_failing_field_in_declaration_order_is_reported() -> None:
    three = plan('[["a","f32",0],["boxes",[[["n","u8",0]],0],0],["c","u8",0]]')
    item = three.classes["boxes"]
    with pytest.raises(ValueError, match=r"field `a`"):
        three.encode(1e39, [item(256)], "x")
    with pytest.raises(ValueError, match=r"field `boxes\[1\].n`"):
        three.encode(1.0, [item(1), item(256)], "x")
    with pytest.raises(TypeError, match=r"field `c`"):
        three.encode(1.0, [item(1)], "x")


def test_a_nested_field_is_named_by_its_dotted_path() -> None:
    frames = plan(FRAMES)
    header = frames.classes["header"]
    with pytest.raises(TypeError, match=r"field `header.frame_id`: expected `str`, got `int`"):
        frames.encode(header(1, 2.0, 3), 1, 1, None, b"", [], None)
    with pytest.raises(TypeError, match=r"field `header`: expected `MessageHeader`, got None"):
        frames.encode(None, 1, 1, None, b"", [], None)


def test_another_class_with_the_same_fields_is_refused() -> None:
    frames, other = plan(FRAMES), plan(FRAMES)
    with pytest.raises(TypeError, match="field `header`: expected `MessageHeader`"):
        frames.encode(other.classes["header"](1, 2.0, "a"), 1, 1, None, b"", [], None)


@pytest.mark.parametrize("position", range(7))
def test_only_optional_fields_take_none(position: int) -> None:
    frames = plan(FRAMES)
    values: list[Any] = [frames.classes["header"](1, 2.0, "a"), 1, 1, "n", b"", [], b""]
    values[position] = None
    if position in (3, 6):
        assert frames.decode(joined(frames.encode(*values)))
    else:
        with pytest.raises(TypeError, match="got None"):
            frames.encode(*values)


def test_values_inside_arrays_of_objects_are_checked() -> None:
    boxes = plan(BOXES)
    item, at = boxes.classes["boxes"], boxes.classes["boxes.at"]
    good: list[Any] = ["a", [1, 2], [0.5], b"raw", [1, 2, 3], at(1)]
    assert boxes.decode(joined(boxes.encode((item(*good),)))).boxes[0].tiny == b"\1\2\3"
    wrong = {0: 1, 1: [1, 2, 3], 2: [1e39], 3: "raw", 4: [1, 2], 5: at("x")}
    for position, value in wrong.items():
        values = [*good[:position], value, *good[position + 1 :]]
        with pytest.raises((TypeError, ValueError), match=r"field `boxes\[0\]\.") as caught:
            boxes.encode([item(*values)])
        assert list(item.__struct_fields__)[position] in str(caught.value)


def test_an_encoder_works_after_a_refused_value() -> None:
    image = plan(IMAGE)
    with pytest.raises(TypeError):
        image.encode(5, "x")
    assert image.decode(joined(image.encode(None, "x"))).tail == "x"
