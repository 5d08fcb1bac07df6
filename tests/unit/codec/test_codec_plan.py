"""What belongs to a plan beside its functions."""

import pytest
from codec_formats import FRAMES, joined

from peppy.codec import GENERATOR_VERSION, compile_plan, plan_of, require_generator
from peppy.codec.canonical import parse_canonical
from peppy.codec.payload import Payload
from peppy.model.types import canonical


@pytest.mark.parametrize("text", [FRAMES, "[]", '[["a",[[["b",[["c","i8",0]],0]],3],1]]', '[["\\u00e9x","bool",0]]'])
def test_canonical_text_reads_back_as_its_format(text: str) -> None:
    assert canonical(parse_canonical(text)) == text


@pytest.mark.parametrize("text", ["x", '[["a","u7",0]]', '[["a",[["u8",0],0],0]]', '[["a","u8"]]'])
def test_text_that_is_no_format_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (json and this package word it differently)
        parse_canonical(text)


def test_given_classes_are_used() -> None:
    class Inner(Payload):
        n: int

    class Outer(Payload):
        inner: Inner

    plan = plan_of("member", '[["inner",[["n","u8",0]],0]]', {"": Outer, "inner": Inner})
    assert plan.decode(plan.encode(Inner(3))) == Outer(Inner(3))


def test_classes_that_are_not_given_are_made() -> None:
    plan = compile_plan(parse_canonical('[["in-ner",[["n",[[["deep","u8",0]],0],0]],0]]'))
    assert [cls.__name__ for cls in plan.classes.values()] == ["MessageInNerN", "MessageInNer", "Message"]


def test_a_message_is_encoded_as_its_fields_are() -> None:
    plan = plan_of("member", FRAMES, {})
    header = plan.classes["header"](7, 1.5, "cam")
    fields = (header, 4, 2, None, b"frame", [0.5], None)
    message = plan.classes[""](*fields)
    assert joined(plan.encode_message(message)) == joined(plan.encode(*fields))


def test_without_payload_only_none_is_encoded() -> None:
    plan = plan_of("zero request", None, {})
    assert plan.encode_message(None) == b""
    with pytest.raises(TypeError, match="`zero request`: expected None, got `int`"):
        plan.encode_message(1)


@pytest.mark.parametrize(("value", "actual"), [(None, "None"), ({"n": 1}, "`dict`"), (3, "`int`")])
def test_what_is_no_message_of_the_plan_is_refused_by_the_name_of_its_class(value: object, actual: str) -> None:
    class Response(Payload):
        n: int

    plan = plan_of("zero response", '[["n","u8",0]]', {"": Response})
    with pytest.raises(TypeError, match=f"`zero response`: expected `Response`, got {actual}"):
        plan.encode_message(value)


def test_a_message_with_a_wrong_field_is_refused_by_the_name_of_the_field() -> None:
    plan = plan_of("zero response", '[["n","u8",0]]', {})
    with pytest.raises(ValueError, match="field `n`: `300` is out of range"):
        plan.encode_message(plan.classes[""](300))


def test_code_of_another_generator_is_refused_with_the_command_that_helps() -> None:
    require_generator(GENERATOR_VERSION)
    with pytest.raises(ImportError, match="run `peppy node sync`"):
        require_generator(GENERATOR_VERSION + 1)
