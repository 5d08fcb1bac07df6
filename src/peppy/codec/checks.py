"""Checks of values that are about to be sent (docs/reference/messages.md, Checks on send).

Generated encoders test for the ordinary types inline and call these functions only for everything else: each of them
returns the value as it goes on the wire, or raises TypeError or ValueError that names the field.

`where` is the place of the value: a dotted path, or `(where of the parent, tail)` with an index or a `.name` as tail.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any, NoReturn, cast

from peppy.model.types import FLOATS, INTEGERS, Token

Where = str | tuple[Any, str | int]
Check = Callable[[Any, Where], Any]

LARGEST_SINGLE = 3.4028234663852886e38
"""Values up to here are singles after rounding; larger ones need a closer look."""

_SINGLE = Struct("<f")


def path_of(where: Where) -> str:
    """The dotted path as a person reads it, such as `boxes[2].score`."""
    if isinstance(where, str):
        return where
    parent, tail = where
    return path_of(parent) + (f"[{tail}]" if isinstance(tail, int) else tail)


def wrong_type(value: object, where: Where, expected: str) -> NoReturn:
    """Raise the TypeError for a value of another type than `expected`."""
    actual = "None" if value is None else f"`{type(value).__name__}`"
    raise TypeError(f"field `{path_of(where)}`: expected {expected}, got {actual}")


def wrong_count(actual: int, where: Where, expected: int) -> NoReturn:
    """Raise the ValueError for a fixed array with another element count."""
    raise ValueError(f"field `{path_of(where)}`: expected `{expected}` elements, got `{actual}`")


def is_bool(value: object) -> bool:
    """Whether this is a bool, Python's or numpy's (without importing numpy)."""
    kind = type(value)
    return kind is bool or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_"))


def _has(value: object, method: str) -> bool:
    return hasattr(type(value), method)


def check_bool(value: object, where: Where) -> bool:
    if is_bool(value):
        return bool(value)
    wrong_type(value, where, "`bool`")


def integer_check(token: Token) -> Check:
    """The check for one integer token: ints and `__index__` types, no bools, inside the token's range."""
    low, high = INTEGERS[token]

    def check_integer(value: Any, where: Where) -> int:
        if is_bool(value) or not _has(value, "__index__"):
            wrong_type(value, where, f"`int` for `{token}`")
        try:
            number = int(value.__index__())
        except TypeError:  # an array has the method, but only one of a single element is a number
            wrong_type(value, where, f"`int` for `{token}`")
        if not low <= number <= high:
            raise ValueError(f"field `{path_of(where)}`: `{number}` is out of range for `{token}` ({low} to {high})")
        return number

    return check_integer


def _float(value: Any, where: Where, token: Token) -> float:
    if is_bool(value) or _has(value, "__len__") or not (_has(value, "__float__") or isinstance(value, int)):
        wrong_type(value, where, f"`float` for `{token}`")
    try:
        return float(value)
    except OverflowError:
        _too_large(value, where, token)
    except TypeError:
        wrong_type(value, where, f"`float` for `{token}`")


def _too_large(value: object, where: Where, token: Token) -> NoReturn:
    raise ValueError(f"field `{path_of(where)}`: `{value}` is too large for `{token}`")


def check_double(value: Any, where: Where) -> float:
    return _float(value, where, Token.F64)


def check_single(value: Any, where: Where) -> float:
    """The nearest single, as a float."""
    number = _float(value, where, Token.F32)
    try:
        return _SINGLE.unpack(_SINGLE.pack(number))[0]
    except OverflowError:
        _too_large(value, where, Token.F32)


def check_time(value: Any, where: Where) -> float:
    if not isinstance(value, float | int) or isinstance(value, bool):
        wrong_type(value, where, "`float` for `time`")
    try:
        number = float(value)
    except OverflowError:
        _too_large(value, where, Token.TIME)
    if not math.isfinite(number):
        raise ValueError(f"field `{path_of(where)}`: a time must be finite, got `{number}`")
    return number


def check_string(value: Any, where: Where) -> str:
    if not isinstance(value, str):
        wrong_type(value, where, "`str`")
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"field `{path_of(where)}`: {text!a} cannot be encoded as UTF-8") from None
    return text


CHECKS: dict[Token, Check] = {
    Token.BOOL: check_bool,
    Token.F32: check_single,
    Token.F64: check_double,
    Token.STRING: check_string,
    Token.TIME: check_time,
    **{token: integer_check(token) for token in INTEGERS},
}
"""The check of every token but `bytes`, which `peppy.codec.bulk` converts."""


def check_object(value: object, where: Where, kind: type) -> None:
    """Refuse everything but an instance of the nested class."""
    if not isinstance(value, kind):
        wrong_type(value, where, f"`{kind.__name__}`")


def sequence_of(value: Any, where: Where, expected: str) -> list[Any] | tuple[Any, ...]:
    """The elements of a list, a tuple or another sequence that is no text."""
    if isinstance(value, list | tuple):
        return value  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray | memoryview):
        wrong_type(cast(object, value), where, expected)
    return list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def numbers_of(value: Any, where: Where, token: Token) -> Iterable[Any]:
    """The elements of a sequence, a buffer or a numpy array of numbers, several dimensions flattened."""
    if hasattr(value, "__array__"):
        return value.ravel().tolist()
    if isinstance(value, list | tuple):
        return value  # pyright: ignore[reportUnknownVariableType]
    try:
        view = memoryview(value)
    except TypeError:
        return sequence_of(value, where, f"a list of `{token}`")
    return view.tolist() if view.ndim == 1 else view.cast("B").cast(view.format).tolist()  # type: ignore[call-overload]


def list_check(token: Token, length: int | None) -> Check:
    """The check for an array that travels in the body; `length` None means any number of elements."""
    check = CHECKS[token]
    numeric = token in FLOATS or token in INTEGERS or token is Token.BOOL

    def check_list(value: Any, where: Where) -> list[Any]:
        elements = numbers_of(value, where, token) if numeric else sequence_of(value, where, f"a list of `{token}`")
        checked = [check(element, (where, index)) for index, element in enumerate(elements)]
        if length is not None and len(checked) != length:
            wrong_count(len(checked), where, length)
        return checked

    return check_list
