"""Publishing without a copy: the message is filled in where its readers will find it.

A view that the program keeps beyond `publish` must never change what readers see. So publishing in place happens only
when nobody can write any more; otherwise the message is copied, and the kept chunk stays out of the pool until the last
view of it dies.
"""

from __future__ import annotations

from functools import partial
from sys import getrefcount
from typing import TYPE_CHECKING

from peppy.errors import LoanReleased
from peppy.ring._core import ffi, lib
from peppy.ring.geometry import Geometry
from peppy.ring.outcome import publish_failure

if TYPE_CHECKING:
    from peppy.ring._core import Pointer

_NO_SEQUENCE = ffi.NULL
_TOO_MANY_HELD = lib.PEPPY_TOO_MANY_HELD
_WOULD_BLOCK = lib.PEPPY_WOULD_BLOCK


def _references_to_a_local() -> int:
    mine = ffi.new("uint64_t *")
    return getrefcount(mine)


_OURS = _references_to_a_local()
"""What `publish` itself holds of its pointer; how many that are depends on the interpreter's version."""


class Loan:
    """Room for one message: fill `view`, then `publish` or `discard`, once. Dropping it discards it.

    `view` is a writable memoryview; its bytes are what an earlier message left there. A loan belongs to one thread.
    """

    __slots__ = ("_capacity", "_chunk", "_handle", "_length", "_pointer", "_view")

    def __init__(self, handle: Pointer, chunk: int, pointer: Pointer, length: int, capacity: int) -> None:
        self._handle = handle
        self._chunk = chunk
        self._length = length
        self._capacity = capacity
        self._pointer: Pointer | None = ffi.gc(pointer, partial(_discard, handle, chunk))
        self._view: memoryview | None = memoryview(ffi.buffer(self._pointer, length))

    @property
    def view(self) -> memoryview:
        """The message's bytes, writable. Raises LoanReleased after `publish` and `discard`."""
        if self._view is None:
            raise _released()
        return self._view

    def publish(self, length: int | None = None) -> None:
        """Publish the first `length` bytes (default: all). If a view of the loan is still held, they are copied.

        WouldBlock on a reliable stream without room: the loan stays usable, with a new `view` of the same bytes.
        """
        pointer = self._pointer
        if pointer is None:
            raise _released()
        length = self._length if length is None else length
        if not 0 <= length <= self._length:
            raise ValueError(f"`{length}` bytes of a loan of `{self._length}`")
        self._view = self._pointer = None
        if getrefcount(pointer) > _OURS:  # every view keeps the pointer alive: somebody could still write
            code = lib.peppy_publish(self._handle, pointer, length, _NO_SEQUENCE)
        else:
            ffi.gc(pointer, None)  # the chunk is the ring's now: nobody discards it
            code = lib.peppy_loan_publish(self._handle, self._chunk, length, _NO_SEQUENCE)
            if code:
                pointer = ffi.gc(pointer, partial(_discard, self._handle, self._chunk))
        if code == _WOULD_BLOCK:
            self._pointer, self._view = pointer, memoryview(ffi.buffer(pointer, self._length))
        if code:
            raise publish_failure(code, length, self._capacity)

    def discard(self) -> None:
        """Give the room back unpublished. A second call does nothing; views still held keep their bytes."""
        self._view = self._pointer = None


def take_loan(handle: Pointer, length: int, geometry: Geometry) -> Loan:
    """Take a loan from the writer behind `handle`; the errors are those of `Writer.loan`."""
    struct = ffi.new("struct peppy_loan *")
    code = lib.peppy_loan_take(handle, length, struct)
    if code == _TOO_MANY_HELD:
        raise RuntimeError(
            f"`{geometry.loans}` loans of this publisher are held, which is the limit: publish one first"
        )
    if code:
        raise publish_failure(code, length, geometry.capacity)
    return Loan(handle, struct.chunk, struct.data, length, geometry.capacity)


def _discard(handle: Pointer, chunk: int, _pointer: Pointer) -> None:
    lib.peppy_loan_discard(handle, chunk)


def _released() -> LoanReleased:
    return LoanReleased("the loan was published or discarded already")
