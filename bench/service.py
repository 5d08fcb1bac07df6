"""A request of IMU size and its response: ours between two nodes through the daemon, others between two processes."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from time import perf_counter_ns

from bench import peers, stack
from bench.measure import CPUS, Measure, in_two_processes, program
from bench.results import Case, Sample

SIZE = 64
LEAST, MOST, WARM_UP = 100, 20_000, 100
NOTE = "round trip"
DAEMONS = {"daemon anywhere": -1, "daemon on the caller's CPU": 0, "daemon on the server's CPU": 1}
"""Where the daemon is, by the words of the note."""


def plan(quick: bool) -> Iterator[tuple[Case, Measure]]:
    """All sides of each condition stand beside each other, so that they are measured at nearly the same time."""
    for condition in ("awake",) if quick else ("awake", "free", "1cpu"):
        for where in DAEMONS if condition == "awake" else ("daemon anywhere",):
            yield Case("service", "peppy", "service", SIZE, "typed-asyncio", condition, "us", f"{NOTE}; {where}"), ours
        for peer in peers.installed():
            yield Case("service", peer, "service", SIZE, "raw-block", condition, "us", NOTE), theirs


def ours(case: Case, seconds: float) -> Sample:
    """One repeat: calls for about `seconds`."""
    with prepared(case) as (caller, _):
        times = caller.call("call", seconds=seconds)
    return Sample(n=len(times), times=times)


@contextmanager
def prepared(case: Case) -> Iterator[tuple[stack.Instance, stack.Instance]]:
    """The caller and the server where the case wants them; the daemon as its note says."""
    running = stack.running()
    ends = running.calling
    burner = program("burner") if case.condition == "awake" else None
    for end, cpu in zip(ends, CPUS[case.condition], strict=True):
        end.call("pin", cpu=cpu, burner=burner)
    where = next((cpu for words, cpu in DAEMONS.items() if words in case.note), -1)
    _pin(running.daemon.pid, where)
    yield ends
    _pin(running.daemon.pid, -1)
    for end in ends:
        end.call("rest")


def _pin(pid: int, cpu: int) -> None:
    cpus = {cpu} if cpu >= 0 else set(range(os.cpu_count() or 1))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cpus)


def theirs(case: Case, seconds: float) -> Sample:
    """One repeat with two processes of another middleware."""
    return in_two_processes(_call, _serve, case, seconds)


def _call(channel: socket.socket, case: Case, seconds: float) -> Sample:
    times: list[int] = []
    end = 0
    payload = bytearray(os.urandom(case.size))
    with import_module(f"bench.peers.{case.peer}_service").calling(channel) as call:
        for number in range(WARM_UP + MOST):
            started = perf_counter_ns()
            payload[0] = payload[-1] = number & 0xFF
            request = bytes(payload)
            answer = call(request)
            if len(answer) != case.size or answer[0] != number & 0xFF or answer[-1] != number & 0xFF:
                raise RuntimeError(f"the answer to call {number} is torn")
            now = perf_counter_ns()
            times.append(now - started)
            if number == WARM_UP:
                end = now + int(seconds * 1e9)
            if end and now > end and number >= WARM_UP + LEAST:
                break
        call(b"end")
    return Sample(n=len(times) - WARM_UP, times=[time / 1000 for time in times[WARM_UP:]])


def _serve(channel: socket.socket, case: Case, _seconds: float) -> None:
    with import_module(f"bench.peers.{case.peer}_service").serving(channel) as serve_one:
        while serve_one() != b"end":
            pass
        channel.recv(1)  # the caller closes first
