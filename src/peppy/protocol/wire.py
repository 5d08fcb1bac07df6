"""Bytes and descriptors on a connected Unix stream socket, as both kinds of connection use them."""

import array
import contextlib
import os
import socket
import struct
from typing import NamedTuple

from peppy.protocol.frame import MAX_DESCRIPTORS, ConnectionClosed, Parser, ProtocolViolation, close_all

FRAME_SECS = 5.0
"""A frame that is not complete after this many seconds ends the connection."""

READ_SIZE = 1 << 16
"""Bytes of one read. Python makes room for all of them each time: from 128 KiB on the system maps and clears pages for
it, which costs ten times as much as reading a small frame."""
_ANCILLARY_SIZE = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
_CREDENTIALS = struct.Struct("3i")
_READ_FLAGS, _WRITE_FLAGS, _TRUNCATED = int(socket.MSG_CMSG_CLOEXEC), int(socket.MSG_NOSIGNAL), int(socket.MSG_CTRUNC)
"""As plain integers: arithmetic with members of an enumeration costs as much as reading a frame."""


class PeerCredentials(NamedTuple):
    """Who was at the other end of the socket when it was connected, as the kernel says."""

    pid: int
    uid: int
    gid: int


def peer_credentials(connected: socket.socket) -> PeerCredentials:
    """The peer's process and user; raises OSError when the socket is no connected Unix socket."""
    text = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return PeerCredentials(*_CREDENTIALS.unpack(text))


def feed_from(connected: socket.socket, parser: Parser) -> int:
    """Read once into the parser; the bytes read, 0 when nothing is there. Fewer than `READ_SIZE`: all that was there,
    or what came before descriptors. Raises `ConnectionClosed` at the end of the stream."""
    try:
        data, ancillary, flags, _ = connected.recvmsg(READ_SIZE, _ANCILLARY_SIZE, _READ_FLAGS)
    except (BlockingIOError, InterruptedError):
        return 0
    except OSError as error:
        raise closed_by(error) from None
    if not data:
        close_all(_descriptors(ancillary))
        parser.close()
        raise ConnectionClosed("the peer has closed the connection")
    if ancillary or flags & _TRUNCATED:
        parser.feed(data, _descriptors(ancillary), truncated=bool(flags & _TRUNCATED))
    else:
        parser.feed(data)
    return len(data)


def write_to(connected: socket.socket, data: bytes | memoryview, fds: tuple[int, ...]) -> int:
    """Write what fits now, descriptors on the first byte; returns the bytes written, 0 when there is no room."""
    try:
        if not fds:
            return connected.send(data, _WRITE_FLAGS)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        return connected.sendmsg([data], ancillary, _WRITE_FLAGS)
    except (BlockingIOError, InterruptedError):
        return 0
    except OSError as error:
        raise closed_by(error) from None


def duplicates(fds: tuple[int, ...]) -> tuple[int, ...]:
    """Own copies of descriptors, all or none; raises OSError when the process has no room."""
    copies: list[int] = []
    try:
        for fd in fds:
            copies.append(os.dup(fd))
    except OSError:
        for copy in copies:
            os.close(copy)
        raise
    return tuple(copies)


def check_complete(parser: Parser, now: float) -> None:
    """Raise `ProtocolViolation` when the frame that has begun is late."""
    due = completion_due(parser)
    if due is not None and now >= due:
        raise ProtocolViolation(f"a frame stayed incomplete for {FRAME_SECS:g} s")


def completion_due(parser: Parser) -> float | None:
    """When the frame that has begun has to be complete (monotonic seconds); None between two frames."""
    return None if parser.incomplete_since is None else parser.incomplete_since + FRAME_SECS


def closed_by(error: OSError) -> ConnectionClosed:
    """The end of a connection that the system reported."""
    return ConnectionClosed(f"the connection has ended: {error.strerror or error}")


def hang_up(connected: socket.socket) -> None:
    """Tell both sides that nothing comes any more; threads that wait on the socket wake."""
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return tuple(fds)
