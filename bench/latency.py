"""How long a message takes from one process to another: round trips, halved."""

import asyncio
import os
import socket
from collections.abc import Iterator
from time import perf_counter_ns

from bench.link import LAST, Link, Receiver, Sender
from bench.measure import Measure, in_two_processes
from bench.results import Case, Sample
from peppy.ring import Outcome

KIB, MIB = 1 << 10, 1 << 20
SIZES = (64, KIB, 64 * KIB, MIB, 8 * MIB)
LEAST, MOST = 100, 50_000  # round trips of one repeat
SPIN_US = 1e6
HOW = {"raw-poll": "touched; a loop of take_bytes", "raw-spin": "touched; receive_bytes spins in the core"}
WARM_UP = 50  # besides two rounds of the ring, after which every chunk has its memory


def plan(quick: bool) -> Iterator[tuple[Case, Measure]]:
    """All cases; `quick` leaves out what differs little."""
    for condition in ("awake", "1cpu") if quick else ("awake", "1cpu", "free"):
        for mode in ("raw-poll", "raw-spin", "raw-block", "raw-asyncio"):
            if mode in HOW and condition == "1cpu":
                continue  # two ends that spin on one CPU measure the scheduler's slice
            for size in SIZES if condition == "awake" and mode == "raw-block" else (64,):
                yield _case(size, mode, condition)
    for size in (64, MIB, 8 * MIB):
        yield _case(size, "loan-block", "awake")
    if not quick:
        for size in SIZES[1:]:
            yield _case(size, "raw-poll", "awake")
            yield _case(size, "raw-asyncio", "awake")
        for size in (MIB, 8 * MIB):
            yield _case(size, "loan-poll", "awake")


def _case(size: int, mode: str, condition: str) -> tuple[Case, Measure]:
    note = HOW.get(mode, "touched") if mode.startswith("raw") else "loan: header, first and last byte written"
    case = Case("latency", "peppy", "latency", size, mode, condition, "us", note)
    return case, measure


def measure(case: Case, seconds: float) -> Sample:
    """One repeat: round trips for about `seconds`."""
    return in_two_processes(_ping, _echo, case, seconds)


def _ping(channel: socket.socket, case: Case, seconds: float) -> Sample:
    link, sender, receiver, waiting = _open(channel, case)
    if waiting == "asyncio":
        return asyncio.run(_ping_under_asyncio(link, receiver, sender, seconds))
    send, wait = sender.send, receiver.poll if waiting == "poll" else receiver.wait
    times: list[int] = []
    end = 0
    warm_up = WARM_UP + 2 * link.writer.geometry.depth
    for number in range(warm_up + MOST):
        started = perf_counter_ns()
        send(number)
        wait()
        now = perf_counter_ns()
        times.append(now - started)
        if number == warm_up:
            end = now + int(seconds * 1e9)
        if now > end and number >= warm_up + LEAST:
            break
    send(LAST)
    return _sample(times[warm_up:])


def _echo(channel: socket.socket, case: Case, _seconds: float) -> None:
    link, sender, receiver, waiting = _open(channel, case)
    if waiting == "asyncio":
        asyncio.run(_echo_under_asyncio(link, receiver, sender))
        return
    send, wait = sender.send, receiver.poll if waiting == "poll" else receiver.wait
    while (number := wait()) != LAST:
        send(number)


def _open(channel: socket.socket, case: Case) -> tuple[Link, Sender, Receiver, str]:
    link = Link.open(channel, case.size)
    access, _, waiting = case.mode.partition("-")
    spin_us = SPIN_US if waiting == "spin" else 0.0
    receiver = Receiver(link.reader, case.size, link.doorbell, spin_us)
    return link, Sender(link.writer, case.size, access == "loan"), receiver, waiting


def _sample(round_trips: list[int]) -> Sample:
    """One-way microseconds."""
    return Sample(n=len(round_trips), times=[time / 2000 for time in round_trips])


class LoopReceiver:
    """The next message under asyncio: the doorbell is read before every look at the ring, which is armed when empty."""

    def __init__(self, link: Link, receiver: Receiver) -> None:
        self._reader, self._doorbell, self._receive = link.reader, link.doorbell, receiver.receive
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        self._loop.add_reader(self._doorbell, self._ring)

    async def next(self) -> int:
        while (number := self._receive()) is None:
            if self._reader.arm() is Outcome.EMPTY:
                self._waiting = self._loop.create_future()
                await self._waiting
        return number

    def _ring(self) -> None:
        os.eventfd_read(self._doorbell)
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(None)


async def _ping_under_asyncio(link: Link, receiver: Receiver, sender: Sender, seconds: float) -> Sample:
    send, receive = sender.send, LoopReceiver(link, receiver).next
    times: list[int] = []
    end = 0
    warm_up = WARM_UP + 2 * link.writer.geometry.depth
    for number in range(warm_up + MOST):
        started = perf_counter_ns()
        send(number)
        await receive()
        now = perf_counter_ns()
        times.append(now - started)
        if number == warm_up:
            end = now + int(seconds * 1e9)
        if now > end and number >= warm_up + LEAST:
            break
    send(LAST)
    return _sample(times[warm_up:])


async def _echo_under_asyncio(link: Link, receiver: Receiver, sender: Sender) -> None:
    send, receive = sender.send, LoopReceiver(link, receiver).next
    while (number := await receive()) != LAST:
        send(number)
