"""The consumer's end of a stream: take messages by copy or as views, and sleep until there are some."""

from __future__ import annotations

import errno
from functools import partial
from time import monotonic_ns
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Self

from peppy.ring._core import ffi, lib
from peppy.ring.buffers import MessageRecord, ReceiveBuffer, pinned, taken
from peppy.ring.calls import feed, inlet
from peppy.ring.claim import Claim, to_struct
from peppy.ring.config import StreamConfig, stream_config
from peppy.ring.outcome import Outcome, StreamClosed, failure, take_outcome
from peppy.ring.stats import ReaderStats, row_stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from peppy.ring._calls import Feed
    from peppy.ring._core import Pointer

# Plain numbers: comparing with a member of an enumeration costs as much as the call itself.
_OK, _EMPTY, _AGAIN, _TOO_MANY_HELD, _TOO_LONG = (
    int(outcome) for outcome in (Outcome.OK, Outcome.EMPTY, Outcome.AGAIN, Outcome.TOO_MANY_HELD, Outcome.TOO_LONG)
)
_NOTHING = Outcome.EMPTY
_take = lib.peppy_take
_take_copy = lib.peppy_take_copy
_unpin = lib.peppy_unpin
_wait = lib.peppy_wait
_INTERRUPTED = -errno.EINTR


class View(NamedTuple):
    """A message in place: `data` is read-only and does not change as long as any slice of it lives."""

    data: memoryview
    sequence: int
    publish_time_ns: int


_new_view: Callable[[type[View], tuple[memoryview, int, int]], View] = tuple[object].__new__  # half the price of View()


class Reader:
    """One reader's row of one stream generation; every method may be called from any thread.

    All methods raise RuntimeError in a process forked after `open`, and StreamClosed after `close`.
    """

    take_bytes: Callable[[], tuple[bytes, int, int] | Outcome]
    """The next message, copied out: its bytes, sequence and publish time. EMPTY and CLOSED as in `take_into`. The
    shortest way to a small message. The interpreter lock is kept: to wait for one, `receive_bytes`."""

    def __init__(self, raw: Pointer, handle: Pointer, config: StreamConfig) -> None:
        # Views unpin through `_raw`: the core keeps its handle until the last of them is gone. Everything else goes
        # through `_handle`, whose death gives the row up as soon as no call uses it any more.
        self._raw = raw
        self._handle = handle
        self._records = [MessageRecord()]
        calls = inlet(handle)
        self.take_bytes = calls.take
        self._receive = calls.receive
        self.config = config

    @classmethod
    def open(cls, data_fd: int, ctrl_fd: int, claim: Claim, *, newest: bool, space_fd: int = -1) -> Self:
        """Check both segments and take the row of `claim`. The descriptors stay the caller's and may be closed.

        `newest`: a reader that was overtaken goes on with the newest message, else with the oldest still held. Raises
        StaleClaim when the row is somebody else's, OSError when the segments are not those of a stream. `space_fd` is
        the eventfd of a reliable stream's writer: the reader rings it when the writer waits for room.
        """
        cell = ffi.new("struct peppy_reader **")
        code = lib.peppy_reader_open(data_fd, ctrl_fd, to_struct(claim), newest, cell)
        if code:
            raise failure(code, f"attach to row `{claim.row}` of a stream")
        raw = cell[0]
        handle = ffi.gc(raw, lib.peppy_reader_close)
        config = ffi.new("struct peppy_config *")
        code = lib.peppy_reader_config(handle, config)
        if code:
            raise failure(code, "read the geometry of a stream")
        if space_fd >= 0 and (code := lib.peppy_reader_space(handle, space_fd)):
            raise failure(code, "let the writer of a stream be told of room")
        return cls(raw, handle, stream_config(config))

    def feed(
        self,
        producer: str,
        next_sequence: int,
        head: int,
        read: Callable[[bytes], object],
        decode: Callable[[bytes], object],
        lost: Callable[[int], object],
    ) -> Feed:
        """The messages from now on as pairs of `producer` and what `read` makes of the body, taken in one call.

        For payloads that begin with the u32 `head`, the length of the body as u32, and the body. `decode` is given the
        whole of any other payload, and of one that `read` refuses; it raises, and that message is gone. `lost(count)`
        is told of messages between `next_sequence`, the one that is expected, and the one that came. The feed keeps the
        row: drop it before `close`. Belongs to one thread at a time.
        """
        return feed(self._handle, next_sequence, producer, head, read, decode, lost)

    def take_into(self, buffer: ReceiveBuffer) -> tuple[int, int, int] | Outcome:
        """Copy the next message to the start of `buffer.data`: its length, sequence and publish time.

        The buffer grows when it has to. Otherwise EMPTY (nothing now) or CLOSED (nothing ever again).
        """
        while True:
            code = _take_copy(self._handle, buffer.pointer, buffer.room, buffer.message)
            if code == _OK:
                return taken(buffer.records)
            if code == _EMPTY:
                return _NOTHING
            if code == _TOO_LONG:
                buffer.grow(taken(buffer.records)[0])
            elif code != _AGAIN:
                return take_outcome(code)

    def take_many(self, buffer: ReceiveBuffer, limit: int) -> list[tuple[int, int, int, int]] | Outcome:
        """Copy up to `limit` messages in order; offset in `buffer.data`, length, sequence and publish time of each.

        Brings at least one message when there is one, and at most `buffer.messages`; else EMPTY or CLOSED.
        """
        limit = min(limit, buffer.messages)
        while True:
            code = lib.peppy_take_many(self._handle, buffer.pointer, buffer.room, buffer.message, limit, buffer.count)
            if code == _OK:
                return buffer.placed(buffer.count[0])
            if code == _TOO_LONG:
                buffer.grow(taken(buffer.records)[0])
            elif code != _AGAIN:
                return take_outcome(code)

    def take_view(self) -> View | Outcome:
        """Pin the next message and show it in place, until the last slice of its memoryview dies.

        With every pin but one in use the view is of a private copy, counted as `copies_forced`
        (docs/reference/qos.md, Loans). EMPTY and CLOSED as in `take_into`.
        """
        try:
            record = self._records.pop()  # atomic: two threads never write into one record
        except IndexError:
            record = MessageRecord()
        while (code := _take(self._handle, record.message)) == _AGAIN:
            pass
        if code != _OK:
            self._records.append(record)
            return self._take_private_copy() if code == _TOO_MANY_HELD else take_outcome(code)
        length, sequence, publish_time_ns, pin = pinned(record.bytes)
        pointer = ffi.gc(record.message.data, partial(_unpin, self._raw, pin))
        self._records.append(record)
        data = memoryview(ffi.buffer(pointer, length)).toreadonly()
        return _new_view(View, (data, sequence, publish_time_ns))

    def _take_private_copy(self) -> View | Outcome:
        buffer = ReceiveBuffer(0)  # it learns the size from the message
        result = self.take_into(buffer)
        if isinstance(result, Outcome):
            return result
        length, sequence, publish_time_ns = result
        lib.peppy_copy_forced(self._handle)
        return View(memoryview(buffer.data)[:length].toreadonly(), sequence, publish_time_ns)

    def arm(self) -> Outcome:
        """Say "I am about to sleep" and look again: EMPTY = sleep on the doorbell, OK = there is something, CLOSED.

        Read the doorbell before this, never after: the wake-up for a message that comes in between would be lost.
        """
        return take_outcome(lib.peppy_arm(self._handle))

    def waiting_since(self) -> int | None:
        """When the next message was published (CLOCK_MONOTONIC, ns); 0 for one that is lost, None for none."""
        cell = ffi.new("uint64_t *")
        code = lib.peppy_waiting_since(self._handle, cell)
        return None if take_outcome(code) is not Outcome.OK else cell[0]

    def wait(self, doorbell: int, timeout: float | None = None, spin_us: float = 0.0) -> Outcome:
        """Wait, interpreter lock released, until there is something: OK, CLOSED, or EMPTY after `timeout` seconds.

        `doorbell` is the eventfd that the row was reserved with. Signal handlers run; their exceptions come through.
        """
        spin_ns = int(spin_us * 1000) if spin_us else 0
        if timeout is None:
            while (code := _wait(self._handle, doorbell, -1, spin_ns)) == _INTERRUPTED:
                pass
            return take_outcome(code)
        left_ns = max(0, int(timeout * 1e9))
        deadline = monotonic_ns() + left_ns
        while (code := _wait(self._handle, doorbell, left_ns, spin_ns)) == _INTERRUPTED:
            left_ns = max(0, deadline - monotonic_ns())
        return take_outcome(code)

    def spin(self, spin_us: float) -> Outcome:
        """Look again and again, interpreter lock released, for `spin_us`: OK, CLOSED, or EMPTY at the end of it."""
        return take_outcome(lib.peppy_spin(self._handle, int(spin_us * 1000)))

    def receive_bytes(
        self, doorbell: int, timeout: float | None = None, spin_us: float = 0.0
    ) -> tuple[bytes, int, int] | Outcome:
        """`take_bytes`, or `wait` and then `take_bytes`, in one call: EMPTY only after `timeout` seconds."""
        timeout_ns = -1 if timeout is None else max(0, int(timeout * 1e9))
        return self._receive(doorbell, timeout_ns, int(spin_us * 1000) if spin_us else 0)

    def writer_alive(self) -> bool:
        """False when nobody holds the writer's lease any more: take what is left, then give up."""
        code = lib.peppy_writer_alive(self._handle)
        if code < 0:
            raise failure(code, "look for the writer")
        return bool(code)

    def stats(self) -> ReaderStats:
        """This row's counters and the last published sequence."""
        row, head = ffi.new("struct peppy_row_stats *"), ffi.new("uint64_t *")
        code = lib.peppy_reader_stats(self._handle, row, head)
        if code:
            raise failure(code, "read a row's counters")
        return ReaderStats(row_stats(row), head[0])

    def close(self) -> None:
        """Give the row up; views stay valid until they die, a wait in progress ends first. May be called again."""
        if "_handle" in self.__dict__:
            del self._handle, self.take_bytes, self._receive
            object.__setattr__(self, "__class__", _ClosedReader)


class _ClosedReader(Reader):
    """What a reader becomes when it is closed: the hot paths need no test of their own."""

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("_handle", "take_bytes", "_receive"):
            raise StreamClosed("the reader is closed")
        raise AttributeError(name)
