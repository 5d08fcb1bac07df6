"""Payloads of calls, goals and results: inside their frame, or beside it in a sealed memfd (docs/design/protocol.md).

A memfd that came is hostile until its type, its seals and its size are checked: without the seals its owner could
change or truncate it while it is read.
"""

import fcntl
import mmap
import os
import stat
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, cast

from peppy.errors import DecodeError
from peppy.protocol.calls import IN_FRAME, INSIDE, LARGEST_PAYLOAD
from peppy.protocol.frame import Received

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
"""Without these three a memfd is not read."""

_MIB = 1 << 20


class Packed(NamedTuple):
    """A payload that is ready to travel: `inside` its frame, or `beside` bytes in `memfd`, which the owner closes."""

    inside: bytes = b""
    beside: int = IN_FRAME
    memfd: int | None = None

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors that it adds to its frame, behind all others."""
        return () if self.memfd is None else (self.memfd,)

    def close(self) -> None:
        """Let go of the memfd."""
        if self.memfd is not None:
            os.close(self.memfd)


NOTHING = Packed()


def pack(payload: bytes, what: str) -> Packed:
    """A payload in one piece; `what` names it in errors. Raises as `pack_pieces`."""
    if len(payload) <= INSIDE:
        return Packed(payload)
    return pack_pieces(((payload, 0),), len(payload), what)


def pack_pieces(pieces: Iterable[tuple[Any, int]], length: int, what: str) -> Packed:
    """A payload of `length` bytes: every buffer at its offset, zeros between.

    Raises ValueError above 256 MiB, naming `what`, size and limit, and OSError when the system has no room.
    """
    if length > LARGEST_PAYLOAD:
        limit = f"{LARGEST_PAYLOAD} bytes ({LARGEST_PAYLOAD // _MIB} MiB)"
        raise ValueError(f"{what}: the payload has `{length}` bytes, the limit is {limit}")
    if length <= INSIDE:
        room = bytearray(length)
        for buffer, offset in pieces:
            with memoryview(buffer).cast("B") as octets:
                room[offset : offset + len(octets)] = octets
        return Packed(bytes(room))
    return Packed(b"", length, sealed(pieces, length))


def sealed(pieces: Iterable[tuple[Any, int]], length: int) -> int:
    """A memfd of `length` bytes, every buffer at its offset, which nobody can change any more. Raises OSError."""
    memfd = os.memfd_create("peppy-payload", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(memfd, length)
        for buffer, offset in pieces:
            with memoryview(buffer).cast("B") as octets:
                _write(memfd, octets, offset)
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, SEALS | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(memfd)
        raise
    return memfd


def _write(fd: int, octets: memoryview, offset: int) -> None:
    written = 0
    while written < len(octets):
        written += os.pwrite(fd, octets[written:], offset + written)


def payload_of(received: Received) -> bytes | memoryview:
    """The payload that came with a frame; a view of the memfd is read-only and lasts as long as anybody holds it.

    The memfd, the last descriptor of the frame, is closed; others stay the receiver's. Raises DecodeError for a
    descriptor that is no sealed memfd of the length that the frame says.
    """
    length = _beside(received)
    if length < 0:
        return received.payload
    fd = received.fds[-1]
    try:
        _check(fd, length)
        # Private, which copies nothing: Linux before 6.7 maps no write-sealed memfd shared, not even to read it.
        return memoryview(mmap.mmap(fd, length, mmap.MAP_PRIVATE, mmap.PROT_READ)) if length else b""
    finally:
        os.close(fd)


def other_descriptors(received: Received) -> tuple[int, ...]:
    """The descriptors of a frame without its payload's memfd."""
    return received.fds if _beside(received) < 0 else received.fds[:-1]


class _Carrying(Protocol):
    beside: int


def _beside(received: Received) -> int:
    return cast(_Carrying, received.frame).beside


def _check(fd: int, length: int) -> None:
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:  # no memfd: a pipe, a socket, a file of a disk
        raise DecodeError("the payload beside the frame is not in a memfd") from None
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or seals & SEALS != SEALS:
        raise DecodeError(f"the memfd beside the frame is not sealed: its seals are `{seals:#x}`")
    if status.st_size != length:
        raise DecodeError(f"the memfd beside the frame has `{status.st_size}` bytes, the frame says {length}")
