"""`peppy topic hz` and `peppy topic bw` beside a publisher: are they right, what do they cost, are they felt?

The publisher is a node that publishes at a fixed rate and notes every publish. The truth is what it noted while the
watcher reported; the watcher's own clock says how much of a CPU that took.
"""

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import fmean
from typing import Any, NamedTuple

from bench import stack
from bench.idle import used_ns
from bench.results import Case, Sample, row
from peppy.codec import Gathered, plan_of

NOBODY, TOOLS = "nobody watches", ("topic hz", "topic bw")
FIELDS = {"topic hz": "rate_hz", "topic bw": "bytes_per_s"}


class Stream(NamedTuple):
    """A topic of the peer's at a rate."""

    topic: str
    size: int
    rate_hz: float
    message: tuple[Any, ...]
    format: str

    @property
    def payload(self) -> int:
        """Bytes of one message."""
        encoded = plan_of(self.topic, self.format, {}).encode(*self.message)
        return encoded.length if isinstance(encoded, Gathered) else len(encoded)


HEADER = '["number","u64",0],["stamp","time",0]'
PICTURE = '["width","u32",0],["height","u32",0],["encoding","string",0],["data",["u8",6220800],0]'
STREAMS = (
    Stream("frame_hd", 6_220_800, 30.0, (1, 1e9, 1920, 1080, "rgb8", bytes(6_220_800)), f"[{HEADER},{PICTURE}]"),
    Stream("imu", 64, 10_000.0, (1, 1e9, [1.0, 0.0, 0.0, 1.0]), f'[{HEADER},["orientation",["f32",4],0]]'),
)


def rows(quick: bool) -> list[dict[str, object]]:
    """For each stream: the publisher alone, then with each tool beside it, again and again."""
    windows, repeats = (3, 1) if quick else (5, 3)
    samples: dict[Case, list[Sample]] = defaultdict(list)
    stack.running().near.call("prepare", topics=[stream.topic for stream in STREAMS], cpu=-1, burner=None)
    for _ in range(repeats):
        for stream in STREAMS:
            for watcher in (NOBODY, *TOOLS):
                for case, sample in _measured(stream, watcher, windows):
                    samples[case].append(sample)
    return [row(case, taken) for case, taken in samples.items()]


def _measured(stream: Stream, watcher: str, windows: int) -> Iterator[tuple[Case, Sample]]:
    """One repeat of one stream with one watcher."""
    near = stack.running().near
    near.call("start_drum", topic=stream.topic, rate_hz=stream.rate_hz)
    time.sleep(1)  # the ring has made its rounds
    shown, share = 0.0, 0.0
    since = time.monotonic_ns()
    if watcher == NOBODY:
        time.sleep(windows)
        until = time.monotonic_ns()
    else:
        shown, share, since, until = _watch(stream, watcher, windows)
    rate, times = near.call("stop_drum", since_ns=since, until_ns=until)
    yield _case(stream, "watch_publish", "us", watcher), Sample(n=len(times), times=times)
    if watcher in TOOLS:
        truth = rate * (stream.payload if watcher == "topic bw" else 1)
        off = 100 * abs(shown / truth - 1)
        yield _case(stream, "watch_rate", "%", watcher), Sample(n=windows, value=off)
        yield _case(stream, "watch_cpu", "%", watcher), Sample(n=windows, value=100 * share)


def _watch(stream: Stream, watcher: str, windows: int) -> tuple[float, float, int, int]:
    """The mean of what a tool shows in so many windows, its share of one CPU, and when they began and ended."""
    with _tool(stream, watcher) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the window in which it started
        since, before = time.monotonic_ns(), used_ns(process.pid)
        lines = [json.loads(process.stdout.readline()) for _ in range(windows)]
        until, used = time.monotonic_ns(), used_ns(process.pid) - before
    return fmean(line[FIELDS[watcher]] for line in lines), used / (until - since), since, until


@contextmanager
def _tool(stream: Stream, watcher: str) -> "Iterator[subprocess.Popen[bytes]]":
    words = [sys.executable, "-m", "peppy.cli", *watcher.split(), f"near/{stream.topic}", "--json"]
    with subprocess.Popen(words, env=stack.running().environment, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()


def _case(stream: Stream, test: str, unit: str, watcher: str) -> Case:
    note = f"{watcher}, {stream.rate_hz:g} Hz"
    return Case("watch", "peppy", test, stream.size, "typed-block", "free", unit, note)
