"""The short way of arrays of floats gives what the careful checks give (docs/reference/messages.md, Checks on send)."""

import array
import gc
import math
import struct
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import numpy
import pytest
from codec_formats import joined, plan
from hypothesis import given, settings
from hypothesis import strategies as st

from peppy.codec import layout
from peppy.codec._floats import doubles, singles
from peppy.codec.checks import list_check
from peppy.codec.encoding import compile_loan_encoder
from peppy.model.types import Token

MAX = 3.4028234663852886e38
BEYOND = 3.4028235677973366e38  # the first that is rounded to infinity
SMALLEST = 1.401298464324817e-45
NANS = [struct.unpack("<d", bits.to_bytes(8, "little"))[0] for bits in (0x7FF8 << 48, 0xFFF8 << 48)]
NANS += [struct.unpack("<d", bits.to_bytes(8, "little"))[0] for bits in (0x7FF8DEADBEEF0001, 0x7FF0000000000001)]
FLOATS = [
    *(0.0, 1.0, 0.1, math.pi, 16777217.0, 5e-324, 2.2250738585072014e-308, 1.1754943508222875e-38, SMALLEST),
    *(SMALLEST / 2, math.nextafter(SMALLEST / 2, 1), math.nextafter(SMALLEST / 2, 0), MAX, math.nextafter(BEYOND, 0)),
    *(BEYOND, 1e39, sys.float_info.max, math.inf),
]
FLOATS += [-number for number in FLOATS] + NANS


class Real(float):
    """A float of somebody's own."""


class Row(list[float]):
    """A list of somebody's own."""


class Pair(tuple[float, ...]):
    """A tuple of somebody's own."""

    __slots__ = ()


OTHERS = [
    *(0, -1, 2**53 + 1, 10**400, True, False, None, "1.0", b"1", [], [1.0], (), 1j, object(), Real(0.1)),
    *(Decimal("0.1"), Fraction(1, 3), numpy.float32(0.1), numpy.float64(0.1), numpy.int64(3), numpy.bool_(True)),
    *(numpy.float64(1e39), numpy.zeros(1), numpy.array(1.0)),
]
CONTAINERS: list[Callable[[list[Any]], Any]] = [list, tuple, Row, Pair]
WHOLE = [
    *(None, 1.0, "ab", b"ab", {}, {1.0: 2.0}, {1.0, 2.0}, range(2), iter([1.0, 2.0]), array.array("d", [1, 2])),
    *(array.array("f", [1, 2]), memoryview(array.array("d", [1, 2])), numpy.ones(2), numpy.ones(2, "f4"), object()),
    *(numpy.ones((2, 1)), numpy.array([1e39, 0]), numpy.array([True, False]), [[1.0, 2.0]], ([1.0], [2.0])),
]
WAYS = {Token.F32: singles, Token.F64: doubles}


def bits(numbers: Any) -> list[bytes]:
    assert all(type(number) is float for number in numbers)
    return [struct.pack("<d", number) for number in numbers]


def checked(token: Token, value: Any, count: int) -> list[bytes] | None:
    """What the careful check makes of it; None when it is refused."""
    try:
        return bits(list_check(token, count)(value, "x"))
    except (TypeError, ValueError):
        return None


both = pytest.mark.parametrize("token", WAYS)


@both
@pytest.mark.parametrize("container", [list, tuple])
@pytest.mark.parametrize("number", FLOATS)
def test_a_float_is_what_the_careful_check_makes_of_it(token: Token, container: Any, number: float) -> None:
    found, value = WAYS[token](container([number]), 1), container([number])
    assert (None if found is None else bits(found)) == checked(token, value, 1)


@both
def test_random_floats_are_what_the_careful_check_makes_of_them(token: Token) -> None:
    random = Random(20)
    for _ in range(5000):
        count = random.randrange(1, 17)
        value = [struct.unpack("<d", random.randbytes(8))[0] for _ in range(count)]
        found = WAYS[token](value, count)
        assert (None if found is None else bits(found)) == checked(token, value, count)


def test_random_singles_stay_as_they_are() -> None:
    random = Random(21)
    for _ in range(5000):
        (number,) = struct.unpack("<f", random.randbytes(4))
        if not math.isnan(number):
            assert singles([number], 1) == (number,)


@both
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_what_is_no_float_needs_a_closer_look(token: Token, other: Any, position: int) -> None:
    value = [0.5, 0.5, 0.5]
    value[position] = other
    assert WAYS[token](value, 3) is None


@both
@pytest.mark.parametrize("container", [Row, Pair])
def test_containers_of_somebodys_own_need_a_closer_look(token: Token, container: Any) -> None:
    assert WAYS[token](container([1.0, 2.0]), 2) is None


@both
@pytest.mark.parametrize("value", WHOLE)
def test_what_is_no_list_or_tuple_of_floats_needs_a_closer_look(token: Token, value: Any) -> None:
    assert WAYS[token](value, 2) is None


@both
@pytest.mark.parametrize("count", [-(2**63), -1, 0, 1, 3, 2**63 - 1])
def test_another_number_of_elements_needs_a_closer_look(token: Token, count: int) -> None:
    assert WAYS[token]([1.0, 2.0], count) is None


@both
@pytest.mark.parametrize("container", [list, tuple])
def test_no_elements_are_an_empty_tuple(token: Token, container: Any) -> None:
    assert WAYS[token](container(), 0) == ()


def test_a_tuple_of_doubles_is_handed_back() -> None:
    value = (1.0, 2.0)
    assert doubles(value, 2) is value


@both
def test_what_is_handed_out_does_not_change_with_the_list(token: Token) -> None:
    value = [1.0, 2.0]
    found = WAYS[token](value, 2)
    value[0] = 3.0
    assert found == (1.0, 2.0)


@both
@pytest.mark.parametrize("arguments", [(), ([],), ([], 0, 0), ([], "0"), ([], None), ([], 0.0)])
def test_wrong_arguments_are_a_type_error(token: Token, arguments: Any) -> None:
    with pytest.raises(TypeError):
        WAYS[token](*arguments)


@both
@pytest.mark.parametrize("count", [2**63, -(2**63) - 1])
def test_a_number_of_elements_that_nobody_has_is_an_overflow_error(token: Token, count: int) -> None:
    with pytest.raises(OverflowError):
        WAYS[token]([], count)


@both
@pytest.mark.parametrize("last", [2.5, 1e39, 1], ids=["taken", "too large", "no float"])
def test_no_reference_is_kept(token: Token, last: Any) -> None:
    first = float("1.5")
    value = [first, last]
    before = sys.getrefcount(first), sys.getrefcount(value)
    for _ in range(100):
        WAYS[token](value, 2)
    gc.collect()
    assert (sys.getrefcount(first), sys.getrefcount(value)) == before


# --- the encoder that calls them --------------------------------------------------------------------------------------

TEXT = '[["a",["f32",3],0],["b",["f64",2],0],["c","f32",0],["d",["f32",1],1],["e",["f64",16],0]]'
FORMAT = plan(TEXT)
assert FORMAT.message_format is not None
CAREFUL = compile_loan_encoder("member", FORMAT.message_format, FORMAT.classes)

NUMBERS = st.one_of(st.floats(), st.floats(width=32), st.sampled_from(FLOATS))
ELEMENTS = st.one_of(NUMBERS, NUMBERS, NUMBERS, st.integers(), st.booleans(), st.sampled_from(OTHERS))


def arrays(count: int) -> st.SearchStrategy[Any]:
    usual = st.lists(NUMBERS, min_size=count, max_size=count)
    unusual = st.one_of(st.lists(ELEMENTS, min_size=count, max_size=count), st.lists(ELEMENTS, max_size=count + 1))
    made = st.builds(lambda make, elements: make(elements), st.sampled_from(CONTAINERS), unusual)
    whole = st.sampled_from([n for n, value in enumerate(WHOLE) if not hasattr(value, "__next__")]).map(
        WHOLE.__getitem__
    )
    return st.one_of(usual, usual.map(tuple), usual.map(numpy.array), made, whole)


def outcome(encode: Callable[[], bytes]) -> bytes | tuple[type, str]:
    try:
        return encode()
    except (TypeError, ValueError) as error:
        return type(error), str(error)


@settings(max_examples=300, deadline=None)
@given(arrays(3), arrays(2), ELEMENTS, st.none() | arrays(1), arrays(16))
def test_an_encoder_says_what_the_careful_encoder_says(a: Any, b: Any, c: Any, d: Any, e: Any) -> None:
    values = a, b, c, d, e
    found = outcome(lambda: joined(FORMAT.encode(*values)))
    assert found == outcome(lambda: _with_header(CAREFUL(*values)[0]))


def _with_header(body: bytes) -> bytes:
    return layout.HEADER.pack(layout.VERSION, len(body)) + body
