"""How fast a stream is, seen from outside (docs/reference/cli.md, Topics of a running stack).

Counts are exact: they come from the publisher's own sequence numbers, counters and time stamps. Extremes are those of
the messages that a look found in the ring: a topic that turns its ring over between two looks shows a part of them.
"""

from operator import sub
from time import monotonic_ns
from typing import NamedTuple

from peppy.ring import Observer, Published

MOST_SEEN = 256
"""How many messages one look takes in: enough for 5000 a second, little enough to cost nothing."""


class Window(NamedTuple):
    """What happened in one window. None where no message, or no pair of neighbours, was seen.

    `rate_hz` counts from the last message before the window to the last one in it; after a pause of a window and more
    from the first one in it, if there are two. `lost` are messages that the topic's readers lost.
    """

    messages: int
    rate_hz: float
    shortest_ns: int | None
    longest_ns: int | None
    lost: int
    bytes_per_s: float
    mean_bytes: float | None
    smallest: int | None
    largest: int | None


class _Message(NamedTuple):
    sequence: int
    publish_time_ns: int


class Meter:
    """Measures one stream in windows of `window_secs`: `look` often, `window` when `ends_ns` has come."""

    def __init__(self, observer: Observer, window_secs: float) -> None:
        self._observer = observer
        self._length_ns = round(window_secs * 1e9)
        newest = observer.recent(0, 1)
        self._last = _message(newest, -1) if newest.sequences else None
        stats = observer.stats()
        self._counted = stats.published, stats.bytes
        self._losses = self._losses_now()
        self._begin()

    def look(self) -> None:
        """Take in what has been published since the last look."""
        last = self._last
        seen = self._observer.recent(0 if last is None else last.sequence + 1, MOST_SEEN)
        if not seen.sequences:
            return
        self._first = self._first or _message(seen, 0)
        self._last = _message(seen, -1)
        self._smallest = _least(self._smallest, min(seen.lengths))
        self._largest = max(self._largest or 0, max(seen.lengths))
        intervals = _intervals(last, seen)
        if intervals:
            self._shortest = _least(self._shortest, min(intervals))
            self._longest = max(self._longest or 0, max(intervals))

    def window(self) -> Window:
        """What the window that ends now has seen; the next one begins."""
        self.look()
        rate = self._rate()
        stats = self._observer.stats()
        published, size = stats.published - self._counted[0], stats.bytes - self._counted[1]
        mean = size / published if published > 0 else None
        losses, before = self._losses_now(), self._losses
        lost = sum(count - before.get(reader, 0) for reader, count in losses.items())
        window = Window(
            messages=published,
            rate_hz=rate,
            shortest_ns=self._shortest,
            longest_ns=self._longest,
            lost=lost,
            bytes_per_s=rate * mean if mean is not None else 0.0,
            mean_bytes=mean,
            smallest=self._smallest,
            largest=self._largest,
        )
        self._counted, self._losses = (stats.published, stats.bytes), losses
        self._begin()
        return window

    def _begin(self) -> None:
        self._began_ns = monotonic_ns()
        self.ends_ns = self._began_ns + self._length_ns
        self._before = self._last
        self._first: _Message | None = None
        self._shortest: int | None = None
        self._longest: int | None = None
        self._smallest: int | None = None
        self._largest: int | None = None

    def _rate(self) -> float:
        """Messages per second of publish time, from the one before the window to the last one in it."""
        first, last = self._first, self._last
        if first is None or last is None:
            return 0.0
        start = self._before
        if start is None or (self._has_paused(start) and last.sequence > first.sequence):
            start = first
        span = last.publish_time_ns - start.publish_time_ns
        if span <= 0:
            return 1e9 / self._length_ns
        return (last.sequence - start.sequence) * 1e9 / span

    def _has_paused(self, before: _Message) -> bool:
        """Whether the last message before the window is so old that the pause is no part of the rate."""
        return before.publish_time_ns < self._began_ns - self._length_ns

    def _losses_now(self) -> dict[tuple[int, int], int]:
        """What the reader of each row has lost so far, by row and ticket."""
        stats = self._observer.stats()
        if not stats.live_rows:
            return {}
        rows = ((number, self._observer.row(number)) for number in range(stats.rows))
        return {(number, row.ticket): row.lost for number, row in rows if row.state}


def _message(seen: Published, place: int) -> _Message:
    return _Message(seen.sequences[place], seen.publish_times_ns[place])


def _intervals(last: _Message | None, seen: Published) -> list[int]:
    """Nanoseconds between neighbours; messages between which another one was not seen are no neighbours."""
    sequences, times = seen.sequences, seen.publish_times_ns
    if last is not None:
        sequences, times = (last.sequence, *sequences), (last.publish_time_ns, *times)
    steps = list(map(sub, sequences[1:], sequences))
    intervals = list(map(sub, times[1:], times))
    if sum(steps) == len(steps):
        return intervals
    return [interval for step, interval in zip(steps, intervals, strict=True) if step == 1]


def _least(known: int | None, found: int) -> int:
    return found if known is None else min(known, found)
