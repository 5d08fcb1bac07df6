"""How `KEY@VALUE` texts become pairs, and what is refused."""

import pytest

from peppy.errors import InvalidInput
from peppy.model.bindings import parse_bindings


def kinds(texts: list[str]) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        parse_bindings(texts)
    return [problem.kind for problem in caught.value.details]


def test_repeated_and_comma_separated_bindings_keep_their_order() -> None:
    assert parse_bindings(["b@two", "a@one,c@three"]) == (("b", "two"), ("a", "one"), ("c", "three"))


def test_two_keys_may_name_one_instance() -> None:
    assert parse_bindings(["a@one", "b@one"]) == (("a", "one"), ("b", "one"))


@pytest.mark.parametrize("text", ["", "a", "a@", "@one", "a@b@c", "a/b@one", "*@one", "a@x y", "a@one,"])
def test_a_text_outside_the_grammar_says_what_was_expected(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected KEY@VALUE") as caught:
        parse_bindings([text])
    assert caught.value.kind == "BindingKeySyntax"


def test_the_underscore_key_is_reserved() -> None:
    assert kinds(["_@one"]) == ["BindingSentinelKey"]


def test_a_key_twice_is_reported_once() -> None:
    assert kinds(["a@one", "a@two", "a@three"]) == ["BindingDuplicateKey"]


def test_all_violations_are_reported_together() -> None:
    assert kinds(["a@one", "a@two", "_@x", "plain"]) == [
        "BindingSentinelKey",
        "BindingKeySyntax",
        "BindingDuplicateKey",
    ]


def test_control_characters_of_a_binding_do_not_reach_the_terminal() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_bindings(["\x1b[2J"])
    assert "\x1b" not in str(caught.value)
