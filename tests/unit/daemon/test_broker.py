"""The broker of topics with nodes that answer when a test says so (docs/design/protocol.md, Sequences)."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from peppy.daemon import attaching, topics
from peppy.daemon.topics import TopicBroker
from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.model.qos import QoSProfile
from peppy.protocol.answers import Answer, Attached, StreamOpened, Subscribed
from peppy.protocol.frame import ConnectionClosed
from peppy.protocol.frames import Frame, Probe
from peppy.protocol.streams import (
    Attach,
    Attachment,
    AttachmentRefused,
    AttachmentStale,
    DoorbellGone,
    RowLeft,
    StreamClose,
    StreamGone,
    StreamOpen,
    Subscribe,
    Unsubscribe,
)
from peppy.ring import History, Writer, plan

F = TypeVar("F", bound=Frame)
CLAIM = (1, 2, 1, 4, 77, 1)
"""Row 4 with ticket 77."""


class Node:
    """A node process, which is this process: what it was sent, and what it has been asked."""

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        self.reference = Reference("cam", "v1")
        self.pid = os.getpid()
        self.sent: list[Frame] = []
        self.descriptors = 0
        """How many came with the last frame."""
        self.asked: list[tuple[Attach, int, asyncio.Future[Answer]]] = []

    def send(self, frame: Frame, fds: tuple[int, ...] = ()) -> None:
        for fd in fds:
            os.fstat(fd)
        self.sent.append(frame)
        self.descriptors = len(fds)

    async def request(self, frame: Frame, fds: tuple[int, ...] = (), timeout: float | None = 1.0) -> Answer:
        assert isinstance(frame, Attach)
        assert timeout is None, "a row that is reserved late would be nobody's"
        for fd in fds:
            os.fstat(fd)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.asked.append((frame, len(fds), answer))
        return await answer

    def of(self, kind: type[F]) -> list[F]:
        return [frame for frame in self.sent if isinstance(frame, kind)]

    async def answer(self, result: Answer | PeppyError) -> Attach:
        """Answer the oldest question."""
        await settled()
        frame, _, answer = self.asked.pop(0)
        if isinstance(result, PeppyError):
            answer.set_exception(result)
        else:
            answer.set_result(result)
        await settled()
        return frame


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@contextmanager
def stream(*, reliable: bool = False) -> Iterator[tuple[int, ...]]:
    """The descriptors of a stream, to be given away."""
    geometry = plan(8, ring_bytes=1 << 20, capacity=64)
    writer = Writer.create(geometry, topic_hash=1, schema_hash=2, mode=1, reliable=reliable)
    fds = (writer.data_fd, writer.ctrl_fd, writer.space_fd) if reliable else (writer.data_fd, writer.ctrl_fd)
    yield tuple(os.dup(fd) for fd in fds)
    writer.close()


def with_broker(claim: Callable[[TopicBroker], Coroutine[Any, Any, None]]) -> None:
    """Run the claim; the broker leaves no descriptor."""

    async def run() -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        broker = TopicBroker(lambda *_all: True)
        async with asyncio.timeout(60):
            await claim(broker)
        broker.close()
        await settled()
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    asyncio.run(run())


def connected(broker: TopicBroker, instance_id: str) -> Node:
    node = Node(instance_id)
    broker.connected(node)
    return node


def opened(broker: TopicBroker, node: Node, stream_id: int = 9, *, schema_hash: int = 5) -> Answer | None:
    with stream() as fds:
        return broker.handle(node, StreamOpen(stream_id, "t", int(QoSProfile.Standard), schema_hash, 1), fds)


def subscribed(broker: TopicBroker, node: Node, number: int = 1, *held: tuple[int, int, int]) -> Answer | None:
    bell = os.eventfd(0, os.EFD_CLOEXEC)
    return broker.handle(node, Subscribe(number, "slot", "t", 5, held), (bell,))


# --- attaching ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader_first", [True, False])
def test_a_reader_and_a_writer_meet_in_any_order(reader_first: bool):
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        if reader_first:
            assert subscribed(broker, reader) == Subscribed(producers=0)
            assert opened(broker, writer) == StreamOpened(waiting=1)
        else:
            assert opened(broker, writer) == StreamOpened(waiting=0)
            assert subscribed(broker, reader) == Subscribed(producers=1)
        attach = await writer.answer(Attached(CLAIM))
        assert attach.history == (History.ALL if reader_first else History.NONE)
        assert reader.of(Attachment) == [Attachment(1, 9, "t", 1, CLAIM)]

    with_broker(claim)


def test_a_reader_that_leaves_before_it_is_asked_for_costs_nothing():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        subscribed(broker, reader)
        broker.handle(reader, Unsubscribe(1), ())
        await settled()
        assert writer.asked == []

    with_broker(claim)


def test_a_producer_that_waits_for_a_reader_hears_that_it_left_before_it_was_asked_for():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        subscribed(broker, reader)
        assert opened(broker, writer) == StreamOpened(waiting=1)
        broker.handle(reader, Unsubscribe(1), ())
        await settled()
        assert writer.asked == []
        assert writer.of(RowLeft) == [RowLeft(9, 0, 0)]

    with_broker(claim)


def test_a_producer_is_told_who_reads_and_whether_it_may_be_overwritten():
    async def claim(broker: TopicBroker) -> None:
        reader, writer, watcher = connected(broker, "l"), connected(broker, "t"), Node("peppy-cli-1")
        opened(broker, writer)
        subscribed(broker, reader)
        assert watched(broker, watcher, reads=True)
        asked = [await writer.answer(Attached(CLAIM)) for _ in range(2)]
        assert [(frame.reader_instance_id, frame.overwriting) for frame in asked] == [
            ("l", False),
            ("peppy-cli-1", True),
        ]

    with_broker(claim)


def test_readers_get_every_descriptor_of_the_stream():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        with stream(reliable=True) as fds:
            broker.handle(writer, StreamOpen(9, "t", int(QoSProfile.Reliable), 5, 1), fds)
        subscribed(broker, reader)
        await writer.answer(Attached(CLAIM))
        assert reader.of(Attachment)
        assert reader.descriptors == 3

    with_broker(claim)


def test_a_reader_that_leaves_while_it_is_asked_for_gives_its_row_back():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        subscribed(broker, reader)
        await settled()
        broker.handle(reader, Unsubscribe(1), ())
        assert len(writer.of(DoorbellGone)) == 1
        await writer.answer(Attached(CLAIM))
        assert writer.of(RowLeft) == [RowLeft(9, 4, 77)]
        assert reader.of(Attachment) == []

    with_broker(claim)


def test_a_stream_that_ends_while_it_is_asked_is_read_to_its_end():
    """The producer's answer was sent before its end, whatever is seen first here."""

    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        subscribed(broker, reader)
        await settled()
        broker.handle(writer, StreamClose(9), ())
        assert reader.sent == []
        await writer.answer(Attached(CLAIM))
        assert [type(frame) for frame in reader.sent] == [Attachment, StreamGone]

    with_broker(claim)


def test_a_doorbell_is_handed_over_once():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        subscribed(broker, reader)
        for stream_id in (9, 10):
            opened(broker, writer, stream_id)
        await settled()
        (first, one, _), (second, two, _) = writer.asked
        assert (one, two) == (1, 0)
        assert first.doorbell_id == second.doorbell_id
        broker.handle(reader, Unsubscribe(1), ())
        assert writer.of(DoorbellGone) == [DoorbellGone(first.doorbell_id)]

    with_broker(claim)


def test_a_stale_row_goes_back_and_another_is_asked_for():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        subscribed(broker, reader)
        await writer.answer(Attached(CLAIM))
        broker.handle(reader, AttachmentStale(1, 9, 4, 76), ())  # another ticket: old news
        broker.handle(reader, AttachmentStale(1, 9, 4, 77), ())
        assert writer.of(RowLeft) == [RowLeft(9, 4, 77)]
        await writer.answer(Attached((1, 2, 1, 5, 78, 1)))
        assert [frame.claim[3:5] for frame in reader.of(Attachment)] == [(4, 77), (5, 78)]

    with_broker(claim)


def test_a_reader_that_lacks_something_is_attached_after_a_pause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attaching, "RETRY_SECS", 0.05)

    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        subscribed(broker, reader)
        await writer.answer(Attached(CLAIM))
        broker.handle(reader, AttachmentStale(1, 9, 4, 77, "Too many open files"), ())
        await settled()
        assert (writer.of(RowLeft), writer.asked) == ([RowLeft(9, 4, 77)], [])
        while not writer.asked:
            await asyncio.sleep(0.01)
        await writer.answer(PeppyError("no descriptor", kind="NoDescriptors"))
        while not writer.asked:
            await asyncio.sleep(0.01)
        await writer.answer(Attached(CLAIM))
        assert len(reader.of(Attachment)) == 2
        assert [frame.kind for frame in reader.of(AttachmentRefused)] == ["NoDescriptors"]

    with_broker(claim)


def test_a_doorbell_that_got_lost_is_sent_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attaching, "RETRY_SECS", 0.0)

    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        subscribed(broker, reader)
        await writer.answer(PeppyError("no descriptor", kind="NoDescriptors"))
        while not writer.asked:
            await asyncio.sleep(0.01)
        assert writer.asked[0][1] == 1

    with_broker(claim)


# --- refusals ----------------------------------------------------------------------------------------------------


def test_other_formats_are_told_once_of_each_producer():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        subscribed(broker, reader)
        for stream_id in (9, 10):
            assert opened(broker, writer, stream_id, schema_hash=6) == StreamOpened(waiting=0)
            broker.handle(writer, StreamClose(stream_id), ())
        await settled()
        assert writer.asked == []
        assert [frame.kind for frame in reader.of(AttachmentRefused)] == ["SchemaMismatch"]

    with_broker(claim)


def test_a_free_row_goes_to_who_was_refused_first():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        for number in (1, 2, 3):
            subscribed(broker, reader, number)
        await writer.answer(Attached(CLAIM))
        for _ in range(2):
            await writer.answer(PeppyError("all rows are taken", kind="TooManyReaders"))
        assert [frame.subscription_id for frame in reader.of(AttachmentRefused)] == [2, 3]
        broker.handle(reader, Unsubscribe(1), ())
        await writer.answer(Attached((1, 2, 1, 4, 78, 1)))
        assert writer.asked == []
        assert [frame.subscription_id for frame in reader.of(Attachment)] == [1, 2]
        broker.handle(writer, StreamClose(9), ())
        assert sorted(frame.subscription_id for frame in reader.of(StreamGone)) == [2, 3]

    with_broker(claim)


def test_a_stream_that_its_producer_has_closed_is_forgotten():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        subscribed(broker, reader)
        await writer.answer(PeppyError("not open any more", kind="NotFound"))
        assert broker.stream_count() == 0

    with_broker(claim)


# --- lost connections --------------------------------------------------------------------------------------------


def test_a_producer_that_comes_back_is_asked_again():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        subscribed(broker, reader)
        await writer.answer(ConnectionClosed("gone"))
        again = connected(broker, "t")
        assert opened(broker, again) == StreamOpened(waiting=1)
        await again.answer(Attached(CLAIM))
        assert len(reader.of(Attachment)) == 1

    with_broker(claim)


def test_a_producer_that_is_back_before_its_end_was_noticed_is_asked_again():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        subscribed(broker, reader)
        await settled()
        again = connected(broker, "t")
        assert opened(broker, again) == StreamOpened(waiting=0)
        await writer.answer(ConnectionClosed("gone"))
        await again.answer(Attached(CLAIM))
        assert len(reader.of(Attachment)) == 1

    with_broker(claim)


def test_an_attachment_that_got_lost_is_made_again():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        subscribed(broker, reader)
        await writer.answer(Attached(CLAIM))
        again = connected(broker, "l")
        subscribed(broker, again)
        assert writer.of(RowLeft) == [RowLeft(9, 4, 77)]
        await writer.answer(Attached((1, 2, 1, 5, 78, 1)))
        assert [frame.claim[3:5] for frame in again.of(Attachment)] == [(5, 78)]

    with_broker(claim)


@pytest.mark.parametrize("reader_first", [True, False])
def test_a_held_row_is_not_given_twice_after_a_restart(reader_first: bool):
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        if reader_first:
            subscribed(broker, reader, 1, (9, 4, 77))
            opened(broker, writer)
        else:
            opened(broker, writer)
            subscribed(broker, reader, 1, (9, 4, 77))
        await settled()
        assert writer.asked == []
        broker.handle(reader, Unsubscribe(1), ())
        assert writer.of(RowLeft) == [RowLeft(9, 4, 77)]

    with_broker(claim)


def test_a_second_row_for_a_held_stream_goes_back():
    async def claim(broker: TopicBroker) -> None:
        reader, writer = connected(broker, "l"), connected(broker, "t")
        opened(broker, writer)
        subscribed(broker, reader)
        await settled()
        subscribed(broker, reader, 1, (9, 3, 70))  # what the reader says it has, while a row is on its way
        await writer.answer(Attached(CLAIM))
        assert writer.of(RowLeft) == [RowLeft(9, 4, 77)]
        assert reader.of(Attachment) == []

    with_broker(claim)


# --- hostile and dying nodes -------------------------------------------------------------------------------------


def test_the_last_words_of_a_process_are_passed_over():
    async def claim(broker: TopicBroker) -> None:
        former = connected(broker, "t")
        connected(broker, "t")
        assert broker.handle(former, StreamClose(9), ()) is None
        with pytest.raises(PeppyError, match="has ended"):
            opened(broker, former)
        with pytest.raises(PeppyError, match="has ended"):
            opened(broker, Node("unknown"))

    with_broker(claim)


def test_what_is_no_stream_is_refused_without_a_leak():
    async def claim(broker: TopicBroker) -> None:
        node, other = connected(broker, "t"), connected(broker, "u")
        opened(broker, other)
        with stream() as fds, pytest.raises(PeppyError, match="is no stream"):
            broker.handle(node, StreamOpen(10, "t", 99, 5, 1), fds)
        pair = os.eventfd(0), os.eventfd(0)
        with pytest.raises(PeppyError, match="is no stream"):
            broker.handle(node, StreamOpen(10, "t", 1, 5, 1), pair)
        with pytest.raises(PeppyError, match="in use"):
            opened(broker, node, 9)
        with pytest.raises(PeppyError, match="does not concern topics"):
            broker.handle(node, Probe(), ())

    with_broker(claim)


def test_a_process_has_only_so_many_streams_and_subscriptions(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(topics, "STREAMS", 2)

    async def claim(broker: TopicBroker) -> None:
        node, watcher = connected(broker, "t"), Node("peppy-cli-1")
        for number in (1, 2):
            opened(broker, node, number)
            subscribed(broker, node, number)
            watch(broker, watcher, number)
        for attempt in (opened, subscribed):
            with pytest.raises(PeppyError, match="at most 2"):
                attempt(broker, node, 3)
        with pytest.raises(PeppyError, match="at most 2"):
            watch(broker, watcher, 3)
        assert broker.stream_count() == 2

    def watch(broker: TopicBroker, watcher: Node, number: int) -> None:
        broker.watch(watcher, number, None, "pose", ())

    with_broker(claim)


def test_the_end_of_a_process_ends_what_it_had():
    async def claim(broker: TopicBroker) -> None:
        reader = connected(broker, "l")
        subscribed(broker, reader)
        child = os.fork()
        if child == 0:
            os.read(os.eventfd(0), 8)
        writer = Node("t")
        writer.pid = child
        broker.connected(writer)
        opened(broker, writer)
        await writer.answer(Attached(CLAIM))
        os.kill(child, 9)
        os.waitpid(child, 0)
        while not reader.of(StreamGone):
            await asyncio.sleep(0.01)
        assert broker.stream_count() == 0

    with_broker(claim)


# --- watching ----------------------------------------------------------------------------------------------------


def watched(broker: TopicBroker, watcher: Node, producer: str | None = "t", *, reads: bool = False) -> bool:
    fds = (os.eventfd(0, os.EFD_CLOEXEC),) if reads else ()
    return broker.watch(watcher, 1, producer, "t", fds)


@pytest.mark.parametrize("watcher_first", [True, False])
def test_who_looks_on_gets_the_stream_without_a_row(watcher_first: bool):
    async def claim(broker: TopicBroker) -> None:
        writer, watcher = connected(broker, "t"), Node("peppy-cli-1")
        if watcher_first:
            assert not watched(broker, watcher)
            assert opened(broker, writer) == StreamOpened(waiting=0), "the writer does not wait for it"
        else:
            opened(broker, writer)
            assert watched(broker, watcher)
        await settled()
        (attachment,) = watcher.of(Attachment)
        assert (attachment.stream_id, attachment.producer_instance_id) == (9, "t")
        assert attachment.claim == (0, 0, 0, 0, 0, 0)
        assert writer.asked == []
        broker.handle(writer, StreamClose(9), ())
        assert watcher.of(StreamGone) == [StreamGone(1, 9)]
        assert writer.of(RowLeft) == []

    with_broker(claim)


def test_who_reads_without_a_node_is_attached_whatever_the_format():
    async def claim(broker: TopicBroker) -> None:
        writer, watcher = connected(broker, "t"), Node("peppy-cli-1")
        assert not watched(broker, watcher, reads=True)
        assert opened(broker, writer, schema_hash=99) == StreamOpened(waiting=1)
        await writer.answer(Attached(CLAIM))
        assert watcher.of(Attachment)[0].claim == CLAIM
        broker.handle(watcher, Unsubscribe(1), ())
        assert writer.of(RowLeft) == [RowLeft(9, 4, 77)]

    with_broker(claim)


def test_a_name_alone_is_the_first_producer_that_comes():
    async def claim(broker: TopicBroker) -> None:
        first, second, watcher = connected(broker, "t1"), connected(broker, "t2"), Node("peppy-cli-1")
        watched(broker, watcher, None)
        opened(broker, first, 8)
        opened(broker, second, 9)
        assert [attachment.stream_id for attachment in watcher.of(Attachment)] == [8]

    with_broker(claim)


def test_another_instance_is_not_watched():
    async def claim(broker: TopicBroker) -> None:
        watcher = Node("peppy-cli-1")
        opened(broker, connected(broker, "other"))
        assert not watched(broker, watcher)
        assert watcher.sent == []

    with_broker(claim)


def test_who_looks_on_has_no_row_to_give_back():
    async def claim(broker: TopicBroker) -> None:
        writer, watcher = connected(broker, "t"), Node("peppy-cli-1")
        opened(broker, writer)
        watched(broker, watcher)
        broker.handle(watcher, AttachmentStale(1, 9, 0, 0), ())
        assert writer.of(RowLeft) == []
        assert len(watcher.of(Attachment)) == 1

    with_broker(claim)


def test_a_subscription_id_of_a_watcher_is_used_once():
    async def claim(broker: TopicBroker) -> None:
        watcher = Node("peppy-cli-1")
        watched(broker, watcher)
        with pytest.raises(PeppyError) as raised:
            watched(broker, watcher)
        assert raised.value.kind == "ProtocolViolation"

    with_broker(claim)
