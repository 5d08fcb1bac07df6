"""What the machine itself can do: the figures that ours are compared with, measured in the same run."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from time import perf_counter_ns

from bench.link import budget_depth
from bench.measure import CPUS, Measure, in_two_processes, program
from bench.results import Case, Sample

WARM_UP = 50
MOST = 50_000
COPIED = (1 << 20, 6_220_800, 8 << 20)  # 6 220 800 bytes: one 1920 x 1080 RGB frame


def plan(quick: bool) -> Iterator[tuple[Case, Measure]]:
    """All floors; each stands beside the cases that it limits."""
    for condition in ("awake", "1cpu") if quick else ("awake", "1cpu", "free"):
        yield Case("floors", "floor:eventfd", "latency", 8, "raw-block", condition, "us", "C, epoll"), _eventfd
        yield Case("floors", "floor:asyncio-eventfd", "latency", 8, "raw-asyncio", condition, "us"), _asyncio_eventfd
        yield (
            Case("floors", "unix-socket", "latency", 64, "raw-block", condition, "us", "Python, blocking"),
            _unix_socket,
        )
    yield Case("floors", "floor:cacheline", "latency", 8, "raw-poll", "awake", "us", "C, spinning"), _cacheline
    for size in COPIED:
        for buffers in (1, 5) if size == COPIED[1] else (1, 5, budget_depth(size) + 1):
            note = f"C, warm, into {buffers} buffers in turn" if buffers > 1 else "C, warm, into one buffer"
            yield Case("floors", "floor:memcpy", "throughput", size, "raw-poll", "awake", "GB/s", note), _memcpy


def _native(*arguments: object) -> list[int]:
    done = subprocess.run(
        [program("floors"), *map(str, arguments)], capture_output=True, text=True, check=True, timeout=120
    )
    return [int(line) for line in done.stdout.split()]


def _one_way(round_trips: list[int]) -> Sample:
    times = [time / 2000 for time in round_trips[WARM_UP:]]
    return Sample(n=len(times), times=times)


def _eventfd(case: Case, seconds: float) -> Sample:
    return _one_way(_native("eventfd", *CPUS[case.condition], WARM_UP + int(seconds * 10_000)))


def _cacheline(case: Case, seconds: float) -> Sample:
    return _one_way(_native("cacheline", *CPUS[case.condition], WARM_UP + int(seconds * 5_000)))


def _memcpy(case: Case, seconds: float) -> Sample:
    buffers = int(case.note.split()[3]) if "turn" in case.note else 1
    count = max(20, 3 * buffers, int(seconds * 8e9 / case.size))
    times = sorted(_native("memcpy", CPUS[case.condition][0], case.size, count, buffers))
    return Sample(n=len(times), value=case.size / times[len(times) // 2])


def _unix_socket(case: Case, seconds: float) -> Sample:
    return in_two_processes(_socket_ping, _socket_echo, case, seconds)


def _socket_ping(channel: socket.socket, case: Case, seconds: float) -> Sample:
    message, times, end = bytes(case.size), [], perf_counter_ns() + int(seconds * 1e9)
    while len(times) < WARM_UP + MOST:
        started = perf_counter_ns()
        channel.send(message)
        channel.recv(case.size)
        now = perf_counter_ns()
        times.append(now - started)
        if now > end and len(times) > 2 * WARM_UP:
            break
    channel.send(b"end")
    return _one_way(times)


def _socket_echo(channel: socket.socket, case: Case, _seconds: float) -> None:
    while len(message := channel.recv(case.size)) == case.size:
        channel.send(message)


def _asyncio_eventfd(case: Case, seconds: float) -> Sample:
    return in_two_processes(_loop_ping, _loop_echo, case, seconds)


class LoopBell:
    """An eventfd of the other process, awaited: the shortest way from a wake-up to a coroutine."""

    def __init__(self, bell: int) -> None:
        self._bell = bell
        self._loop = asyncio.get_running_loop()
        self._waiting = self._loop.create_future()
        self._loop.add_reader(bell, self._ring)

    def _ring(self) -> None:
        os.eventfd_read(self._bell)
        self._waiting.set_result(None)

    async def wait(self) -> None:
        await self._waiting
        self._waiting = self._loop.create_future()


def _exchange_bells(channel: socket.socket) -> tuple[int, int]:
    mine = os.eventfd(0, os.EFD_NONBLOCK)
    socket.send_fds(channel, [b"bell"], [mine])
    _, (theirs,), _, _ = socket.recv_fds(channel, 64, 1)
    return mine, theirs


def _loop_ping(channel: socket.socket, _case: Case, seconds: float) -> Sample:
    mine, theirs = _exchange_bells(channel)

    async def ping() -> list[int]:
        bell, times, end = LoopBell(mine), [], perf_counter_ns() + int(seconds * 1e9)
        while len(times) < WARM_UP + MOST:
            started = perf_counter_ns()
            os.eventfd_write(theirs, 1)
            await bell.wait()
            now = perf_counter_ns()
            times.append(now - started)
            if now > end and len(times) > 2 * WARM_UP:
                break
        return times

    times = asyncio.run(ping())
    channel.send(b"end")
    os.eventfd_write(theirs, 1)
    return _one_way(times)


def _loop_echo(channel: socket.socket, _case: Case, _seconds: float) -> None:
    mine, theirs = _exchange_bells(channel)

    async def echo() -> None:
        bell, ended = LoopBell(mine), asyncio.Event()
        asyncio.get_running_loop().add_reader(channel, ended.set)
        while True:
            await bell.wait()
            if ended.is_set():
                return
            os.eventfd_write(theirs, 1)

    asyncio.run(echo())
