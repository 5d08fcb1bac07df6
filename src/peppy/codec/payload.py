"""What payload classes are made of: their bases and annotations (docs/reference/messages.md, Classes).

Every annotation starts with a capital letter, so a field can never shadow one: field names are lower case. The integer
annotations carry their range and `Length` the fixed length, which msgspec checks when it decodes.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from peppy.model.types import Token

if TYPE_CHECKING:
    import array

    import numpy
    from numpy.typing import NDArray

Bool = bool
U8 = Annotated[int, Meta(ge=0, le=2**8 - 1)]
U16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U64 = Annotated[int, Meta(ge=0)]  # msgpack has no larger integer
I8 = Annotated[int, Meta(ge=-(2**7), le=2**7 - 1)]
I16 = Annotated[int, Meta(ge=-(2**15), le=2**15 - 1)]
I32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
I64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
F32 = float
F64 = float
String = str
Bytes = bytes
Time = float
Array = list

ANNOTATIONS: dict[Token, Any] = {
    Token.BOOL: Bool,
    Token.U8: U8,
    Token.U16: U16,
    Token.U32: U32,
    Token.U64: U64,
    Token.I8: I8,
    Token.I16: I16,
    Token.I32: I32,
    Token.I64: I64,
    Token.F32: F32,
    Token.F64: F64,
    Token.STRING: String,
    Token.BYTES: Bytes,
    Token.TIME: Time,
}

# Bulk arrays, for type checkers only: numpy is imported when the first of them is decoded.
if TYPE_CHECKING:
    BoolArray: TypeAlias = NDArray[numpy.bool_]
    U8Array: TypeAlias = NDArray[numpy.uint8]
    U16Array: TypeAlias = NDArray[numpy.uint16]
    U32Array: TypeAlias = NDArray[numpy.uint32]
    U64Array: TypeAlias = NDArray[numpy.uint64]
    I8Array: TypeAlias = NDArray[numpy.int8]
    I16Array: TypeAlias = NDArray[numpy.int16]
    I32Array: TypeAlias = NDArray[numpy.int32]
    I64Array: TypeAlias = NDArray[numpy.int64]
    F32Array: TypeAlias = NDArray[numpy.float32]
    F64Array: TypeAlias = NDArray[numpy.float64]
    Octets: TypeAlias = bytes | bytearray | memoryview | Sequence[int] | NDArray[Any] | array.array[Any]
    Integers: TypeAlias = Sequence[int] | NDArray[Any] | array.array[Any] | memoryview | bytes | bytearray
    Floats: TypeAlias = Sequence[float] | NDArray[Any] | array.array[Any] | memoryview
    Bools: TypeAlias = Sequence[bool] | NDArray[numpy.bool_] | memoryview
else:
    BoolArray = U8Array = U16Array = U32Array = U64Array = Any
    I8Array = I16Array = I32Array = I64Array = F32Array = F64Array = Any
    Octets = Integers = Floats = Bools = Any
Shape: TypeAlias = int | Sequence[int]
NO_SHAPES: Mapping[str, Shape] = MappingProxyType({})


def Length(count: int) -> Meta:  # noqa: N802 (an annotation, like the names above)
    """Mark an array that always has `count` elements."""
    return Meta(min_length=count, max_length=count)


class Payload(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of payload classes. A payload is a tree, so the garbage collector need not follow it."""


class ArrayPayload(Payload):
    """Base of payload classes that hold numpy arrays or views: equal when shapes and elements are."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_equal(getattr(self, name), getattr(other, name)) for name in self.__struct_fields__)

    def __ne__(self, other: object) -> bool:
        return not self == other


def _equal(left: Any, right: Any) -> bool:
    if not hasattr(left, "shape") and not hasattr(right, "shape"):
        return left == right
    if isinstance(left, memoryview) or isinstance(right, memoryview):
        return left == right
    import numpy

    return numpy.array_equal(left, right)
