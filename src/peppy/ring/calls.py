"""Ties `_calls` to the core: the calls that a message takes, made without cffi (csrc/python/calls.c)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from peppy.ring import _calls
from peppy.ring._core import ffi, lib
from peppy.ring.outcome import publish_failure, take_outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from peppy.ring._core import Pointer

_USED = ("peppy_publish", "peppy_publish_at_once", "peppy_take_copy", "peppy_receive", "peppy_arm")

_calls.use(*(int(ffi.cast("uintptr_t", ffi.addressof(lib, name))) for name in _USED))


def outlet(
    handle: Pointer, capacity: int, refused: Callable[[Exception, int], Exception] | None = None
) -> _calls.Outlet:
    """The writing end of a stream with messages of at most `capacity` bytes; keeps `handle` open.

    `refused(error, length)` may put another exception in the place of an error.
    """
    return _calls.Outlet(_address(handle), handle, partial(_refuse, capacity, refused))


def inlet(handle: Pointer) -> _calls.Inlet:
    """The reading end of a stream; keeps `handle` open."""
    return _calls.Inlet(_address(handle), handle, take_outcome)


def feed(
    handle: Pointer,
    next_sequence: int,
    producer: str,
    head: int,
    read: Callable[[bytes], object],
    decode: Callable[[bytes], object],
    lost: Callable[[int], object],
) -> _calls.Feed:
    """The reading end of a stream with its messages decoded; keeps `handle` open."""
    return _calls.Feed(_address(handle), handle, take_outcome, next_sequence, producer, head, read, decode, lost)


def _address(handle: Pointer) -> int:
    return int(ffi.cast("uintptr_t", handle))


def _refuse(capacity: int, refused: Callable[[Exception, int], Exception] | None, code: int, length: int) -> None:
    error = publish_failure(code, length, capacity)
    raise error if refused is None else refused(error, length)
