"""Bytes and descriptors on a connected Unix stream socket, as both kinds of connection use them."""

import array
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

from peppy.protocol.frame import MAX_DESCRIPTORS, ConnectionClosed, Parser, ProtocolViolation, Received

FRAME_SECS = 5.0
"""A frame that is not complete after this many seconds ends the connection."""

READ_SIZE = 1 << 18
_ANCILLARY_SIZE = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
_CREDENTIALS = struct.Struct("3i")


class PeerCredentials(NamedTuple):
    """Who was at the other end of the socket when it was connected, as the kernel says."""

    pid: int
    uid: int
    gid: int


def peer_credentials(connected: socket.socket) -> PeerCredentials:
    """The peer's process and user; raises OSError when the socket is no connected Unix socket."""
    text = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return PeerCredentials(*_CREDENTIALS.unpack(text))


def feed_from(connected: socket.socket, parser: Parser) -> bool:
    """Read once into the parser; False when nothing is there. Raises `ConnectionClosed` at the end of the stream."""
    try:
        data, ancillary, flags, _ = connected.recvmsg(READ_SIZE, _ANCILLARY_SIZE, socket.MSG_CMSG_CLOEXEC)
    except (BlockingIOError, InterruptedError):
        return False
    except OSError as error:
        raise closed_by(error) from None
    fds = _descriptors(ancillary)
    truncated = bool(flags & socket.MSG_CTRUNC)
    if not data:
        parser.close()
        raise ConnectionClosed("the peer has closed the connection")
    parser.feed(data, fds, truncated=truncated)
    return True


def write_to(connected: socket.socket, data: memoryview, fds: tuple[int, ...]) -> int:
    """Write what fits now, descriptors on the first byte; returns the bytes written, 0 when there is no room."""
    try:
        if not fds:
            return connected.send(data, socket.MSG_NOSIGNAL)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        return connected.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
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


def next_frame(connected: socket.socket, parser: Parser, now: Callable[[], float]) -> Received | None:
    """The next frame of a non-blocking socket, or None when one has to wait for it.

    Raises `ConnectionClosed`, also when the frame that has begun is late (`FRAME_SECS`).
    """
    while (received := parser.next()) is None:
        if not feed_from(connected, parser):
            if parser.incomplete_since is not None and now() - parser.incomplete_since >= FRAME_SECS:
                raise ProtocolViolation(f"a frame stayed incomplete for {FRAME_SECS:g} s")
            return None
    return received


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
