"""Frames over a socket for an event loop; `blocking.py` is its twin for threads (docs/design/protocol.md)."""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable

from peppy.loop import EventLoop
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

MAX_QUEUED = 8 << 20
"""Bytes that may wait for a peer that does not read; one more ends the connection."""

MAX_QUEUED_FDS = 2048
"""Descriptors that may wait for it: each holds something open, a payload of up to 256 KiB among them."""

AT_ONCE = 64
"""After so many frames of one peer the rest of the loop gets its turn."""


class Connection:
    """One connected socket, owned from now on, in the event loop that runs.

    `allowed` names the frames that the peer may send (None: all). One task at a time receives. `peer` says who is at
    the other end, `closed` why the connection has ended (None while it is open).
    """

    def __init__(self, connected: socket.socket, allowed: frozenset[type[Frame]] | None = None) -> None:
        connected.setblocking(False)
        self.peer = peer_credentials(connected)
        self.closed: ConnectionClosed | None = None
        self._socket = connected
        self._parser = Parser(allowed)
        self._loop = asyncio.get_running_loop()
        self._readable: asyncio.Future[None] | None = None
        self._watches_readable = False
        self._drained = False  # the last read has left nothing behind
        self._handle: Callable[[Received], None] | None = None
        self._rest: Callable[[], None] | None = None
        self._served: asyncio.Future[None] | None = None
        self._late: asyncio.TimerHandle | None = None
        self._unsent: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._unsent_size = 0
        self._unsent_fds = 0

    @property
    def unsent(self) -> int:
        """Bytes that wait until the peer reads."""
        return self._unsent_size

    def restrict(self, allowed: frozenset[type[Frame]]) -> None:
        """From the next frame on take only these types: the peer's role is known now."""
        self._parser.restrict(allowed)

    def send(self, frame: Frame, request_id: int = 0, fds: tuple[int, ...] = (), payload: bytes = b"") -> None:
        """Send or queue a frame; never waits. The descriptors stay the caller's, who may close them afterwards.

        Raises `ConnectionClosed` when the connection has ended or ends now because too much is queued, `PeppyError`
        (`Refused`) when the frame is too large: then nothing was sent.
        """
        if self.closed:
            raise self._reason()
        data = encode(frame, request_id, len(fds), payload)
        if len(data) + self._unsent_size > MAX_QUEUED or len(fds) + self._unsent_fds > MAX_QUEUED_FDS:
            self._end(ConnectionClosed(f"the peer does not read: {self._unsent_size} bytes wait for it"))
            raise self._reason()
        try:
            written = 0 if self._unsent else write_to(self._socket, memoryview(data), fds)
            if written < len(data):
                self._queue(memoryview(data)[written:], () if written else duplicates(fds))
        except ConnectionClosed as error:
            self._end(error)
            raise
        except OSError as error:
            self._end(ConnectionClosed(f"no room for descriptors that wait: {error.strerror}"))
            raise self._reason() from None

    async def receive(self) -> Received:
        """The next frame. Raises `ConnectionClosed`; a `ProtocolViolation` when the peer broke a rule."""
        while True:
            if self.closed:
                raise self._reason()
            try:
                if (received := self._parser.next()) is not None:
                    return received
                if self._read():
                    continue
            except ConnectionClosed as error:
                self._end(error)
                raise
            await self._wait_readable()
            self._drained = False

    async def serve(self, handle: Callable[[Received], None], rest: Callable[[], None] | None = None) -> None:
        """Hand every frame to `handle` as it arrives, until the connection ends, in place of `receive`; call `rest`
        behind the frames that were there together, before anybody else's turn.

        No task wakes for a frame: the loop's own callback reads it, so a peer that waits is answered a pass earlier.
        Raises as `receive` does, and whatever `handle` raises.
        """
        self._rest = rest
        self._handle, self._served = handle, self._loop.create_future()
        try:
            self._drained = False
            self._hand_out()
            if not self.closed:
                self._watch_arrivals()
            await self._served
        finally:
            self._handle = None
            self._wait_for_rest(None)
            if not self.closed:
                self._stop_watching()

    def close(self) -> None:
        """End the connection; a waiting `receive` raises `ConnectionClosed`. What is still queued is dropped."""
        self._end(ConnectionClosed("this side has closed the connection"))

    def _reason(self) -> ConnectionClosed:
        assert self.closed is not None
        return type(self.closed)(self.closed.message)

    def _end(self, reason: ConnectionClosed) -> None:
        if self.closed:
            return
        self.closed = reason
        self._stop_watching()
        self._loop.remove_writer(self._socket)
        hang_up(self._socket)
        self._socket.close()
        self._parser.close()
        for _, fds in self._unsent:
            close_all(fds)
        self._unsent.clear()
        self._wake()
        if self._served is not None and not self._served.done():
            self._served.set_exception(self._reason())

    # --- reading ---------------------------------------------------------------------------------------------------

    def _read(self) -> bool:
        """Read once; False when nothing is there."""
        size = 0 if self._drained else feed_from(self._socket, self._parser)
        self._drained = size < READ_SIZE
        if not size and self._parser.incomplete_since is not None:
            check_complete(self._parser, time.monotonic())
        return size > 0

    async def _wait_readable(self) -> None:
        """Wait for bytes, no longer than the frame that has begun may take."""
        if self._readable is not None:
            raise RuntimeError("another task is receiving from this connection")
        if not self._watches_readable:
            self._loop.add_reader(self._socket, self._on_readable)
            self._watches_readable = True
        self._readable = self._loop.create_future()
        due = completion_due(self._parser)
        late = None if due is None else self._loop.call_at(due, self._wake)
        try:
            await self._readable
        finally:
            self._readable = None
            if late:
                late.cancel()

    def _watch_arrivals(self) -> None:
        """From now on `_on_arrival` reads, at once where the loop can do that."""
        self._stop_watching()
        if isinstance(self._loop, EventLoop) and not self._unsent:
            self._loop.serve(self._socket.fileno(), self._on_arrival)
        else:
            self._loop.add_reader(self._socket, self._on_arrival)

    def _stop_watching(self) -> None:
        self._watches_readable = False
        if isinstance(self._loop, EventLoop):
            self._loop.stop_serving(self._socket.fileno())
        self._loop.remove_reader(self._socket)

    def _on_arrival(self) -> None:
        self._drained = False
        self._hand_out()

    def _hand_out(self) -> None:
        """Hand out the frames that are there, not too many at once."""
        handle, served = self._handle, self._served
        if handle is None or served is None or served.done():
            return
        parser = self._parser
        try:
            for _ in range(AT_ONCE):
                while (received := parser.next()) is None:
                    if self.closed or not self._read():
                        if self._late is not None or parser.incomplete_since is not None:
                            self._wait_for_rest(completion_due(parser))
                        return
                handle(received)
            self._loop.call_soon(self._hand_out)
        except Exception as error:
            if isinstance(error, ConnectionClosed):
                self._end(error)
            if not served.done():
                served.set_exception(error)
        finally:
            if self._rest is not None:
                self._rest()

    def _wait_for_rest(self, due: float | None) -> None:
        """Look again when the frame that has begun is late."""
        if self._late is not None:
            self._late.cancel()
        self._late = None if due is None else self._loop.call_at(due, self._hand_out)

    def _on_readable(self) -> None:
        if self._readable is None:  # nobody receives: the kernel keeps the bytes, and the peer is held back
            self._loop.remove_reader(self._socket)
            self._watches_readable = False
        self._wake()

    def _wake(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    # --- writing ---------------------------------------------------------------------------------------------------

    def _queue(self, data: memoryview, fds: tuple[int, ...]) -> None:
        if not self._unsent:
            if self._handle is not None:  # the loop waits for both directions in one way or the other
                self._stop_watching()
                self._loop.add_reader(self._socket, self._on_arrival)
            self._loop.add_writer(self._socket, self._on_writable)
        self._unsent.append((data, fds))
        self._unsent_size += len(data)
        self._unsent_fds += len(fds)

    def _on_writable(self) -> None:
        try:
            while self._unsent:
                data, fds = self._unsent[0]
                written = write_to(self._socket, data, fds)
                if written == 0:
                    return
                close_all(fds)
                self._unsent_fds -= len(fds)
                self._unsent_size -= written
                if written < len(data):
                    self._unsent[0] = (data[written:], ())
                    return
                self._unsent.popleft()
        except ConnectionClosed as error:
            self._end(error)
            return
        self._loop.remove_writer(self._socket)
        if self._handle is not None:
            self._watch_arrivals()
