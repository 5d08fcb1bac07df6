"""What one publish and one take cost as readers, depth and message size grow (docs/design/performance.md, T14)."""

import socket
from collections.abc import Iterator
from time import perf_counter_ns

from bench.link import BUDGET, Link, Sender, budget_depth
from bench.measure import Measure, in_one_process, in_two_processes
from bench.results import Case, Sample
from peppy.ring import History, Reader, ReceiveBuffer, SendBuffer, View, Writer
from peppy.ring import plan as plan_geometry

BATCH = 256  # small publishes per sample: one takes about as long as reading the clock
LARGE = 64 << 10
COPIED = "take and view, first and last byte read; written by a copy of all bytes, which empties the caches"
FILLED = "take and view, first and last byte read; the writer loans and writes as many"
RARE = "take and view, first and last byte read; one message a millisecond, as often as 8 MiB are copied"
MIB = 1 << 20


def plan(quick: bool) -> Iterator[tuple[Case, Measure]]:
    """Readers that are attached and awake, then depths, then sizes."""
    for readers in (0, 1, 16, 64) if quick else (0, 1, 4, 16, 64):
        yield _case(64, f"readers={readers} depth=128")
    for depth in (8, 1024) if quick else (8, 32, 1024, 16384):
        yield _case(64, f"readers=1 depth={depth}")
    for size in (1024,) if quick else (1024, 16 << 10, 256 << 10):
        yield _case(size, "readers=1 depth=128")
    for size in (MIB, 8 * MIB):  # a shallow stream keeps its chunks in the cache
        for depth in (4, budget_depth(size)):
            yield _case(size, f"readers=0 depth={depth}")
    for size in (64, MIB, 8 * MIB):
        for note in (COPIED, FILLED):
            yield _look_case(size, note)
    yield _look_case(64, RARE)


def _case(size: int, note: str) -> tuple[Case, Measure]:
    return Case("scaling", "peppy", "publish_scaling", size, "raw-poll", "awake", "us", note), measure


def _look_case(size: int, note: str) -> tuple[Case, Measure]:
    return Case("scaling", "peppy", "take_scaling", size, "loan-poll", "awake", "us", note), measure_take


def measure(case: Case, seconds: float) -> Sample:
    """One repeat: microseconds per publish, the doorbells left out."""
    return in_one_process(_publish, case, seconds)


def _publish(case: Case, seconds: float) -> Sample:
    sizes = dict(part.split("=") for part in case.note.split())
    writer = Writer.create(plan_geometry(int(sizes["depth"]), BUDGET, case.size), topic_hash=0, schema_hash=0, mode=1)
    readers = [_attach(writer) for _ in range(int(sizes["readers"]))]
    publish, buffer, length = writer.publish, SendBuffer(case.size), case.size
    batch = BATCH if length < LARGE else 1
    warm_up = 10 if length < LARGE else 2 * writer.geometry.depth  # then every chunk has its memory
    times = []
    end = perf_counter_ns() + int(seconds * 1e9)
    while (started := perf_counter_ns()) < end or len(times) < warm_up + 20:
        for _ in range(batch):
            publish(buffer, length)
        times.append((perf_counter_ns() - started) / batch / 1000)
    for reader in readers:
        reader.close()
    writer.close()
    times = times[warm_up:]
    return Sample(n=len(times) * batch, times=times)


def measure_take(case: Case, seconds: float) -> Sample:
    """One repeat: microseconds from a message that is there to its bytes in Python, in a process of its own."""
    return in_two_processes(_look, _show, case, seconds)


def _look(channel: socket.socket, case: Case, seconds: float) -> Sample:
    link = Link.open(channel, case.size, 8)
    take, acknowledge, last = link.reader.take_view, link.writer.publish_bytes, case.size - 1
    times: list[float] = []
    end = perf_counter_ns() + int(seconds * 1e9)
    warm_up = 2 * link.reader.config.depth
    while perf_counter_ns() < end or len(times) < warm_up + 50:
        acknowledge(b"next")
        while True:
            started = perf_counter_ns()
            view = take()
            if view.__class__ is View:
                break
        if view.data[0] != view.data[last]:  # the number's lowest byte
            raise RuntimeError("a message is torn")
        times.append((perf_counter_ns() - started) / 1000)
        del view
    acknowledge(b"end")
    times = times[warm_up:]
    return Sample(n=len(times), times=times)


def _show(channel: socket.socket, case: Case, _seconds: float) -> None:
    link = Link.open(channel, case.size, 8)
    send, asked, number = Sender(link.writer, case.size, case.note != COPIED).send, ReceiveBuffer(64), 0
    while True:
        while not isinstance(taken := link.reader.take_into(asked), tuple):
            pass
        if asked.data[: taken[0]] == b"end":
            return
        number += 1
        due = perf_counter_ns() + (1_000_000 if case.note == RARE else 0)
        while perf_counter_ns() < due:
            pass
        send(number)


def _attach(writer: Writer) -> Reader:
    claim = writer.reserve_row(-1, History.NONE)
    return Reader.open(writer.data_fd, writer.ctrl_fd, claim, newest=False)
