"""Bulk values on their way out and in: buffers that are copied once, straight into the ring.

A value whose elements have the schema's type and byte order is passed on as it is. Everything else is converted with
the checks of docs/reference/messages.md, sections 7 and 8. numpy is imported where it is needed and not before.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from peppy.codec.checks import CHECKS, Where, path_of, sequence_of, wrong_count, wrong_type
from peppy.model.types import FIXED_SIZE, FLOATS, INTEGERS, Token

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

_PLAIN_OCTETS = (bytes, bytearray)

Outgoing = Callable[[Any, Where], tuple[Any, int]]
"""Makes a value a C-contiguous buffer and its size in bytes."""

DTYPES = {
    Token.BOOL: "?",
    Token.BYTES: "u1",
    Token.U8: "u1",
    Token.U16: "<u2",
    Token.U32: "<u4",
    Token.U64: "<u8",
    Token.I8: "i1",
    Token.I16: "<i2",
    Token.I32: "<i4",
    Token.I64: "<i8",
    Token.F32: "<f4",
    Token.F64: "<f8",
}
"""The elements of a bulk region as numpy writes them."""


def outgoing(token: Token, length: int | None) -> Outgoing:
    """The converter for one bulk field; `length` None means any number of elements."""
    size = FIXED_SIZE[token]
    octets = token in (Token.BYTES, Token.U8)
    element = Token.U8 if octets else token

    def convert(value: Any, where: Where) -> tuple[Any, int]:
        if octets and type(value) in _PLAIN_OCTETS:
            buffer, count = value, len(value)
        else:
            buffer = _array(value, where, element)
            count = buffer.nbytes
        if length is not None and count != length * size:
            wrong_count(count // size, where, length)
        return buffer, count

    return convert


def octets_in_body(length: int | None) -> Callable[[Any, Where], bytes]:
    """The converter for octets inside arrays of objects: they travel in the body as one msgpack bin."""
    convert = outgoing(Token.U8, length)
    return lambda value, where: bytes(convert(value, where)[0])


def octet_lists(value: Any, where: Where) -> list[bytes]:
    """The converter for an array of `bytes`, which travels in the body."""
    elements = sequence_of(value, where, "a list of `bytes`")
    return [_OCTETS(element, (where, index)) for index, element in enumerate(elements)]


def _array(value: Any, where: Where, token: Token) -> "NDArray[Any]":
    """`value` as a C-contiguous array of the token's elements: the same memory where that is possible."""
    import numpy

    wanted = _dtype(token)
    if isinstance(value, numpy.ndarray):
        array: NDArray[Any] = cast("NDArray[Any]", value)
    elif isinstance(value, list | tuple):
        array = _from_elements(value, where, token)  # pyright: ignore[reportUnknownArgumentType]
    else:
        array = _from_buffer(value, where, token)
    if array.dtype != wanted:
        array = _converted(array, where, token)
    return array if array.flags.c_contiguous else numpy.ascontiguousarray(array)


@cache
def _dtype(token: Token) -> "numpy.dtype[Any]":
    import numpy

    return numpy.dtype(DTYPES[token])


def _from_buffer(value: Any, where: Where, token: Token) -> "NDArray[Any]":
    import numpy

    expected = f"a buffer or a list of `{token}`"
    if isinstance(value, str):
        wrong_type(value, where, expected)
    try:
        view = memoryview(value)
    except TypeError:
        return _from_elements(sequence_of(value, where, expected), where, token)
    if view.format == "c":  # characters are octets without a sign
        view = view.cast("B")
    return numpy.asarray(view)


def _from_elements(values: Any, where: Where, token: Token) -> "NDArray[Any]":
    """An array from Python values: at once for plain numbers in range, element by element otherwise."""
    import numpy

    if _plain(values, token):
        return numpy.array(values, DTYPES[Token.F64 if token in FLOATS else token])
    check = CHECKS[token]
    checked = [check(value, (where, index)) for index, value in enumerate(values)]
    return numpy.array(checked, DTYPES[token])


def _plain(values: Any, token: Token) -> bool:
    """Whether numpy can convert these values without a check of each of them; floats may still be too large for f32."""
    kinds: set[type] = set(map(type, values))
    if token in INTEGERS:
        low, high = INTEGERS[token]
        return kinds == {int} and low <= min(values) and max(values) <= high
    return kinds <= {bool if token is Token.BOOL else float}


def _converted(array: "NDArray[Any]", where: Where, token: Token) -> "NDArray[Any]":
    """Elements of another type or byte order, checked; floats do not become integers, nothing becomes a bool."""
    accepted = "b" if token is Token.BOOL else "iu" if token in INTEGERS else "iuf"
    if array.dtype.kind not in accepted:
        raise TypeError(f"field `{path_of(where)}`: expected elements of `{token}`, got `{array.dtype}`")
    if token in INTEGERS and array.size:
        low, high = INTEGERS[token]
        if int(array.min()) < low or int(array.max()) > high:
            _raise_first(array, where, token)
    if token not in FLOATS:
        return array.astype(DTYPES[token])
    return _as_floats(array, where, token)


def _as_floats(array: "NDArray[Any]", where: Where, token: Token) -> "NDArray[Any]":
    import numpy

    with numpy.errstate(over="ignore", invalid="ignore"):
        result = array.astype(DTYPES[token])
    if bool(numpy.any(numpy.isinf(result) & numpy.isfinite(array))):
        _raise_first(array, where, token)
    return result


def _raise_first(array: "NDArray[Any]", where: Where, token: Token) -> None:
    check = CHECKS[token]
    for index, value in enumerate(array.ravel().tolist()):
        check(value, (where, index))
    raise ValueError(f"field `{path_of(where)}`: an element is too large for `{token}`")


_OCTETS = octets_in_body(None)


def empty_view(buffer: Any, offset: int, shape: tuple[int, ...], token: Token) -> "NDArray[Any]":
    """A writable array of `shape` over `buffer`, from byte `offset` on."""
    import numpy

    count = 1
    for extent in shape:
        count *= extent
    return numpy.frombuffer(buffer, _dtype(token), count, offset).reshape(shape)
