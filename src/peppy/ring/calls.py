"""Ties `_calls` to the core: the calls that a message takes, made without cffi (csrc/python/calls.c)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from peppy.ring import _calls
from peppy.ring._core import ffi, lib
from peppy.ring.outcome import publish_failure, take_outcome

if TYPE_CHECKING:
    from peppy.ring._core import Pointer

_USED = ("peppy_publish", "peppy_publish_at_once", "peppy_take_copy", "peppy_receive")

_calls.use(*(int(ffi.cast("uintptr_t", ffi.addressof(lib, name))) for name in _USED))


def outlet(handle: Pointer, capacity: int) -> _calls.Outlet:
    """The writing end of a stream with messages of at most `capacity` bytes; keeps `handle` open."""
    return _calls.Outlet(_address(handle), handle, partial(_refuse, capacity))


def inlet(handle: Pointer) -> _calls.Inlet:
    """The reading end of a stream; keeps `handle` open."""
    return _calls.Inlet(_address(handle), handle, take_outcome)


def _address(handle: Pointer) -> int:
    return int(ffi.cast("uintptr_t", handle))


def _refuse(capacity: int, code: int, length: int) -> None:
    raise publish_failure(code, length, capacity)
