"""Taking: in order, each message at most once, every loss counted exactly (docs/reference/qos.md, Reading)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ring_stream import Stream

from peppy.ring import History, Observer, Outcome, Reader, ReceiveBuffer, StreamClosed


def numbers(reader: Reader) -> list[int]:
    """Every number that is there, by one-at-a-time copies."""
    buffer, found = ReceiveBuffer(8), []
    while isinstance(taken := reader.take_into(buffer), tuple):
        found.append(int.from_bytes(buffer.data[: taken[0]], "little"))
    assert taken is Outcome.EMPTY
    return found


def publish_numbers(stream: Stream, last: int) -> None:
    for number in range(1, last + 1):
        stream.writer.publish_bytes(number.to_bytes(8, "little"))


def test_messages_come_in_order_with_sequence_and_time(stream: Stream) -> None:
    reader, buffer = stream.reader(), ReceiveBuffer(64)
    stream.writer.publish_bytes(b"a")
    stream.writer.publish_bytes(b"bb")
    first, second = reader.take_into(buffer), reader.take_into(buffer)
    assert (first[:2], second[:2]) == ((1, 1), (2, 2))
    assert 0 < first[2] <= second[2]


def test_a_buffer_that_is_too_small_grows_and_nothing_is_lost(stream: Stream) -> None:
    reader, buffer = stream.reader(), ReceiveBuffer(1)
    stream.writer.publish_bytes(b"x" * 60)
    assert reader.take_into(buffer)[0] == 60
    assert bytes(buffer.data[:60]) == b"x" * 60
    assert reader.stats().row.lost == 0


def test_many_messages_come_in_one_call_each_at_an_aligned_place(stream: Stream) -> None:
    reader, buffer = stream.reader(), ReceiveBuffer(8 * 64, messages=8)
    for number in range(5):
        stream.writer.publish_bytes(bytes([number]) * number)
    taken = reader.take_many(buffer, 8)
    assert isinstance(taken, list)
    assert [(length, sequence) for _, length, sequence, _ in taken] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert [bytes(buffer.data[at : at + length]) for at, length, _, _ in taken] == [bytes([n]) * n for n in range(5)]
    assert all(offset % 64 == 0 for offset, *_ in taken)
    assert reader.take_many(buffer, 8) is Outcome.EMPTY


def test_take_many_stops_at_the_limit_and_at_the_end_of_the_buffer(stream: Stream) -> None:
    reader, buffer = stream.reader(), ReceiveBuffer(2 * 64, messages=8)
    publish_numbers(stream, 6)
    assert len(reader.take_many(buffer, 1)) == 1
    assert len(reader.take_many(buffer, 100)) == 2
    assert numbers(reader) == [4, 5, 6]


def test_take_many_grows_for_a_first_message_that_does_not_fit(stream: Stream) -> None:
    reader, buffer = stream.reader(), ReceiveBuffer(1, messages=4)
    stream.writer.publish_bytes(b"y" * 50)
    assert [length for _, length, _, _ in reader.take_many(buffer, 4)] == [50]


def test_a_lapped_reader_of_a_general_topic_goes_on_with_the_oldest_message_held(stream: Stream) -> None:
    reader = stream.reader()
    publish_numbers(stream, 1000)
    found = numbers(reader)
    assert found == list(range(found[0], 1001))
    assert len(found) == 8
    assert reader.stats().row.lost == 992


def test_a_lapped_reader_of_sensor_data_gets_the_newest_message(stream: Stream) -> None:
    reader = stream.reader(newest=True)
    publish_numbers(stream, 1000)
    assert numbers(reader) == [1000]
    assert reader.stats().row.lost == 999


def test_a_reader_of_sensor_data_that_is_not_lapped_misses_nothing(stream: Stream) -> None:
    reader = stream.reader(newest=True)
    publish_numbers(stream, 7)
    assert numbers(reader) == [1, 2, 3, 4, 5, 6, 7]
    assert reader.stats().row.lost == 0


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("bursts", [[3, 9, 1, 30], [8, 8, 8], [7, 17, 100, 2]])
def test_taken_and_lost_and_lag_are_what_was_published(stream: Stream, newest: bool, bursts: list[int]) -> None:
    reader, published = stream.reader(newest=newest), 0
    for burst in bursts:
        publish_numbers(stream, burst)
        published += burst
        reader.take_into(ReceiveBuffer(8))
        stats = reader.stats()
        assert stats.row.taken + stats.row.lost + stats.lag == published


@pytest.mark.parametrize(
    ("history", "first"), [(History.NONE, []), (History.LAST, [5]), (History.ALL, [1, 2, 3, 4, 5])]
)
def test_a_late_reader_starts_where_its_history_says(stream: Stream, history: History, first: list[int]) -> None:
    publish_numbers(stream, 5)
    assert numbers(stream.reader(history=history)) == first


def test_history_reaches_back_to_the_oldest_message_held(stream: Stream) -> None:
    publish_numbers(stream, 20)
    assert numbers(stream.reader(history=History.ALL)) == list(range(13, 21))


def test_a_slow_reader_delays_nobody(stream: Stream) -> None:
    slow, fast = stream.reader(), stream.reader()
    for number in range(1, 31):
        stream.writer.publish_bytes(number.to_bytes(8, "little"))
        assert numbers(fast) == [number]
    assert fast.stats().row.lost == 0
    assert slow.stats().lag == 30


def test_a_reader_knows_what_its_stream_is_made_of(stream: Stream) -> None:
    config = stream.reader().config
    assert (config.epoch_hi, config.epoch_lo) == stream.writer.epoch
    assert (config.topic_hash, config.schema_hash, config.mode) == (0x70, 0x5C, 1)
    assert (config.capacity, config.depth, config.rows) == (64, 8, 4)


def test_a_reader_knows_since_when_its_next_message_waits(stream: Stream) -> None:
    reader = stream.reader()
    assert reader.waiting_since() is None
    publish_numbers(stream, 2)
    since = reader.waiting_since()
    assert since == reader.take_into(ReceiveBuffer(8))[2]
    assert since <= reader.waiting_since()


def test_a_message_that_is_lost_already_waits_since_the_beginning_of_time(stream: Stream) -> None:
    reader = stream.reader()
    publish_numbers(stream, 100)
    assert reader.waiting_since() == 0


def test_a_closed_reader_refuses_every_call(stream: Stream) -> None:
    reader, buffer = stream.reader(), ReceiveBuffer(64)
    reader.close()
    reader.close()
    for call in (
        lambda: reader.take_into(buffer),
        lambda: reader.take_many(buffer, 1),
        reader.take_view,
        reader.arm,
        reader.stats,
        reader.writer_alive,
    ):
        with pytest.raises(StreamClosed):
            call()


def test_an_observer_sees_the_counters_and_leaves_no_trace(stream: Stream) -> None:
    reader = stream.reader()
    observer = Observer.open(stream.writer.data_fd, stream.writer.ctrl_fd)
    publish_numbers(stream, 20)
    numbers(reader)
    assert (observer.stats().published, observer.stats().live_rows) == (20, 1)
    assert (observer.row(0).taken, observer.row(0).lost, observer.row(0).pid) == (8, 12, os.getpid())
    assert observer.row(1).state == 0


def test_an_observer_of_something_else_is_an_os_error(tmp_path) -> None:
    path = tmp_path / "no-stream"
    path.write_bytes(bytes(1 << 16))
    with path.open("rb") as file, pytest.raises(OSError, match="cannot observe a stream"):
        Observer.open(file.fileno(), file.fileno())


def test_streams_leave_no_descriptor_and_no_mapping_behind(make_stream: Callable[..., Stream]) -> None:
    def resources() -> tuple[int, int]:
        with open("/proc/self/maps") as maps:
            return len(list(Path("/proc/self/fd").iterdir())), sum("memfd:peppy" in line for line in maps)

    before = resources()
    for _ in range(20):
        stream = make_stream(capacity=8192)
        reader = stream.reader()
        stream.writer.publish_bytes(b"x" * 8192)
        view = reader.take_view()
        reader.close()
        stream.writer.close()
        del view
    assert resources() == before
