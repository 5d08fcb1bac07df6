"""Rates out of sequence numbers, counters and time stamps (docs/reference/cli.md, Topics of a running stack)."""

from typing import Any, NamedTuple

import pytest

from peppy.ring import Published
from peppy.runtime import rates
from peppy.runtime.rates import Meter

SECOND = 1_000_000_000


class Row(NamedTuple):
    state: int
    ticket: int
    lost: int


class Stats(NamedTuple):
    published: int
    bytes: int
    rows: int = 2
    live_rows: int = 1


class Message(NamedTuple):
    sequence: int
    length: int
    publish_time_ns: int


class Stream:
    """What an observer sees of a stream that publishes when the test says; `now` is the clock of both."""

    def __init__(self, depth: int = 128) -> None:
        self.now = 100 * SECOND
        self.depth = depth
        self.published: list[Message] = []
        self.rows = [Row(0, 0, 0), Row(0, 0, 0)]

    def publish(self, at: float, length: int = 10) -> None:
        self.now = round(at * SECOND)
        self.published.append(Message(len(self.published) + 1, length, self.now))

    def recent(self, first: int, limit: int) -> Published:
        held = [message for message in self.published[-min(self.depth, limit) :] if message.sequence >= first]
        return Published(*(tuple(column) for column in zip(*held, strict=True))) if held else Published((), (), ())

    def stats(self) -> Stats:
        return Stats(len(self.published), sum(message.length for message in self.published))

    def row(self, number: int) -> Row:
        return self.rows[number]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    made = Stream()
    monkeypatch.setattr(rates, "monotonic_ns", lambda: made.now)
    return made


def meter(stream: Any) -> Meter:
    return Meter(stream, 1.0)


def test_the_rate_is_that_of_the_time_stamps_not_of_the_window(stream: Stream) -> None:
    stream.publish(100.0)
    measured = meter(stream)
    for number in range(1, 31):
        stream.publish(100 + number / 30)
    stream.now += round(0.02 * SECOND)
    window = measured.window()
    assert window.messages == 30
    assert window.rate_hz == pytest.approx(30, rel=1e-6)
    assert window.shortest_ns == pytest.approx(SECOND / 30, abs=2)
    assert window.longest_ns == pytest.approx(SECOND / 30, abs=2)


def test_windows_follow_one_another_without_a_gap(stream: Stream) -> None:
    stream.publish(100.0)
    measured = meter(stream)
    stream.publish(100.9)
    measured.window()
    stream.publish(101.1)
    assert measured.window().rate_hz == pytest.approx(5)


def test_a_topic_slower_than_the_window_has_the_rate_of_its_last_interval(stream: Stream) -> None:
    stream.publish(100.0)
    measured = meter(stream)
    stream.now = 101 * SECOND
    assert measured.window().rate_hz == 0
    stream.publish(102.0)
    assert measured.window().rate_hz == pytest.approx(0.5)


def test_a_pause_is_no_part_of_the_rate_after_it(stream: Stream) -> None:
    stream.publish(1.0)
    stream.now = 100 * SECOND
    measured = meter(stream)
    for number in range(11):
        stream.publish(100 + number / 10)
    assert measured.window().rate_hz == pytest.approx(10)


def test_the_first_message_of_all_counts_once_a_window(stream: Stream) -> None:
    measured = meter(stream)
    stream.publish(100.5)
    assert measured.window().rate_hz == pytest.approx(1)


def test_a_ring_that_turns_between_two_looks_costs_extremes_but_no_counts(stream: Stream) -> None:
    stream.depth = 4
    stream.publish(100.0)
    measured = meter(stream)
    for number in range(1, 101):
        stream.publish(100 + number / 100)
    window = measured.window()
    assert window.messages == 100
    assert window.rate_hz == pytest.approx(100)
    assert window.shortest_ns == pytest.approx(SECOND / 100, abs=2)


def test_intervals_are_those_of_neighbours_only(stream: Stream) -> None:
    stream.depth = 2
    stream.publish(100.0)
    measured = meter(stream)
    stream.publish(100.1)
    measured.look()
    for at in (100.2, 100.5, 100.6):
        stream.publish(at)
    window = measured.window()
    assert window.shortest_ns == SECOND // 10
    assert window.longest_ns == SECOND // 10


def test_bandwidth_is_rate_times_mean_size(stream: Stream) -> None:
    stream.publish(100.0)
    measured = meter(stream)
    for number in range(1, 11):
        stream.publish(100 + number / 10, length=100 if number % 2 else 300)
    window = measured.window()
    assert (window.mean_bytes, window.smallest, window.largest) == (200, 100, 300)
    assert window.bytes_per_s == pytest.approx(2000)


def test_an_empty_window_has_no_extremes(stream: Stream) -> None:
    window = meter(stream).window()
    assert (window.messages, window.rate_hz, window.bytes_per_s, window.lost) == (0, 0, 0, 0)
    assert (window.shortest_ns, window.longest_ns, window.mean_bytes, window.smallest) == (None, None, None, None)


def test_losses_are_those_of_this_window_also_of_new_readers(stream: Stream) -> None:
    stream.rows[0] = Row(1, 7, 100)
    measured = meter(stream)
    stream.rows = [Row(1, 7, 103), Row(1, 8, 2)]
    assert measured.window().lost == 5
    stream.rows[0] = Row(1, 9, 1)
    assert measured.window().lost == 1
