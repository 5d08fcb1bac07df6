"""Publishing: what goes in comes out, and what does not fit is refused before anything is written."""

import array
import os
import threading
from collections.abc import Callable

import pytest
from ring_stream import Stream

from peppy.ring import History, MessageTooLong, Outcome, ReceiveBuffer, SendBuffer, StreamClosed


def take(reader, buffer: ReceiveBuffer | None = None) -> bytes:
    """The bytes of the next message, which must be there."""
    buffer = buffer or ReceiveBuffer(64)
    length, _, _ = reader.take_into(buffer)
    return bytes(buffer.data[:length])


def test_a_send_buffer_is_published_up_to_the_length_given(stream: Stream) -> None:
    reader, buffer = stream.reader(), SendBuffer(64)
    buffer.data[:5] = b"hello"
    stream.writer.publish(buffer, 4)
    assert take(reader) == b"hell"


def test_bytes_are_published_as_they_are(stream: Stream) -> None:
    reader = stream.reader()
    stream.writer.publish_bytes(b"\0world\0")
    assert take(reader) == b"\0world\0"


def test_an_empty_message_is_a_message(stream: Stream) -> None:
    reader = stream.reader()
    stream.writer.publish_bytes(b"")
    assert take(reader) == b""


def test_parts_land_at_their_offsets_and_the_rest_is_zero(stream: Stream) -> None:
    reader = stream.reader()
    for _ in range(40):  # so that every chunk has held other bytes before
        stream.writer.publish_bytes(b"\xff" * 64)
    stream.writer.publish_parts([(b"ab", 0), (bytearray(b"c"), 4), (array.array("d", [1.0]), 8)], 20)
    buffer = ReceiveBuffer(64)
    while (taken := reader.take_into(buffer))[0] != 20:
        assert taken[0] == 64
    assert bytes(buffer.data[:20]) == b"ab\0\0c\0\0\0" + array.array("d", [1.0]).tobytes() + b"\0\0\0\0"


@pytest.mark.parametrize("parts", [[(b"abc", 6)], [(b"abc", -1)], [(b"abc", 0), (b"d", 8)]])
def test_a_part_outside_the_message_is_a_value_error(stream: Stream, parts: list[tuple[bytes, int]]) -> None:
    with pytest.raises(ValueError, match="does not fit a message of `8`"):
        stream.writer.publish_parts(parts, 8)
    assert stream.writer.stats().published == 0


def test_overlapping_parts_are_refused(stream: Stream) -> None:
    with pytest.raises(OSError, match="publish `8` bytes"):
        stream.writer.publish_parts([(b"abcd", 0), (b"ef", 2)], 8)


def test_a_message_above_the_capacity_is_refused_and_names_both_sizes(stream: Stream) -> None:
    too_long = bytes(65)
    with pytest.raises(MessageTooLong, match="`65` bytes is larger than the stream's `64`") as raised:
        stream.writer.publish_bytes(too_long)
    assert (raised.value.length, raised.value.capacity) == (65, 64)
    with pytest.raises(MessageTooLong):
        stream.writer.publish_parts([(too_long, 0)], 65)
    with pytest.raises(MessageTooLong):
        stream.writer.loan(65)
    assert stream.writer.stats().published == 0


def test_more_bytes_than_the_buffer_has_are_a_value_error(stream: Stream) -> None:
    with pytest.raises(ValueError, match="`65` bytes of a buffer of `64`"):
        stream.writer.publish(SendBuffer(64), 65)


def test_a_closed_writer_publishes_nothing(stream: Stream) -> None:
    stream.writer.close()
    for publish in (
        lambda: stream.writer.publish_bytes(b""),
        lambda: stream.writer.publish(SendBuffer(1), 1),
        lambda: stream.writer.publish_parts([], 0),
        lambda: stream.writer.loan(1),
        stream.writer.stats,
    ):
        with pytest.raises(StreamClosed):
            publish()


def test_closing_twice_is_closing_once(stream: Stream) -> None:
    stream.writer.close()
    stream.writer.close()


def test_readers_drain_a_closed_stream_before_they_see_its_end(stream: Stream) -> None:
    reader, buffer = stream.reader(), ReceiveBuffer(64)
    stream.writer.publish_bytes(b"last")
    stream.writer.close()
    assert take(reader, buffer) == b"last"
    assert reader.take_into(buffer) is Outcome.CLOSED
    assert reader.arm() is Outcome.CLOSED


def test_epochs_of_two_writers_differ(make_stream: Callable[..., Stream]) -> None:
    first, second = make_stream().writer, make_stream().writer
    assert first.epoch != second.epoch
    assert first.reserve_row(-1, History.NONE)[:2] == first.epoch


def test_every_contiguous_buffer_can_be_published_as_bytes(stream: Stream) -> None:
    reader = stream.reader()
    for message in (b"bytes", bytearray(b"array"), memoryview(b"a view")[2:]):
        stream.writer.publish_bytes(message)
        assert reader.take_bytes()[0] == bytes(message)
    with pytest.raises(TypeError):
        stream.writer.publish_bytes("text")  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        stream.writer.publish_bytes(memoryview(b"every other byte")[::2])


def test_long_messages_pass_as_bytes_too(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(capacity=1 << 20)
    reader, message = stream.reader(), os.urandom(1 << 20)
    stream.writer.publish_bytes(message)
    assert reader.take_bytes()[:2] == (message, 1)
    stream.writer.publish_bytes(b"short")
    assert reader.take_bytes()[:2] == (b"short", 2)


def test_threads_publish_long_and_short_messages_side_by_side(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(depth=512, capacity=1 << 16)
    reader = stream.reader()
    messages = [bytes([number]) * (64 if number % 2 else 1 << 16) for number in range(8)]
    threads = [
        threading.Thread(target=lambda message=message: [stream.writer.publish_bytes(message) for _ in range(50)])
        for message in messages
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [reader.take_bytes() for _ in range(400)]
    assert [sequence for _, sequence, _ in taken] == list(range(1, 401))
    assert sorted(message for message, _, _ in taken) == sorted(messages * 50)
