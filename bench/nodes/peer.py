"""One end of the typed measurements: two instances of this node play ping-pong as the benchmark tells them.

Everything that is timed goes through the generated package, as in a node that somebody wrote. The garbage collector
runs, as it does there.
"""

import asyncio
import itertools
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from time import monotonic_ns, perf_counter_ns
from typing import Any

sys.path.insert(0, ".peppy/libs/peppygen")

import numpy
from peppygen import NodeBuilder, NodeRunner, emitted_topics
from peppygen import consumed_topics as read
from peppygen.parameters import Parameters
from told import Told, serve

LEAST, MOST, WARM_UP = 100, 50_000, 300  # round trips; the ring's chunks have their memory after the warm-up
LAST = (1 << 64) - 1
BATCH, WINDOW = 64, 96  # messages that one call brings, messages that may be unacknowledged
FRAMES_AHEAD = 2
STAMP = 1.0e9
TOPICS = {
    "imu": (emitted_topics.imu, read.peer_imu),
    "frame_1m": (emitted_topics.frame_1m, read.peer_frame_1m),
    "frame_8m": (emitted_topics.frame_8m, read.peer_frame_8m),
    "frame_hd": (emitted_topics.frame_hd, read.peer_frame_hd),
    "ack": (emitted_topics.ack, read.peer_ack),
}

Fields = Callable[[int], tuple[Any, ...]]
Touch = Callable[[Any], int]


def imu_fields(number: int) -> tuple[Any, ...]:
    return number, STAMP, [1.0, 0.0, 0.0, float(number & 0xFF)]


def touch_imu(message: Any) -> int:
    if message.orientation[3] != message.number & 0xFF:
        raise RuntimeError(f"message {message.number} is torn")
    return message.number


def touch_frame(message: Any) -> int:
    data, low = message.data, message.number & 0xFF
    if data[0] != low or data[-1] != low:
        raise RuntimeError(f"message {message.number} is torn")
    return message.number


class Ends:
    """What one topic is written and read with: `send`, `emit` and `receive` in all modes."""

    def __init__(self, runner: NodeRunner, name: str) -> None:
        emitted, consumed = TOPICS[name]
        self.runner, self.emitted = runner, emitted
        self.publisher, self.subscription = emitted.declare_publisher(runner), consumed.subscribe(runner)
        self.touch: Touch = touch_imu if name == "imu" else touch_frame
        self.fields: Fields = imu_fields if name == "imu" else self._frame_fields
        size = {"frame_1m": 1 << 20, "frame_8m": 8 << 20, "frame_hd": 6_220_800}.get(name, 0)
        self._frame = numpy.ones(size, numpy.uint8)

    async def registered(self) -> None:
        await self.publisher
        await self.subscription
        while self.subscription.take() is not None:
            pass

    def _frame_fields(self, number: int) -> tuple[Any, ...]:
        self._frame[0] = self._frame[-1] = number & 0xFF
        return number, STAMP, 1920, 1080, "rgb8", self._frame

    def publish(self, number: int) -> None:
        self.publisher.publish(*self.fields(number))

    async def next(self) -> int:
        received = await self.subscription.next()
        assert received is not None
        return self.touch(received[1])

    def publish_loan(self, number: int) -> None:
        with self.publisher.loan() as message:
            message.number, message.stamp, message.width, message.height = number, STAMP, 1920, 1080
            message.encoding = "rgb8"
            message.data[0] = message.data[-1] = number & 0xFF

    async def next_loan(self) -> int:
        async with self.subscription.next_loan() as loan:
            return touch_frame(loan.message)

    def block(self) -> int:
        received = self.subscription.take_blocking()
        assert received is not None
        return self.touch(received[1])

    def poll(self) -> int:
        take = self.subscription.take
        while (received := take()) is None:
            pass
        return self.touch(received[1])


class Drum:
    """Publishes one topic at a fixed rate in a thread of its own, and notes when and for how long."""

    def __init__(self, publish: Callable[[int], None], rate_hz: float) -> None:
        self._publish = publish
        self._period_ns = 1e9 / rate_hz
        self._beats: list[tuple[int, int]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self, since_ns: int, until_ns: int) -> tuple[float, list[float]]:
        """Messages per second between two moments (CLOCK_MONOTONIC), and microseconds of each publish."""
        self._stopping.set()
        self._thread.join()
        beats = [beat for beat in self._beats if since_ns <= beat[0] <= until_ns]
        return (len(beats) - 1) * 1e9 / (beats[-1][0] - beats[0][0]), [taken / 1000 for _, taken in beats]

    def _run(self) -> None:
        started = monotonic_ns()
        for number in itertools.count():
            left = started + int(number * self._period_ns) - monotonic_ns()
            if left > 0:
                time.sleep(left / 1e9)
            if self._stopping.is_set():
                break
            began = monotonic_ns()
            self._publish(1)  # always the same number: every message has the same size
            self._beats.append((began, monotonic_ns() - began))


class Peer(Told):
    """The calls that the benchmark makes."""

    def __init__(self, runner: NodeRunner) -> None:
        super().__init__()
        self._runner = runner
        self._ends: dict[str, Ends] = {}
        self._starter = read.starter_hello.subscribe(runner)
        self._drum: Drum | None = None

    async def prepare(self, topics: list[str], cpu: int, burner: str | None) -> None:
        """Pin all threads, keep the CPU awake, and be registered at both ends of these topics."""
        for name in topics:
            if name not in self._ends:
                self._ends[name] = Ends(self._runner, name)
            await self._ends[name].registered()
        await self.pin(cpu, burner)

    async def ping(self, topic: str, mode: str, seconds: float) -> list[float]:
        """One-way microseconds of so many seconds of round trips."""
        ends = self._ends[topic]
        if mode in ("typed-block", "typed-poll"):
            receive = ends.block if mode == "typed-block" else ends.poll
            return await asyncio.to_thread(_ping, ends.publish, receive, seconds)
        if mode == "loan-asyncio":
            return await _ping_by_loan(ends, seconds)
        return await _ping_by_emit(ends, seconds)

    async def echo(self, topic: str, mode: str) -> None:
        """Send back what comes until the last number has come."""
        ends = self._ends[topic]
        if mode in ("typed-block", "typed-poll"):
            await asyncio.to_thread(_echo, ends.publish, ends.block if mode == "typed-block" else ends.poll)
        elif mode == "loan-asyncio":
            await _echo_by_loan(ends)
        else:
            await _echo_by_emit(ends)

    async def pour(self, topic: str, paced: bool, seconds: float) -> None:
        """Publish as much as goes; `paced`: no more than a window ahead of what the other end acknowledges."""
        ends, acknowledged = self._ends[topic], self._ends["ack"].subscription
        window = WINDOW if topic == "imu" else FRAMES_AHEAD
        await asyncio.to_thread(_pour, ends.publish, acknowledged.take_many, window if paced else LAST, seconds)

    async def drink(self, topic: str, mode: str) -> tuple[int, float, int]:
        """Messages received, messages per second, messages lost."""
        ends, acknowledge = self._ends[topic], self._ends["ack"].publisher.publish
        if topic == "imu":
            return await asyncio.to_thread(_drink_small, ends, acknowledge)
        return await _drink_frames(ends.next_loan if mode == "loan-asyncio" else ends.next, acknowledge)

    async def start_drum(self, topic: str, rate_hz: float) -> None:
        """Publish so many messages a second from now on."""
        self._drum = Drum(self._ends[topic].publish, rate_hz)

    async def stop_drum(self, since_ns: int, until_ns: int) -> tuple[float, list[float]]:
        """What the publisher itself says about the time between."""
        assert self._drum is not None
        return await asyncio.to_thread(self._drum.stop, since_ns, until_ns)

    async def hello(self) -> tuple[int, int]:
        """The stamp that the next starter brings, and the time at which it is here."""
        received = await self._starter.next()
        assert received is not None
        return received[1].started, monotonic_ns()


def _ping(send: Callable[[int], None], receive: Callable[[], int], seconds: float) -> list[float]:
    times: list[int] = []
    end = 0
    for number in range(WARM_UP + MOST):
        started = perf_counter_ns()
        send(number)
        receive()
        now = perf_counter_ns()
        times.append(now - started)
        if number == WARM_UP:
            end = now + int(seconds * 1e9)
        if end and now > end and number >= WARM_UP + LEAST:
            break
    send(LAST)
    return [time / 2000 for time in times[WARM_UP:]]


async def _ping_by_emit(ends: Ends, seconds: float) -> list[float]:
    """As a node does it: straight to `emit` and `next` of the generated package."""
    emit, runner, fields = ends.emitted.emit, ends.runner, ends.fields
    receive, touch = ends.subscription.next, ends.touch
    times: list[int] = []
    end = 0
    for number in range(WARM_UP + MOST):
        started = perf_counter_ns()
        await emit(runner, *fields(number))
        received = await receive()
        touch(received[1])
        now = perf_counter_ns()
        times.append(now - started)
        if number == WARM_UP:
            end = now + int(seconds * 1e9)
        if end and now > end and number >= WARM_UP + LEAST:
            break
    await emit(runner, *fields(LAST))
    return [time / 2000 for time in times[WARM_UP:]]


async def _echo_by_emit(ends: Ends) -> None:
    emit, runner, fields = ends.emitted.emit, ends.runner, ends.fields
    receive, touch = ends.subscription.next, ends.touch
    while True:
        received = await receive()
        number = touch(received[1])
        if number == LAST:
            return
        await emit(runner, *fields(number))


async def _ping_by_loan(ends: Ends, seconds: float) -> list[float]:
    times: list[int] = []
    end = 0
    for number in range(WARM_UP + MOST):
        started = perf_counter_ns()
        ends.publish_loan(number)
        await ends.next_loan()
        now = perf_counter_ns()
        times.append(now - started)
        if number == WARM_UP:
            end = now + int(seconds * 1e9)
        if end and now > end and number >= WARM_UP + LEAST:
            break
    ends.publish_loan(LAST)
    return [time / 2000 for time in times[WARM_UP:]]


async def _echo_by_loan(ends: Ends) -> None:
    while (number := await ends.next_loan()) != LAST:
        ends.publish_loan(number)


def _echo(send: Callable[[int], None], receive: Callable[[], int]) -> None:
    while (number := receive()) != LAST:
        send(number)


def _pour(
    publish: Callable[[int], None], take_acknowledged: Callable[[int], list[Any]], window: int, seconds: float
) -> None:
    number = acknowledged = 0
    end = perf_counter_ns() + int(seconds * 1e9)
    while number & 15 or perf_counter_ns() < end:
        while number - acknowledged >= window:
            for _, message in take_acknowledged(BATCH):
                acknowledged = message.number
        number += 1
        publish(number)
    publish(LAST)


def _drink_small(ends: Ends, acknowledge: Callable[[int], None]) -> tuple[int, float, int]:
    take_many, touch = ends.subscription.take_many, ends.touch
    received = last = 0
    started = perf_counter_ns()
    while True:
        numbers = [touch(message) for _, message in take_many(BATCH)]
        if not numbers:
            continue
        if not received:
            started = perf_counter_ns()
        ended = numbers[-1] == LAST
        if ended:
            numbers.pop()
        if numbers:
            _check_order(last, numbers)
            received, last = received + len(numbers), numbers[-1]
        if ended:
            return received, received / (perf_counter_ns() - started) * 1e9, last - received
        acknowledge(last)


async def _drink_frames(
    receive: Callable[[], Awaitable[int]], acknowledge: Callable[[int], None]
) -> tuple[int, float, int]:
    received = last = first = 0
    warm_up = 2 * 16  # two rounds of the ring
    started = perf_counter_ns()
    while (number := await receive()) != LAST:
        _check_order(last, [number])
        received, last = received + 1, number
        if received == warm_up:
            started, first = perf_counter_ns(), received
        acknowledge(number)
    return received, (received - first) / (perf_counter_ns() - started) * 1e9, last - received


def _check_order(last: int, numbers: list[int]) -> None:
    if numbers[0] <= last or numbers != sorted(numbers):
        raise RuntimeError(f"message {numbers[0]} came after {last}")


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(serve(params.control, Peer(runner)))]


if __name__ == "__main__":
    NodeBuilder().run(setup)
