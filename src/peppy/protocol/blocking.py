"""Frames over a socket for threads: the command line and a node's control thread. No event loop, light to import."""

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Generator
from pathlib import Path

from peppy.errors import DaemonUnavailable
from peppy.protocol.frame import ConnectionClosed, Parser, Received, encode
from peppy.protocol.frames import Frame
from peppy.protocol.wire import FRAME_SECS, hang_up, next_frame, peer_credentials, write_to

CONNECT_SECS = 5.0
"""How long a daemon may leave a new connection in its queue."""

SEND_SECS = 5.0
"""How long a peer may leave a frame unread; then the connection ends."""

_MAX_PATH = 107


class DaemonNotRunning(DaemonUnavailable):
    """Nobody listens at the socket: starting a daemon helps."""


def connect(path: Path) -> socket.socket:
    """A socket connected to the daemon at `path`.

    Raises `DaemonNotRunning` when nobody listens, `DaemonUnavailable` when the socket cannot be used or is not ours.
    """
    if len(os.fsencode(path)) > _MAX_PATH:
        raise DaemonUnavailable(
            f"the socket path `{path}` is longer than {_MAX_PATH} bytes",
            kind="DaemonUnreachable",
            hint="set PEPPY_HOME to a shorter path",
        )
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        seconds, fraction = divmod(CONNECT_SECS, 1)
        limit = struct.pack("ll", int(seconds), int(fraction * 1e6))
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        connected.connect(os.fspath(path))
        _check_owner(connected, path)
    except OSError as error:
        connected.close()
        raise (error if isinstance(error, DaemonUnavailable) else _unavailable(path, error)) from None
    return connected


def _check_owner(connected: socket.socket, path: Path) -> None:
    uid = peer_credentials(connected).uid
    if uid != os.geteuid():
        raise DaemonUnavailable(
            f"the socket `{path}` belongs to the user with uid {uid}",
            kind="DaemonUnreachable",
            hint="set PEPPY_HOME to a directory of your own",
        )


def _unavailable(path: Path, error: OSError) -> DaemonUnavailable:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
        return DaemonNotRunning(
            "the peppy daemon is not running", kind="DaemonUnreachable", hint="run peppy service serve"
        )
    if isinstance(error, BlockingIOError):
        return DaemonUnavailable(
            f"the peppy daemon at `{path}` does not answer", kind="DaemonUnreachable", hint="run peppy service status"
        )
    return DaemonUnavailable(
        f"cannot connect to `{path}`: {error.strerror or error}",
        kind="DaemonUnreachable",
        hint="run peppy service status",
    )


class BlockingConnection:
    """One connected socket, owned from now on. Any thread sends and closes; threads that receive take turns."""

    def __init__(self, connected: socket.socket, allowed: frozenset[type[Frame]] | None = None) -> None:
        connected.setblocking(False)
        self.peer = peer_credentials(connected)
        self._socket = connected
        self._parser = Parser(allowed)
        self._closed: ConnectionClosed | None = None
        self._users = 0  # threads inside send or receive; the last one closes the socket after the end
        self._state = threading.Lock()
        self._sending = threading.Lock()
        self._receiving = threading.Lock()

    @property
    def closed(self) -> ConnectionClosed | None:
        """Why the connection has ended; None while it is open."""
        return self._closed

    def fileno(self) -> int:
        """The socket, to wait for input on; -1 once closed. Frames read before may wait inside: `receive(0)` first."""
        return self._socket.fileno()

    def send(self, frame: Frame, request_id: int = 0, fds: tuple[int, ...] = (), payload: bytes = b"") -> None:
        """Send a frame whole. The descriptors stay the caller's.

        Raises `ConnectionClosed`, also when the peer leaves it unread for `SEND_SECS`; `PeppyError` (`Refused`) when
        the frame is too large: then nothing was sent.
        """
        data = memoryview(encode(frame, request_id, len(fds), payload))
        with self._used(), self._sending:
            self._send_all(data, fds)

    def receive(self, timeout: float | None = None) -> Received:
        """The next frame. `timeout` in seconds, None waits for ever, 0 takes what is there.

        Raises TimeoutError, `ConnectionClosed`, and `ProtocolViolation` when the peer broke a rule.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._used(), self._receiving:
            while (received := next_frame(self._socket, self._parser, time.monotonic)) is None:
                self._wait_readable(deadline)
            return received

    def close(self) -> None:
        """End the connection; threads that wait in it raise `ConnectionClosed`."""
        self._end(ConnectionClosed("this side has closed the connection"))

    @contextlib.contextmanager
    def _used(self) -> Generator[None]:
        """Hold the socket open while a thread works on it: a closed descriptor's number may be somebody else's."""
        with self._state:
            if self._closed:
                raise type(self._closed)(self._closed.message)
            self._users += 1
        try:
            yield
        except ConnectionClosed as error:
            self._end(error)
            raise type(self._closed or error)((self._closed or error).message) from None
        finally:
            with self._state:
                self._users -= 1
            self._release_if_unused()

    def _end(self, reason: ConnectionClosed) -> None:
        with self._state:
            if self._closed:
                return
            self._closed = reason
            hang_up(self._socket)  # wakes the threads that wait
        self._release_if_unused()

    def _release_if_unused(self) -> None:
        with self._state:
            if self._closed and self._users == 0:
                self._socket.close()
                self._parser.close()

    def _send_all(self, data: memoryview, fds: tuple[int, ...]) -> None:
        deadline = time.monotonic() + SEND_SECS
        while data:
            written = write_to(self._socket, data, fds)
            if written:
                data, fds = data[written:], ()
            elif not _ready(self._socket, select.POLLOUT, deadline - time.monotonic()):
                raise ConnectionClosed(f"the peer has read nothing for {SEND_SECS:g} s")

    def _wait_readable(self, deadline: float | None) -> None:
        """Wait for bytes, no longer than the caller or the frame that has begun may take."""
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise TimeoutError("no frame arrived in time")
        since = self._parser.incomplete_since
        limits = [limit for limit in (deadline, since and since + FRAME_SECS) if limit is not None]
        _ready(self._socket, select.POLLIN, min(limits) - now if limits else None)


def _ready(connected: socket.socket, event: int, seconds: float | None) -> bool:
    poll = select.poll()
    poll.register(connected, event)
    return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))
