"""Values of parameters against their declaration (docs/reference/manifest.md, Values)."""

import json

import pytest

from peppy.errors import InvalidInput, PeppyError
from peppy.model.parameters import ArrayOf, Group, Leaf, Parameter, assign, from_json, resolve, to_json, type_text
from peppy.model.types import INTEGERS, Token


def group(**members: Leaf | Group | ArrayOf) -> Group:
    return Group(tuple(Parameter(name, kind) for name, kind in members.items()))


def leaf(token: str, default: bool | int | float | str | None = None) -> Leaf:
    return Leaf(Token(token), default)


CAMERA = group(
    device=leaf("string"),
    rate_hz=leaf("f64", 30.0),
    video=group(width=leaf("u16", 640), height=leaf("u16", 480), crop=group(left=leaf("u16"), top=leaf("u16", 0))),
    marks=ArrayOf(group(x=leaf("i32"), y=leaf("i32", 5))),
)
COMPLETE: dict[str, object] = {"device": "/dev/video0", "video": {"crop": {"left": 1}}, "marks": []}


def problems(declared: Group, supplied: dict[str, object]):
    with pytest.raises(InvalidInput) as raised:
        resolve(declared, supplied)
    assert all(problem.hint for problem in raised.value.details)
    return raised.value.details


def strict_json(text: str) -> object:
    return json.loads(text)


def test_defaults_fill_partly_supplied_groups_in_declaration_order():
    values = resolve(CAMERA, {"marks": [], "video": {"crop": {"left": 7}, "height": 100}, "device": "d"})
    assert json.dumps(values) == json.dumps(
        {
            "device": "d",
            "rate_hz": 30.0,
            "video": {"width": 640, "height": 100, "crop": {"left": 7, "top": 0}},
            "marks": [],
        }
    )


def test_defaults_fill_the_items_of_arrays():
    assert resolve(CAMERA, {**COMPLETE, "marks": [{"x": 1}, {"y": 2, "x": 3}]})["marks"] == [
        {"x": 1, "y": 5},
        {"x": 3, "y": 2},
    ]


def test_a_group_whose_members_all_have_defaults_may_be_absent():
    assert resolve(group(a=group(b=leaf("u8", 3))), {}) == {"a": {"b": 3}}


def test_resolving_a_result_again_gives_the_same():
    values = resolve(CAMERA, COMPLETE)
    assert resolve(CAMERA, values) == values


def test_all_missing_parameters_are_named_in_one_message():
    (problem,) = problems(CAMERA, {"marks": [{}]})
    assert problem.kind == "MissingParameters"
    assert problem.message == "Missing required parameters: device, video.crop.left, marks[0].x"


def test_an_unknown_parameter_names_the_nearest_one():
    (problem,) = problems(CAMERA, {**COMPLETE, "video": {"widht": 1, "crop": {"left": 1}}})
    assert (problem.kind, problem.path) == ("UnknownParameter", "video.widht")
    assert problem.located() == "video.widht: there is no such parameter, nearest is `width`"


def test_missing_unknown_and_wrong_values_are_reported_together():
    found = problems(CAMERA, {"devise": 1, "rate_hz": "fast", "video": {"crop": []}, "marks": 1})
    assert [(problem.kind, problem.path) for problem in found] == [
        ("MissingParameters", None),
        ("UnknownParameter", "devise"),
        ("ParameterType", "rate_hz"),
        ("ParameterType", "video.crop"),
        ("ParameterType", "marks"),
    ]


@pytest.mark.parametrize(
    ("token", "value"),
    [
        *[(token.value, low - 1) for token, (low, _) in INTEGERS.items()],
        *[(token.value, high + 1) for token, (_, high) in INTEGERS.items()],
        ("u8", True),
        ("u8", 1.0),
        ("u8", "1"),
        ("u8", None),
        ("bool", 1),
        ("bool", "true"),
        ("string", 1),
        ("string", b"x"),
        ("string", "\ud800"),
        ("bytes", [1]),
        ("f64", "1"),
        ("f64", True),
        ("f64", float("nan")),
        ("f64", float("inf")),
        ("f64", 10**400),
        ("f32", 1e39),
        ("time", "now"),
        ("time", float("-inf")),
    ],
)
def test_another_type_or_range_is_refused_with_the_declared_type(token: str, value: object):
    (problem,) = problems(group(a=leaf(token)), {"a": value})
    assert (problem.kind, problem.path) == ("ParameterType", "a")
    assert f"` does not fit `{token}`: expected " in problem.message
    assert problem.message.startswith("`")


@pytest.mark.parametrize("token", list(INTEGERS))
def test_the_ends_of_a_range_are_inside(token: Token):
    low, high = INTEGERS[token]
    assert resolve(group(a=Leaf(token), b=Leaf(token)), {"a": low, "b": high}) == {"a": low, "b": high}


def test_floats_take_integers_and_become_floats():
    values = resolve(group(a=leaf("f32"), b=leaf("f64"), c=leaf("time")), {"a": 1, "b": 2, "c": 3})
    assert [type(value) for value in values.values()] == [float, float, float]


def test_bytes_take_a_string_as_its_utf8_bytes():
    assert resolve(group(a=leaf("bytes"), b=leaf("bytes")), {"a": "é", "b": b"\xff"}) == {
        "a": b"\xc3\xa9",
        "b": b"\xff",
    }


def test_an_array_of_another_length_is_refused():
    (problem,) = problems(group(a=ArrayOf(leaf("u8"), 3)), {"a": [1, 2]})
    assert problem.kind == "ParameterType"
    assert problem.located() == "a: `[1, 2]` does not fit `array[u8; 3]`: expected 3 items, found 2"


def test_a_wrong_item_is_named_by_its_index():
    (problem,) = problems(group(a=ArrayOf(leaf("u8"))), {"a": [1, 256, 2]})
    assert problem.path == "a[1]"


def test_a_text_is_no_array():
    (problem,) = problems(group(a=ArrayOf(leaf("string"))), {"a": "xyz"})
    assert problem.path == "a"


def test_types_are_written_as_people_read_them():
    assert [type_text(member.type) for member in CAMERA.members] == ["string", "f64", "object", "array[object]"]


ANYTHING = group(
    flag=leaf("bool"), count=leaf("i16"), ratio=leaf("f32"), text=leaf("string"), raw=leaf("bytes"), at=leaf("time"),
    video=group(width=leaf("u16"), height=leaf("u16")), list=ArrayOf(leaf("u8")),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "supplied"),
    [
        ("flag=TRUE", {"flag": True}),
        ("flag=false", {"flag": False}),
        ("count=-12", {"count": -12}),
        ("count=+012", {"count": 12}),
        ("ratio=1", {"ratio": 1.0}),
        ("ratio=-1.5e3", {"ratio": -1500.0}),
        ("text=1.0", {"text": "1.0"}),
        ("text=", {"text": ""}),
        ("text=a=b", {"text": "a=b"}),
        ("raw=é", {"raw": "é"}),
        ("at=1700000000.25", {"at": 1700000000.25}),
        ("video.width=640", {"video": {"width": 640}}),
        ('video={"width": 640}', {"video": {"width": 640}}),
        ("list=[1, 2]", {"list": [1, 2]}),
    ],
)
def test_text_is_converted_by_the_declared_type(text: str, supplied: dict[str, object]):
    assert assign(ANYTHING, [text], strict_json) == supplied


def test_members_of_one_group_come_together():
    assert assign(ANYTHING, ["video.width=1", "video.height=2"], strict_json) == {"video": {"width": 1, "height": 2}}


@pytest.mark.parametrize(
    "text",
    [
        "flag=yes", "flag=1", "count=1.0", "count= 1", "count=0x10", "count=1_0", "count=٣", "count=40000", "count=",
        "ratio=nan", "ratio=inf", "ratio=1e99", "ratio=1_0", "ratio= 1", "at=today", "text=\ud800",
        "list=[1", "list=1", "list=[300]", "video=3", 'video={"width": -1}',
    ],
)  # fmt: skip
def test_text_of_another_type_is_refused(text: str):
    with pytest.raises(InvalidInput) as raised:
        assign(ANYTHING, [text], strict_json)
    (problem,) = raised.value.details
    assert problem.kind == "ParameterType"
    assert problem.hint


@pytest.mark.parametrize("text", ["wdith=1", "video.wdith=1", "count.x=1", "video.width.x=1", "video.=1", "list[0]=1"])
def test_an_unknown_key_is_refused_by_its_whole_path(text: str):
    with pytest.raises(InvalidInput) as raised:
        assign(ANYTHING, [text], strict_json)
    (problem,) = raised.value.details
    assert (problem.kind, problem.path) == ("UnknownParameter", text.partition("=")[0])


@pytest.mark.parametrize(
    "texts",
    [["count"], ["=1"], ["count=1", "count=1"], ["video={}", "video.width=1"], ["video.width=1", "video={}"]],
)
def test_no_value_and_a_key_given_twice_are_usage_errors(texts: list[str]):
    with pytest.raises(PeppyError) as raised:
        assign(ANYTHING, texts, strict_json)
    assert raised.value.kind == "Usage"
    assert raised.value.hint


def test_all_wrong_arguments_are_reported_together():
    with pytest.raises(InvalidInput) as raised:
        assign(ANYTHING, ["flag=yes", "wdith=1", "count=x"], strict_json)
    assert [problem.kind for problem in raised.value.details] == ["ParameterType", "UnknownParameter", "ParameterType"]


def test_values_survive_strict_json():
    declared = group(raw=leaf("bytes"), parts=ArrayOf(leaf("bytes")), inner=group(raw=leaf("bytes"), big=leaf("u64")))
    values = resolve(declared, {"raw": b"\x00\xff", "parts": [b"", b"a"], "inner": {"raw": b"\x80", "big": 2**64 - 1}})
    text = json.dumps(to_json(declared, values), allow_nan=False)
    assert from_json(declared, json.loads(text)) == values


def test_bytes_are_written_as_base64():
    assert to_json(group(raw=leaf("bytes")), {"raw": b"\x00\xff"}) == {"raw": "AP8="}


@pytest.mark.parametrize("value", ["not base64!", "AP8", 5, None, ["AP8="]])
def test_what_is_no_base64_is_refused(value: object):
    with pytest.raises(InvalidInput):
        from_json(group(raw=leaf("bytes")), {"raw": value})
