"""Values and suggestions in messages for people."""

import pytest

from peppy.model.text import nearest, quoted


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "`plain`"),
        ("a\nb\x1b[31m", "`a\\nb\\x1b[31m`"),
        ("\u202egnp.exe", "`\\u202egnp.exe`"),
        ("é", "`é`"),
        (None, "`null`"),
        (True, "`true`"),
        ({"a": [1, "x"]}, '`{"a": [1, "x"]}`'),
        (b"\x01\xff", "`01ff`"),
        (2**4000, "`an integer of 4001 bits`"),
        ([2**40000], "`a list with a number of thousands of digits`"),
        ("x" * 100, f"`{'x' * 59}…`"),
    ],
)
def test_a_value_is_shown_on_one_harmless_line(value: object, shown: str):
    assert quoted(value) == shown


def test_the_nearest_choice_does_not_mind_capitals():
    assert nearest("Executoin", ["execution", "manifest"]) == "execution"


def test_nothing_is_near_a_strange_word():
    assert nearest("zzz", ["execution", "manifest"]) is None
