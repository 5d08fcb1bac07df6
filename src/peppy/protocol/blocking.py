"""Frames over a socket for threads: the command line and a node's control thread. No event loop, light to import."""

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from peppy.errors import DaemonUnavailable
from peppy.protocol.frame import ConnectionClosed, Parser, Received, close_all, encode
from peppy.protocol.frames import Frame
from peppy.protocol.wire import (
    READ_SIZE,
    check_complete,
    completion_due,
    duplicates,
    feed_from,
    hang_up,
    peer_credentials,
    write_to,
)

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
        self._drained = False  # the last read has left nothing behind
        self._readable = select.poll()
        self._readable.register(connected, select.POLLIN)
        self._readable.register(self._posted, select.POLLIN)

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
        data = encode(frame, request_id, len(fds), payload)
        self._enter()
        try:
            if (unsent := self._write(data, fds)) is not None:
                while unsent.data:
                    self._wait_writable()
                    self._write_on()
        except ConnectionClosed as error:
            raise self._ended_by(error) from None
        finally:
            self._leave()

    def post(self, frame: Frame, request_id: int = 0, fds: tuple[int, ...] = (), payload: bytes = b"") -> None:
        """Send a frame without ever waiting: what the peer does not take now, the thread that receives writes later.

        The descriptors stay the caller's. Raises as `send` does; `ConnectionClosed` also when the process has no room
        for copies of descriptors that have to wait.
        """
        data = encode(frame, request_id, len(fds), payload)
        self._enter()
        try:
            if self._write(data, fds, copied=True) is not None:
                os.eventfd_write(self._posted, 1)
        except ConnectionClosed as error:
            raise self._ended_by(error) from None
        finally:
            self._leave()

    def receive(self, timeout: float | None = None) -> Received:
        """The next frame. `timeout` in seconds, None waits for ever, 0 takes what is there.

        Raises TimeoutError, `ConnectionClosed`, and `ProtocolViolation` when the peer broke a rule.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._enter()
        try:
            with self._receiving:
                while (received := self._parser.next()) is None:
                    self._read(deadline)
                return received
        except ConnectionClosed as error:
            raise self._ended_by(error) from None
        finally:
            self._leave()

    def close(self) -> None:
        """End the connection; threads that wait in it raise `ConnectionClosed`."""
        self._end(ConnectionClosed("this side has closed the connection"))

    def _enter(self) -> None:
        """Hold the socket open while a thread works on it: a closed descriptor's number may be somebody else's."""
        with self._state:
            if self._closed:
                raise type(self._closed)(self._closed.message)
            self._users += 1

    def _leave(self) -> None:
        with self._state:
            self._users -= 1
        if self._closed:
            self._release_if_unused()

    def _ended_by(self, error: ConnectionClosed) -> ConnectionClosed:
        """The connection ends; what its threads raise, the same for all."""
        self._end(error)
        reason = self._closed or error
        return type(reason)(reason.message)

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

    def _write(self, data: bytes, fds: tuple[int, ...], *, copied: bool = False) -> _Unsent | None:
        """Write a frame behind all others, as far as the peer takes it now; what is left of it, None when nothing is.

        `copied`: the sender does not wait, so the connection needs descriptors of its own.
        """
        with self._writing:
            written = 0
            if not self._unsent:
                written = write_to(self._socket, data, fds)
                if written == len(data):
                    return None
                self._written_at = time.monotonic()
            rest = () if written else fds
            try:
                unsent = _Unsent(memoryview(data)[written:], duplicates(rest) if copied else rest, copied)
            except OSError as error:
                raise ConnectionClosed(f"no room for descriptors that wait: {error.strerror}") from None
            self._unsent.append(unsent)
            return unsent

    def _write_on(self) -> None:
        """Write what waits, as far as the peer takes it now."""
        with self._writing:
            while self._unsent:
                unsent = self._unsent[0]
                written = write_to(self._socket, unsent.data, unsent.fds)
                if not written:
                    return
                self._written_at = time.monotonic()
                if unsent.copied:
                    close_all(unsent.fds)  # they have travelled with the first byte
                unsent.data, unsent.fds = unsent.data[written:], ()
                if not unsent.data:
                    self._unsent.popleft()

    def _wait_writable(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        poll.poll(1000 * max(0.0, self._stalled_at() - time.monotonic()))
        self._check_progress()

    def _stalled_at(self) -> float:
        """When a peer that takes nothing has had its time."""
        return self._written_at + SEND_SECS

    def _check_progress(self) -> None:
        if self._unsent and time.monotonic() >= self._stalled_at():
            raise ConnectionClosed(f"the peer has read nothing for {SEND_SECS:g} s")

    # --- reading -------------------------------------------------------------------------------------------------

    def _read(self, deadline: float | None) -> None:
        """Read once, or wait until there is something to read. Who has a deadline looks first: it may be now."""
        if not self._drained or deadline is not None:
            size = feed_from(self._socket, self._parser)
            self._drained = size < READ_SIZE
            if size:
                return
            check_complete(self._parser, time.monotonic())
        self._wait_readable(deadline)
        self._drained = False

    def _wait_readable(self, deadline: float | None) -> None:
        """Wait for bytes, no longer than the caller or the frame that has begun may take, and write what was posted."""
        due = completion_due(self._parser)
        if deadline is None and due is None and not self._unsent:
            self._heed(self._readable.poll(), unsent=False)
            return
        limits = [limit for limit in (deadline, due) if limit is not None]
        unsent = bool(self._unsent)
        if unsent:
            limits.append(self._stalled_at())
            self._readable.modify(self._socket, select.POLLIN | select.POLLOUT)
        now = time.monotonic() if limits else 0.0
        if deadline is not None and now >= deadline:
            raise TimeoutError("no frame arrived in time")
        ready = self._readable.poll(1000 * max(0.0, min(limits) - now) if limits else None)
        if unsent:
            self._readable.modify(self._socket, select.POLLIN)
        self._heed(ready, unsent=unsent)

    def _heed(self, ready: list[tuple[int, int]], *, unsent: bool) -> None:
        """Write what was posted, before or while this thread waited."""
        if not unsent and not any(fd == self._posted for fd, _ in ready):
            return
        with contextlib.suppress(BlockingIOError):  # it was not what woke this thread
            os.eventfd_read(self._posted)
        self._write_on()
        self._check_progress()
