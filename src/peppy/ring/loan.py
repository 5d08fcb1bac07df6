"""Publishing without a copy: the message is filled in where its readers will find it.

A view that the program keeps beyond `publish` must never change what readers see. So publishing in place happens only
when nobody can write any more; otherwise the message is copied, and the kept chunk stays out of the pool until the last
view of it dies.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING

from peppy.errors import LoanReleased
from peppy.ring._core import ffi, lib
from peppy.ring.geometry import Geometry
from peppy.ring.outcome import publish_failure

if TYPE_CHECKING:
    from peppy.ring._core import Pointer

_NO_SEQUENCE = ffi.NULL
_TOO_MANY_HELD = lib.PEPPY_TOO_MANY_HELD


class Loan:
    """Room for one message: fill `view`, then `publish` or `discard`, once. Dropping it discards it.

    `view` is a writable memoryview; its bytes are what an earlier message left there. A loan belongs to one thread.
    """

    def __init__(self, handle: Pointer, chunk: int, pointer: Pointer, length: int, capacity: int) -> None:
        self._handle = handle
        self._capacity = capacity
        self._length = length
        # Whoever pops the chunk's number decides its fate: `publish`, or the destructor of the last view.
        self._owned = [chunk]
        self._pointer: Pointer | None = ffi.gc(pointer, partial(_discard_owned, handle, self._owned))
        self._view: memoryview | None = memoryview(ffi.buffer(self._pointer, length))

    @property
    def view(self) -> memoryview:
        """The message's bytes, writable. Raises LoanReleased after `publish` and `discard`."""
        if self._view is None:
            raise LoanReleased("the loan was published or discarded already")
        return self._view

    def publish(self, length: int | None = None) -> None:
        """Publish the first `length` bytes (default: all). If a view of the loan is still held, they are copied."""
        if self._pointer is None:
            raise LoanReleased("the loan was published or discarded already")
        length = self._length if length is None else length
        if not 0 <= length <= self._length:
            raise ValueError(f"`{length}` bytes of a loan of `{self._length}`")
        chunk = self._owned.pop()
        watched = weakref.ref(self._pointer)
        self._view = self._pointer = None
        pointer = watched()
        if pointer is None:
            code = lib.peppy_loan_publish(self._handle, chunk, length, _NO_SEQUENCE)
        else:
            code = lib.peppy_publish(self._handle, pointer, length, _NO_SEQUENCE)
            self._owned.append(chunk)  # `pointer` is alive here, so its destructor is still to come
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


def _discard_owned(handle: Pointer, owned: list[int], _pointer: Pointer) -> None:
    if owned:  # else it was published, or will be by who popped it
        lib.peppy_loan_discard(handle, owned.pop())
