"""Writing topics: one stream per topic and process, for `emit` and all publishers (docs/reference/qos.md, Writing).

The stream is made at the first message, when its size is known. From then on a publisher's `_put` is bound straight to
the stream, so that a message costs its encoding and one call into the core.
"""

import os
import secrets
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from peppy.codec import Gathered, Plan, Room
from peppy.errors import PeppyError
from peppy.model.names import stable_hash
from peppy.model.qos import QoSProfile
from peppy.ring import Claim, History, Loan, MessageTooLong, StreamClosed, Writer
from peppy.ring import plan as plan_geometry
from peppy.runtime.config import TopicSettings
from peppy.runtime.write_loan import L

if TYPE_CHECKING:
    from peppy.runtime.streams import Streams

SMALLEST_CAPACITY = 4096
"""Bytes of room for messages whose format has no fixed size; twice the first message when that is more."""

Payload = bytes | Gathered


class PublisherStats(NamedTuple):
    """Counters of a topic's writer in this process (docs/reference/qos.md, Drop accounting)."""

    published: int
    readers: int
    waits: int
    timeouts: int


class TopicWriter:
    """The one writer of a topic in this process; every method may be called from any thread."""

    def __init__(
        self, name: str, qos: QoSProfile, plan: Plan[Any], settings: TopicSettings, control: "Streams"
    ) -> None:
        self.name = name
        self.qos = qos
        self.plan = plan
        self.stream_id = secrets.randbits(63) or 1
        self._settings = settings
        self._control = control
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._closed = False
        self._due: int | None = None  # readers that wait for the stream, as the daemon says; None until it has
        self._asked_for = 0  # rows
        self._tickets: dict[int, int] = {}  # of rows that were reserved, until they are known to be free
        self._readers: dict[int, str] = {}  # by row, the instance id of who had it last
        self._counted = PublisherStats(0, 0, 0, 0)  # when there is no stream, or none any more
        self._publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()
        self.put: Callable[[Any], None] = self._first
        plan.prepare_encode()

    def stream(self, length: int) -> Writer:
        """The stream, made now if this is the first message, of `length` bytes."""
        self.check_length(length)
        with self._lock:
            if self._closed:
                raise RuntimeError(f"topic `{self.name}` is closed: the node is shutting down")
            if self._writer is not None:
                return self._writer
            self._control.check_process()
            self._writer = writer = self._create(length)
            self._bind(self._put_of_stream())
        self._control.open_stream(self)
        return writer

    def loan(self, kind: type[L], room: Room) -> L:
        """A write loan of class `kind`; RuntimeError when too many are out, ValueError for one that does not fit."""
        loan = self._take_loan(room.length)
        return kind(loan, room.draft(loan.view))

    def check_length(self, length: int) -> None:
        """ValueError when no stream of this node may carry a message of so many bytes."""
        limit = self._settings.max_message_bytes
        if length > limit:
            raise ValueError(f"a message of `{length}` bytes on topic `{self.name}` is over the limit of `{limit}`")

    def join(self, publisher: "Publisher") -> None:
        """Let `publisher` write here: its `_put` follows this writer's."""
        with self._lock:
            self._publishers.add(publisher)
            publisher._put = self.put  # pyright: ignore[reportPrivateUsage]

    def leave(self, publisher: "Publisher") -> None:
        """`publisher` is closed; the stream stays, other publishers and `emit` may go on."""
        with self._lock:
            self._publishers.discard(publisher)

    def close(self) -> None:
        """Close the stream: readers take what is left. Later messages raise RuntimeError."""
        with self._lock:
            if self._closed:
                return
            self._counted = self._stats()
            self._closed = True
            self._bind(self._refuse)
            writer = self._writer
            if writer is None:
                return
            writer.close()
        self._control.close_stream(self)

    def stats(self) -> PublisherStats:
        """Zeros before the first message, the last counters after the end."""
        with self._lock:
            return self._counted if self._closed else self._stats()

    def _stats(self) -> PublisherStats:
        if self._writer is None:
            return self._counted
        stats = self._writer.stats()
        return PublisherStats(stats.published, stats.live_rows, 0, 0)

    # --- for the control thread ------------------------------------------------------------------------------------

    @contextmanager
    def kept_open(self) -> Generator[tuple[int, ...] | None]:
        """The stream's descriptors, which nobody closes meanwhile; None when the stream is closed already.

        DATA, CTRL and, where writers wait, the eventfd that readers ring for room.
        """
        with self._lock:
            writer = self._writer
            if writer is None or self._closed:
                yield None
                return
            space = (writer.space_fd,) if writer.space_fd >= 0 else ()
            yield (writer.data_fd, writer.ctrl_fd, *space)

    def reserve_row(self, doorbell: int, history: int, reader: str = "", *, overwriting: bool = False) -> Claim:
        """Reserve a row for a reader to come, of the instance `reader`; TooManyReaders when all 64 are taken.

        `overwriting`: it never holds a writer that waits for others (docs/reference/qos.md, Back-pressure).
        """
        assert self._writer is not None
        try:
            claim = self._writer.reserve_row(doorbell, History(history))
        finally:
            self._asked_for += 1
        self._tickets[claim.row] = claim.ticket
        self._readers[claim.row] = reader
        if overwriting:
            self._writer.overwrite_row(claim.row, claim.ticket)
        return claim

    def release_unclaimed_rows(self) -> None:
        """The daemon that asked for rows is gone: those that no reader has claimed are nobody's, and those of readers
        that have died meanwhile. Who comes too late finds its claim stale and is given another row."""
        self._due, self._asked_for = None, 0  # the next daemon counts anew
        for row, ticket in list(self._tickets.items()):
            self.release_row(row, ticket)

    def release_row(self, row: int, ticket: int) -> None:
        """The reader left or never came. A row whose owner still lives is taken back by a later scan.

        Ticket 0: a reader that was due left before a row was asked for.
        """
        if ticket == 0:
            self._asked_for += 1
            return
        if self._writer is not None:
            with suppress(StreamClosed):
                if self._writer.release_row(row, ticket) and self._tickets.get(row) == ticket:
                    del self._tickets[row]

    def forget_doorbell(self, fd: int) -> None:
        """No row may ring `fd` from now on."""
        if self._writer is not None:
            with suppress(StreamClosed):
                self._writer.forget_doorbell(fd)

    def opened(self, waiting: int) -> None:
        """The daemon knows the stream; so many readers have waited for it and will be attached now."""
        self._due = waiting

    @property
    def has_readers_due(self) -> bool:
        """Whether readers that were there before the stream have not been attached yet."""
        is_open = self._writer is not None and not self._closed
        return is_open and (self._due is None or self._asked_for < self._due)

    def registered(self, error: PeppyError | None) -> None:
        """The daemon's answer to the registration of the stream: without it nobody is attached."""
        self.opened(0)
        if error is not None:
            print(f"[ERROR] topic `{self.name}` reaches nobody: {error}", file=sys.stderr, flush=True)

    # --- putting ---------------------------------------------------------------------------------------------------

    def _first(self, payload: Payload) -> None:
        self.stream(payload.length if isinstance(payload, Gathered) else len(payload))
        self.put(payload)

    def _put_of_stream(self) -> Callable[[Any], None]:
        """What publishes a message once there is a stream."""
        assert self._writer is not None
        return self._put_gathered if self.plan.bulk_count else self._writer.publisher(self._refused)

    def _take_loan(self, length: int) -> Loan:
        try:
            return self.stream(length).loan(length)
        except (MessageTooLong, OSError) as error:
            raise self._refused(error, length) from error

    def _put_gathered(self, payload: Gathered) -> None:
        assert self._writer is not None
        try:
            self._writer.publish_parts([(payload.head, 0), *payload.parts], payload.length)
        except (MessageTooLong, OSError) as error:
            raise self._refused(error, payload.length) from error

    def _refuse(self, _payload: Payload) -> None:
        raise RuntimeError(f"topic `{self.name}` is closed: the node is shutting down")

    def _refused(self, error: Exception, length: int) -> Exception:
        """What a person is told when the core refuses a message of `length` bytes."""
        if isinstance(error, MessageTooLong):
            return ValueError(
                f"a message of `{error.length}` bytes on topic `{self.name}` does not fit the stream, whose first "
                f"message made room for `{error.capacity}`; growing a stream is not supported yet\n"
                "hint: publish the largest message first"
            )
        return self._no_room(error, length) if isinstance(error, OSError) else error

    def _no_room(self, error: OSError, length: int) -> OSError:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return OSError(
            error.errno,
            f"no room for a message of `{length}` bytes on topic `{self.name}`, `{free}` bytes of memory are free: "
            f"{os.strerror(error.errno or 0)}",
        )

    def _bind(self, put: Callable[[Any], None]) -> None:
        """Under the lock."""
        self.put = put
        for publisher in self._publishers:
            publisher._put = put  # pyright: ignore[reportPrivateUsage]

    def _create(self, length: int) -> Writer:
        fixed = self.plan.fixed_size
        capacity = fixed if fixed is not None else max(SMALLEST_CAPACITY, 2 * length)
        capacity = max(length, min(capacity, self._settings.max_message_bytes))
        geometry = plan_geometry(self._settings.depth_of(self.qos), self._settings.ring_bytes, capacity)
        try:
            return Writer.create(
                geometry,
                topic_hash=stable_hash(self.name),
                schema_hash=self.plan.schema_hash,
                mode=int(self.qos),
                reliable=self.qos.waits,
            )
        except OSError as error:
            raise self._no_room(error, length) from error


class Publisher:
    """Base of the generated publishers. Made by `declare_publisher`; every method may be called from any thread."""

    def __init__(self, writer: TopicWriter) -> None:
        self._writer = writer
        self._closed = False
        self._put: Callable[[Any], None] = writer.put
        writer.join(self)

    def _loan(self, kind: type[L], shapes: Mapping[str, int | Sequence[int]], body_reserve: int) -> L:
        if self._closed:
            self._refuse(b"")
        room = self._writer.plan.room(shapes, body_reserve)
        return self._writer.loan(kind, room)

    def stats(self) -> PublisherStats:
        """Counters of the topic's stream in this process."""
        return self._writer.stats()

    def close(self) -> None:
        """End this publisher; a later `publish` raises RuntimeError. Others of the topic go on."""
        self._closed = True
        self._writer.leave(self)
        self._put = self._refuse

    def _refuse(self, _payload: Payload) -> None:
        raise RuntimeError(f"this publisher of topic `{self._writer.name}` is closed")

    def __await__(self) -> Generator[Any, None, Self]:
        """The publisher itself: the daemon knows the topic from the manifest, the stream comes with a message."""
        return self
        yield  # a generator, as `await` wants one
