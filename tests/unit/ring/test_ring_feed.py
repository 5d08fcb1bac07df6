"""Messages that are taken and decoded in one call (docs/reference/qos.md, Reading), and publishers of one topic."""

import ctypes
import gc
import os
import select
import struct
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any

import pytest
from ring_stream import Stream

from peppy.ring import MessageTooLong, Outcome, Reader, StreamClosed

HEAD = 1
LONG = 5000
HOT_PAGE = 0x1000


class Refused(Exception):
    """What `decode` raises."""


class Broken(Exception):
    """What a callback raises that is not right."""


def payload(body: bytes, *, head: int = HEAD, size: int | None = None) -> bytes:
    return struct.pack("<II", head, len(body) if size is None else size) + body


def refuse(whole: bytes) -> Any:
    raise Refused(whole)


def broken(*_: object) -> Any:
    raise Broken


class Feeding:
    """A feed whose `lost` is written down."""

    def __init__(self, reader: Reader, read: Callable[[bytes], Any], decode: Callable[[bytes], Any], head: int) -> None:
        self.lost: list[int] = []
        self.feed = reader.feed("producer", 1, head, read, decode, self.lost.append)
        self.take, self.arm = self.feed.take, self.feed.arm


@pytest.fixture
def feed(stream: Stream) -> Feeding:
    """Of the stream of 8 messages of up to 64 bytes; bodies come as they are."""
    return feeding(stream)


def feeding(
    stream: Stream, read: Callable[[bytes], Any] = bytes, decode: Callable[[bytes], Any] = refuse, head: int = HEAD
) -> Feeding:
    return Feeding(stream.reader(), read, decode, head)


def publish(stream: Stream, *bodies: bytes) -> None:
    for body in bodies:
        stream.writer.publish_bytes(payload(body))


# --- what is taken ----------------------------------------------------------------------------------------------------


def test_a_message_comes_with_its_producer(stream: Stream, feed: Feeding) -> None:
    publish(stream, b"body")
    assert feed.take() == ("producer", b"body")


def test_messages_come_in_order(stream: Stream, feed: Feeding) -> None:
    publish(stream, b"a", b"b", b"c")
    assert [feed.take()[1] for _ in range(3)] == [b"a", b"b", b"c"]


def test_an_empty_body_is_a_body(stream: Stream, feed: Feeding) -> None:
    publish(stream, b"")
    assert feed.take() == ("producer", b"")


@pytest.mark.parametrize("length", [4087, 4088, 4089, LONG, 1 << 20])
def test_a_body_of_any_length_comes_whole(make_stream: Callable[..., Stream], length: int) -> None:
    stream = make_stream(capacity=(1 << 20) + 8)
    feed, body = feeding(stream), os.urandom(length)
    publish(stream, body)
    assert feed.take() == ("producer", body)


def test_long_and_short_messages_may_take_turns(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(capacity=2 * LONG)
    feed, bodies = feeding(stream), [b"a", bytes(LONG), b"b", bytes(LONG + 1), b""]
    publish(stream, *bodies)
    assert [feed.take()[1] for _ in bodies] == bodies


def test_bytes_behind_the_body_are_no_part_of_it(stream: Stream, feed: Feeding) -> None:
    stream.writer.publish_bytes(payload(b"body") + b"rest")
    assert feed.take() == ("producer", b"body")


def test_none_is_a_message_too(stream: Stream) -> None:
    feed = feeding(stream, read=lambda _: None)
    publish(stream, b"")
    assert feed.take() == ("producer", None)


def test_without_a_message_there_is_none(feed: Feeding) -> None:
    assert feed.take() is None


def test_a_closed_stream_ends_after_its_last_message(stream: Stream, feed: Feeding) -> None:
    publish(stream, b"last")
    stream.writer.close()
    assert [feed.take(), feed.take(), feed.take()] == [("producer", b"last"), Outcome.CLOSED, Outcome.CLOSED]


# --- what cannot be decoded -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "whole",
    [
        b"",
        b"\1",
        b"\1\0\0\0\0\0\0",
        payload(b"body", head=2),
        payload(b"body", head=0),
        payload(b"body", size=5),
        payload(b"", size=1),
        payload(b"body", size=2**32 - 1),
        payload(b"body", size=2**32 - 8),
        b"\xff" * 64,
    ],
)
def test_a_payload_that_is_not_right_goes_to_decode_whole(stream: Stream, feed: Feeding, whole: bytes) -> None:
    stream.writer.publish_bytes(whole)
    with pytest.raises(Refused) as raised:
        feed.take()
    assert raised.value.args == (whole,)


def test_a_long_payload_that_is_not_right_goes_to_decode_whole(make_stream: Callable[..., Stream]) -> None:
    stream, whole = make_stream(capacity=LONG), bytes(LONG)
    feed = feeding(stream)
    stream.writer.publish_bytes(whole)
    with pytest.raises(Refused) as raised:
        feed.take()
    assert raised.value.args == (whole,)


def test_a_body_that_read_refuses_goes_to_decode_whole(stream: Stream) -> None:
    feed = feeding(stream, read=broken, decode=lambda whole: ("decoded", whole))
    publish(stream, b"body")
    assert feed.take() == ("producer", ("decoded", payload(b"body")))


def test_an_error_of_read_leaves_no_trace(stream: Stream) -> None:
    feed = feeding(stream, read=broken)
    publish(stream, b"body")
    with pytest.raises(Refused) as raised:
        feed.take()
    assert raised.value.__context__ is None


def test_with_head_0_every_payload_goes_to_decode(stream: Stream) -> None:
    feed = feeding(stream, head=0)
    whole = payload(b"", head=0)
    stream.writer.publish_bytes(whole)
    with pytest.raises(Refused) as raised:
        feed.take()
    assert raised.value.args == (whole,)


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_the_end_of_the_program_within_read_is_not_taken_for_a_bad_body(
    stream: Stream, end: type[BaseException]
) -> None:
    def read(_: bytes) -> None:
        raise end

    feed = feeding(stream, read=read)
    publish(stream, b"body")
    with pytest.raises(end):
        feed.take()


def test_after_a_message_that_cannot_be_decoded_the_next_one_comes(stream: Stream, feed: Feeding) -> None:
    stream.writer.publish_bytes(b"nonsense")
    publish(stream, b"next")
    with pytest.raises(Refused):
        feed.take()
    assert feed.take() == ("producer", b"next")


def test_a_message_that_cannot_be_decoded_is_not_lost(stream: Stream, feed: Feeding) -> None:
    stream.writer.publish_bytes(b"nonsense")
    publish(stream, b"next")
    with pytest.raises(Refused):
        feed.take()
    feed.take()
    assert feed.lost == []


@pytest.mark.parametrize("name", ["read", "decode", "lost"])
def test_something_that_cannot_be_called_is_a_type_error(stream: Stream, name: str) -> None:
    callables: dict[str, Any] = {"read": broken, "decode": refuse, "lost": print, name: None}
    if name == "read":
        callables["decode"] = None
    feed = stream.reader().feed("producer", 0, HEAD, **callables)
    publish(stream, b"body")
    with pytest.raises(TypeError, match="not callable"):
        feed.take()


# --- gaps -------------------------------------------------------------------------------------------------------------


def test_without_a_gap_nobody_is_told(stream: Stream, feed: Feeding) -> None:
    for _ in range(20):
        publish(stream, b"")
        feed.take()
    assert feed.lost == []


def test_a_gap_is_told_once_with_what_was_overwritten(stream: Stream, feed: Feeding) -> None:
    publish(stream, *[b""] * 100)
    while feed.take():
        pass
    assert feed.lost == [92]


def test_each_gap_is_told(stream: Stream, feed: Feeding) -> None:
    for count in (9, 10, 8):
        publish(stream, *[b""] * count)
        while feed.take():
            pass
    assert feed.lost == [1, 2]


def test_a_message_before_the_one_expected_is_no_gap(stream: Stream) -> None:
    lost: list[int] = []
    feed = stream.reader().feed("producer", 50, HEAD, bytes, refuse, lost.append)
    publish(stream, b"", b"")
    assert [feed.take(), feed.take(), lost] == [("producer", b""), ("producer", b""), []]


def test_taken_and_lost_are_what_the_row_counts(stream: Stream) -> None:
    reader, lost, taken = stream.reader(), list[int](), 0
    feed = reader.feed("producer", 1, HEAD, bytes, refuse, lost.append)
    for count in (3, 9, 1, 30):
        publish(stream, *[b""] * count)
        while feed.take():
            taken += 1
    assert (taken, sum(lost)) == (reader.stats().row.taken, reader.stats().row.lost)


def test_an_error_of_lost_comes_through(stream: Stream) -> None:
    feed = stream.reader().feed("producer", 1, HEAD, bytes, refuse, broken)
    publish(stream, *[b""] * 9)
    with pytest.raises(Broken):
        feed.take()


def test_a_gap_whose_news_failed_is_not_told_again(stream: Stream) -> None:
    feed = stream.reader().feed("producer", 1, HEAD, bytes, refuse, broken)
    publish(stream, *[b""] * 9)
    with pytest.raises(Broken):
        feed.take()
    assert [feed.take(), feed.sequence] == [("producer", b""), 3]


# --- figures ----------------------------------------------------------------------------------------------------------


def test_before_the_first_message_the_expected_sequence_is_the_one_given(stream: Stream) -> None:
    feed = stream.reader().feed("producer", 2**64 - 1, HEAD, bytes, refuse, print)
    assert (feed.next_sequence, feed.sequence, feed.publish_time_ns, feed.receive_time_ns) == (2**64 - 1, 0, 0, 0)


def test_the_figures_are_those_of_the_last_message(stream: Stream, feed: Feeding) -> None:
    publish(stream, *[b""] * 10)
    feed.take()
    assert (feed.feed.sequence, feed.feed.next_sequence) == (3, 4)


def test_a_message_was_published_before_it_was_received(stream: Stream, feed: Feeding) -> None:
    began = monotonic_ns()
    publish(stream, b"")
    feed.take()
    assert began <= feed.feed.publish_time_ns <= feed.feed.receive_time_ns <= monotonic_ns()


def test_the_figures_stay_when_there_is_no_message(stream: Stream, feed: Feeding) -> None:
    publish(stream, b"")
    feed.take()
    before = feed.feed.sequence, feed.feed.publish_time_ns, feed.feed.receive_time_ns
    feed.take()
    assert (feed.feed.sequence, feed.feed.publish_time_ns, feed.feed.receive_time_ns) == before


def test_a_message_has_its_figures_while_it_is_decoded(stream: Stream) -> None:
    seen: list[int] = []
    feed = feeding(stream, decode=lambda _: seen.append(feed.feed.sequence))
    stream.writer.publish_bytes(b"nonsense")
    feed.take()
    assert seen == [1]


def test_the_expected_sequence_can_be_set(stream: Stream, feed: Feeding) -> None:
    publish(stream, b"", b"")
    feed.feed.next_sequence = 0
    feed.take()
    assert feed.lost == [1]


# --- callbacks that do more than they should --------------------------------------------------------------------------


def test_read_may_take_the_next_message(stream: Stream) -> None:
    feed = feeding(stream, read=lambda body: (body, feed.take()))
    publish(stream, b"a", b"b")
    assert feed.take() == ("producer", (b"a", ("producer", (b"b", None))))


def test_read_may_drop_the_feed_and_close_the_reader(stream: Stream) -> None:
    reader = stream.reader()
    feeds: list[Any] = []

    def read(body: bytes) -> bytes:
        feeds.clear()
        reader.close()
        gc.collect()
        return body

    feeds.append(reader.feed("producer", 1, HEAD, read, refuse, print))
    publish(stream, b"body")
    assert feeds[0].take() == ("producer", b"body")


def test_decode_may_close_the_writer(stream: Stream) -> None:
    feed = feeding(stream, decode=lambda _: stream.writer.close())
    stream.writer.publish_bytes(b"nonsense")
    assert [feed.take(), feed.take()] == [("producer", None), Outcome.CLOSED]


# --- life -------------------------------------------------------------------------------------------------------------


def live_rows(stream: Stream) -> int:
    return stream.writer.stats().live_rows


def test_the_feed_keeps_the_row_of_a_closed_reader(stream: Stream) -> None:
    reader = stream.reader()
    feed = reader.feed("producer", 1, HEAD, bytes, refuse, print)
    reader.close()
    publish(stream, b"body")
    assert (feed.take(), live_rows(stream)) == (("producer", b"body"), 1)


def test_the_row_goes_with_the_feed(stream: Stream) -> None:
    reader = stream.reader()
    feed = reader.feed("producer", 1, HEAD, bytes, refuse, print)
    reader.close()
    del feed
    assert live_rows(stream) == 0


def test_a_feed_that_is_part_of_a_cycle_is_collected(stream: Stream) -> None:
    reader, cycle = stream.reader(), list[Any]()
    cycle.append(reader.feed("producer", 1, HEAD, cycle.append, cycle.append, cycle.append).take)
    reader.close()
    del cycle, reader
    gc.collect()
    assert live_rows(stream) == 0


def clear(obj: object) -> None:
    """What the garbage collector does to a member of a cycle, before it is gone."""
    slot = ctypes.pythonapi.PyType_GetSlot
    slot.restype, slot.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_int]
    ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object)(slot(type(obj), 51))(obj)  # Py_tp_clear


@pytest.mark.parametrize("whole", [payload(b"body"), b"nonsense"])
def test_a_feed_that_is_being_collected_raises_when_it_is_called(stream: Stream, feed: Feeding, whole: bytes) -> None:
    clear(feed.feed)
    stream.writer.publish_bytes(whole)
    with pytest.raises(SystemError):
        feed.take()


def test_a_reader_that_is_being_collected_can_be_called(stream: Stream) -> None:
    take = stream.reader().take_bytes
    clear(take.__self__)  # type: ignore[attr-defined]
    publish(stream, b"body")
    assert take()[0] == payload(b"body")


def test_nothing_is_kept_of_what_was_taken(make_stream: Callable[..., Stream]) -> None:
    class Message:
        pass

    stream = make_stream(capacity=LONG)
    feed = feeding(stream, read=lambda _: Message())
    publish(stream, bytes(LONG - 8))
    message = weakref.ref(feed.take()[1])
    assert message() is None


def test_there_are_no_subclasses(feed: Feeding) -> None:
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Feed", (type(feed.feed),), {})


# --- sleeping ---------------------------------------------------------------------------------------------------------


def test_who_finds_nothing_may_sleep(feed: Feeding) -> None:
    assert feed.arm() is True


def test_who_finds_a_message_may_not_sleep(stream: Stream, feed: Feeding) -> None:
    publish(stream, b"")
    assert feed.arm() is False


def test_who_finds_the_end_may_not_sleep(stream: Stream, feed: Feeding) -> None:
    stream.writer.close()
    assert feed.arm() is False


def test_an_armed_feed_is_rung_for(stream: Stream) -> None:
    doorbell = stream.doorbell()
    feed = stream.reader(doorbell=doorbell).feed("producer", 1, HEAD, bytes, refuse, print)
    feed.arm()
    publish(stream, b"")
    assert os.eventfd_read(doorbell) == 1


# --- processes and threads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["take", "arm"])
def test_in_a_forked_child_a_feed_is_refused(stream: Stream, feed: Feeding, method: str) -> None:
    publish(stream, b"body")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            getattr(feed, method)()
        except RuntimeError as error:
            code = 0 if "before a fork" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_fork_takes_nothing_from_the_parents_feed(stream: Stream, feed: Feeding) -> None:
    publish(stream, b"body")
    child = os.fork()
    if child == 0:
        feed.feed = feed.take = feed.arm = None  # type: ignore[assignment]
        os._exit(0)
    os.waitpid(child, 0)
    assert (feed.take(), live_rows(stream)) == (("producer", b"body"), 1)


def wait_for_room(stream: Stream) -> None:
    while not stream.writer.has_room():
        if select.select([stream.writer.space_fd], [], [], 0.1)[0]:
            os.eventfd_read(stream.writer.space_fd)


def test_two_threads_get_every_message_once(make_stream: Callable[..., Stream]) -> None:
    stream, count = make_stream(depth=512, capacity=LONG + 8), 512
    feed, found = feeding(stream, read=lambda body: struct.unpack_from("<I", body)[0]), list[int]()
    for number in range(count):
        publish(stream, struct.pack("<I", number) + bytes(LONG - 4 if number % 2 else 0))

    def take() -> None:
        while taken := feed.take():
            found.append(taken[1])

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(count))


def test_who_waits_without_limit_is_not_told_that_there_is_nothing(make_stream: Callable[..., Stream]) -> None:
    stream, count = make_stream(depth=4, capacity=LONG, reliable=True), 500
    doorbell = stream.doorbell()
    reader, found = stream.reader(doorbell=doorbell), list[Any]()

    def receive() -> None:
        while isinstance(received := reader.receive_bytes(doorbell), tuple):
            found.append(received[1])
        found.append(received)
        os.eventfd_write(doorbell, 1)  # the end rings but once

    threads = [threading.Thread(target=receive) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(count):
        wait_for_room(stream)
        stream.writer.publish_bytes(bytes(LONG))
    stream.writer.close()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted([*range(1, count + 1), Outcome.CLOSED, Outcome.CLOSED])


def test_the_longest_wait_there_is_ends_with_a_message(stream: Stream) -> None:
    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)
    publishing = threading.Thread(target=publish, args=(stream, b"body"))
    publishing.start()
    received = reader.receive_bytes(doorbell, timeout=9.2233e9)
    publishing.join()
    assert received[0] == payload(b"body")


def test_a_number_that_no_doorbell_has_is_refused(stream: Stream) -> None:
    with pytest.raises(OverflowError):
        stream.reader().receive_bytes(2**32 + stream.doorbell(), timeout=0.0)


# --- hostile writers --------------------------------------------------------------------------------------------------


def write_head(stream: Stream, head: int) -> None:
    """What only a writer can do, through its own mapping."""
    inode = str(os.fstat(stream.writer.data_fd).st_ino)
    mappings = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    (address,) = (line[0].split("-")[0] for line in mappings if line[4] == inode and line[1] == "rw-s")
    ctypes.c_uint64.from_address(int(address, 16) + HOT_PAGE).value = head


@pytest.mark.parametrize("head", [2**63, 2**64 - 2, 2**64 - 1])
def test_a_head_that_nobody_can_reach_keeps_nobody(stream: Stream, feed: Feeding, head: int) -> None:
    write_head(stream, head)
    assert (feed.take(), feed.arm()) == (None, True)


def test_the_largest_sequence_is_a_number_like_any_other(stream: Stream) -> None:
    lost: list[int] = []
    feed = stream.reader().feed("producer", 0, HEAD, bytes, refuse, lost.append)
    publish(stream, b"")
    feed.next_sequence = 2**64 - 1
    assert (feed.take(), feed.next_sequence, lost) == (("producer", b""), 2, [])


# --- publishers -------------------------------------------------------------------------------------------------------


def test_a_publisher_publishes(stream: Stream) -> None:
    reader = stream.reader()
    stream.writer.publisher(lambda error, _: error)(b"body")
    assert reader.take_bytes()[0] == b"body"


def test_a_publishers_error_is_what_refused_makes_of_it(stream: Stream) -> None:
    with pytest.raises(Refused) as raised:
        stream.writer.publisher(lambda error, length: Refused(type(error), length))(bytes(65))
    assert raised.value.args == (MessageTooLong, 65)


def test_a_publisher_of_a_closed_stream_is_refused(stream: Stream) -> None:
    publisher = stream.writer.publisher(lambda error, _: error)
    stream.writer.close()
    with pytest.raises(StreamClosed):
        publisher(b"")


def test_an_error_of_refused_comes_through(stream: Stream) -> None:
    with pytest.raises(Broken):
        stream.writer.publisher(broken)(bytes(65))


def test_refused_may_close_the_writer(stream: Stream) -> None:
    def refused(error: Exception, _: int) -> Exception:
        stream.writer.close()
        return error

    with pytest.raises(MessageTooLong):
        stream.writer.publisher(refused)(bytes(65))


def test_a_publisher_that_is_part_of_a_cycle_is_collected(stream: Stream) -> None:
    class Topic:
        def __init__(self) -> None:
            self.put = stream.writer.publisher(self.refused)

        def refused(self, error: Exception, _: int) -> Exception:
            return error

    topic = weakref.ref(Topic())
    gc.collect()
    assert topic() is None
