"""Frames over a socket for threads: the command line and a node's control thread. No event loop, light to import."""

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from peppy.errors import DaemonUnavailable
from peppy.protocol.frame import ConnectionClosed, Parser, Received, close_all, encode
from peppy.protocol.frames import Frame
from peppy.protocol.wire import FRAME_SECS, duplicates, hang_up, next_frame, peer_credentials, write_to

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


@dataclass(slots=True)
class _Unsent:
    """What is left of a frame. `copied`: the descriptors are the connection's own, the sender has gone on."""

    data: memoryview
    fds: tuple[int, ...]
    copied: bool = False


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
        self._writing = threading.Lock()  # held for one attempt to write, never while somebody waits
        self._receiving = threading.Lock()
        self._unsent: deque[_Unsent] = deque()
        self._written_at = 0.0  # when the peer last took something, or had nothing left to take
        self._posted = os.eventfd(
            0, os.EFD_CLOEXEC | os.EFD_NONBLOCK
        )  # wakes who receives: there is something to write

    @property
    def closed(self) -> ConnectionClosed | None:
        """Why the connection has ended; None while it is open."""
        return self._closed

    def fileno(self) -> int:
        """The socket, to wait for input on; -1 once closed. Frames read before may wait inside: `receive(0)` first."""
        return self._socket.fileno()

    def send(self, frame: Frame, request_id: int = 0, fds: tuple[int, ...] = (), payload: bytes = b"") -> None:
        """Send a frame whole. The descriptors stay the caller's.

        Raises `ConnectionClosed`, also when the peer reads nothing for `SEND_SECS`; `PeppyError` (`Refused`) when
        the frame is too large: then nothing was sent.
        """
        unsent = _Unsent(memoryview(encode(frame, request_id, len(fds), payload)), fds)
        with self._used():
            self._write(unsent)
            while unsent.data:
                self._wait_writable()
                self._write()

    def post(self, frame: Frame, request_id: int = 0, fds: tuple[int, ...] = (), payload: bytes = b"") -> None:
        """Send a frame without ever waiting: what the peer does not take now, the thread that receives writes later.

        The descriptors stay the caller's. Raises as `send` does; `ConnectionClosed` also when the process has no room
        for copies of descriptors that have to wait.
        """
        unsent = _Unsent(memoryview(encode(frame, request_id, len(fds), payload)), fds)
        with self._used():
            self._write(unsent, waits=False)

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
            if self._closed and self._users == 0 and self._posted >= 0:
                self._socket.close()
                self._parser.close()
                os.close(self._posted)
                self._posted = -1
                for unsent in self._unsent:
                    if unsent.copied:
                        close_all(unsent.fds)
                self._unsent.clear()

    # --- writing -------------------------------------------------------------------------------------------------

    def _write(self, frame: _Unsent | None = None, *, waits: bool = True) -> None:
        """Write what the peer takes now, `frame` behind all others. One that does not wait leaves copies of its
        descriptors, and wakes who receives when it is the first that has to be written there."""
        with self._writing:
            if not self._unsent:
                self._written_at = time.monotonic()
            if frame is not None:
                self._unsent.append(frame)
            while self._unsent:
                unsent = self._unsent[0]
                written = write_to(self._socket, unsent.data, unsent.fds)
                if not written:
                    break
                self._written_at = time.monotonic()
                self._forget_descriptors(unsent)
                unsent.data = unsent.data[written:]
                if not unsent.data:
                    self._unsent.popleft()
            if frame is None or waits or not frame.data:
                return
            try:
                frame.fds, frame.copied = duplicates(frame.fds), True
            except OSError as error:
                self._unsent.pop()
                raise ConnectionClosed(f"no room for descriptors that wait: {error.strerror}") from None
        os.eventfd_write(self._posted, 1)

    def _forget_descriptors(self, unsent: _Unsent) -> None:
        """They have travelled with the first byte."""
        if unsent.copied:
            close_all(unsent.fds)
        unsent.fds = ()

    def _wait_writable(self) -> None:
        left = self._written_at + SEND_SECS - time.monotonic()
        if left <= 0:
            raise ConnectionClosed(f"the peer has read nothing for {SEND_SECS:g} s")
        _wait({self._socket.fileno(): select.POLLOUT}, left)

    # --- reading -------------------------------------------------------------------------------------------------

    def _wait_readable(self, deadline: float | None) -> None:
        """Wait for bytes, no longer than the caller or the frame that has begun may take, and write what was posted."""
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise TimeoutError("no frame arrived in time")
        since = self._parser.incomplete_since
        limits = [limit for limit in (deadline, since and since + FRAME_SECS) if limit is not None]
        events = select.POLLIN
        if self._unsent:
            events |= select.POLLOUT
            limits.append(self._written_at + SEND_SECS)
        ready = _wait(
            {self._socket.fileno(): events, self._posted: select.POLLIN}, min(limits) - now if limits else None
        )
        if self._posted in ready:
            os.eventfd_read(self._posted)
        if self._unsent:
            self._write()
            if self._unsent and time.monotonic() >= self._written_at + SEND_SECS:
                raise ConnectionClosed(f"the peer has read nothing for {SEND_SECS:g} s")


def _wait(wanted: dict[int, int], seconds: float | None) -> set[int]:
    """Wait for one of the events of each descriptor; the descriptors that have one."""
    poll = select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    return {fd for fd, _ in poll.poll(None if seconds is None else max(0.0, seconds) * 1000)}
