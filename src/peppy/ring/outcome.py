"""What a call of the stream core can say: an outcome that is no error, or a failure as a Python exception."""

import errno
import os
from enum import IntEnum

from peppy.errors import TooManyReaders


class Outcome(IntEnum):
    """The results of the core (enum peppy_result); all but OK mean that there is no message."""

    OK = 0
    EMPTY = 1
    AGAIN = 2
    TOO_MANY_HELD = 3
    CLOSED = 4
    NO_CHUNK = 5
    TOO_LONG = 6
    CORRUPT = 7
    WOULD_BLOCK = 8


class StaleClaim(OSError):
    """The row was taken, given away or belongs to another epoch: give the claim back and ask for a new one."""


class StreamClosed(RuntimeError):
    """The stream, or this handle of it, is closed."""


class WouldBlock(Exception):
    """A reader of a reliable stream has not taken the oldest message yet: nothing was published, wait for room."""


class MessageTooLong(ValueError):
    """A message of `length` bytes does not fit a stream whose messages have at most `capacity` bytes."""

    def __init__(self, length: int, capacity: int) -> None:
        super().__init__(f"a message of `{length}` bytes is larger than the stream's `{capacity}`")
        self.length = length
        self.capacity = capacity


def failure(code: int, doing: str) -> Exception:
    """The exception for the negative result `code` of a core function, after `doing` (such as "take a message").

    A handle used in a forked child is a RuntimeError (docs/reference/qos.md, Wake-up); a full row table is
    TooManyReaders; everything else is an OSError with the core's error number.
    """
    number = -code
    if number == errno.ECHILD:
        return RuntimeError(f"cannot {doing}: the stream was opened before a fork and belongs to the parent process")
    if number == errno.ESHUTDOWN:
        return StreamClosed(f"cannot {doing}: the stream is closed")
    if number == errno.ESTALE:
        return StaleClaim(number, f"cannot {doing}: the claim is no longer valid")
    if number == errno.EUSERS:
        return TooManyReaders(
            f"cannot {doing}: all rows of the stream are taken", hint="end one of the topic's readers, then try again"
        )
    return OSError(number, f"cannot {doing}: {os.strerror(number)}")


def publish_failure(code: int, length: int, capacity: int) -> Exception:
    """The exception for a message of `length` bytes that could not be published, or not be given room."""
    if code == Outcome.WOULD_BLOCK:
        return WouldBlock("a reader of the stream has not taken the oldest message yet")
    if code == Outcome.TOO_LONG:
        return MessageTooLong(length, capacity)
    if code == Outcome.CLOSED:
        return StreamClosed("cannot publish: the stream is closed")
    if code == Outcome.NO_CHUNK:
        return RuntimeError("cannot publish: every chunk of the stream is in use")
    return failure(code, f"publish `{length}` bytes")


_OUTCOMES = tuple(Outcome)


def take_outcome(code: int) -> Outcome:
    """The outcome `code` of a call that reads; raises what a negative one stands for."""
    if code < 0:
        raise failure(code, "take a message")
    return _OUTCOMES[code]
