"""Descriptors of somebody else's stream, without a row (csrc/test/test_ring.c has the claims of the core)."""

from collections.abc import Callable
from time import monotonic_ns

from ring_stream import Stream

from peppy.ring import Observer, SendBuffer


def publish(stream: Stream, data: bytes) -> None:
    stream.writer.publish(SendBuffer(len(data)), len(data))


def observer(stream: Stream) -> Observer:
    return Observer.open(stream.writer.data_fd, stream.writer.ctrl_fd)


def test_recent_messages_are_described_in_order(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(depth=8)
    before = monotonic_ns()
    for size in range(1, 21):
        publish(stream, bytes(size))
    seen = observer(stream).recent(0, 100)
    assert seen.sequences == seen.lengths == tuple(range(13, 21))
    times = list(seen.publish_times_ns)
    assert before <= times[0]
    assert times == sorted(times)
    assert times[-1] <= monotonic_ns()


def test_only_the_newest_are_described_and_none_before_the_first(stream: Stream) -> None:
    looking = observer(stream)
    assert looking.recent(0, 4) == ((), (), ())
    for _ in range(6):
        publish(stream, b"x")
    assert looking.recent(0, 2).sequences == (5, 6)
    assert looking.recent(4, 100).sequences == (4, 5, 6)
    assert looking.recent(7, 100).sequences == ()


def test_an_observer_outlives_the_stream(stream: Stream) -> None:
    looking = observer(stream)
    publish(stream, b"last")
    stream.writer.close()
    assert looking.recent(0, 4).lengths == (4,)


def test_nobody_notices_an_observer(stream: Stream) -> None:
    looking = observer(stream)
    publish(stream, b"x")
    looking.recent(0, 4)
    stats = stream.writer.stats()
    assert (stats.live_rows, stats.pins) == (0, 0)
