"""How a figure is taken: two real processes on chosen CPUs, virtual CPUs kept awake, repeats interleaved."""

import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

from bench.results import Case, Sample

NATIVE = Path(__file__).parent / "native"
WATCHDOG = 120.0

CPUS: dict[str, tuple[int, int]] = {"awake": (0, 1), "1cpu": (0, 0), "free": (-1, -1)}
"""Where the two processes run: awake = one CPU each, kept from halting; 1cpu = both on one; free = anywhere."""

Role = Callable[[socket.socket, Case, float], Sample | None]
"""One end of a measurement: its channel to the other end, the case, and the seconds it should take."""

Hub = Callable[[Sequence[socket.socket], Case, float], Sample]
"""The one end that has a channel to each of the others."""

Measure = Callable[[Case, float], Sample]
"""Takes one repeat of a case within about so many seconds."""


@cache
def program(name: str) -> str:
    """Compile bench/native/<name>.c once per run; the path of the program."""
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    target = Path(_programs().name) / name
    subprocess.run([compiler, "-O2", "-std=gnu11", "-o", target, NATIVE / f"{name}.c"], check=True)
    return str(target)


@cache
def _programs() -> "tempfile.TemporaryDirectory[str]":
    """Where they are; it goes with this process."""
    return tempfile.TemporaryDirectory(prefix="peppy-bench-")


@contextlib.contextmanager
def condition(case: Case) -> Iterator[None]:
    """Keep the CPUs awake where the condition says so.

    The nodes of a stack do that for themselves: the kernel shares a CPU among sessions first (autogroup) and
    among processes then, so our spinner would not be idle next to a node, whose session is another one.
    """
    in_a_stack = case.peer == "peppy" and case.suite in ("typed", "service", "goal")
    cpus = range(min(2, os.cpu_count() or 1)) if case.condition == "awake" and not in_a_stack else range(0)
    burners = [subprocess.Popen([program("burner"), str(cpu)]) for cpu in cpus]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def in_two_processes(near: Role, far: Role, case: Case, seconds: float) -> Sample:
    """Run both roles in processes of their own; the sample is what `near` returns."""
    return in_several_processes(lambda channels, *rest: near(channels[0], *rest), far, 1, case, seconds)


def in_several_processes(near: Hub, far: Role, count: int, case: Case, seconds: float) -> Sample:
    """Run `near` and `count` times `far`, all those on the second CPU; `near` has a channel to each."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count)]
    lefts, rights = [left for left, _ in pairs], [right for _, right in pairs]
    read_end, write_end = os.pipe()
    first, second = CPUS[case.condition]
    children = [_fork(lambda: _answer(write_end, near(lefts, case, seconds)), first, closing=rights)]
    for right in rights:
        children.append(_fork(lambda channel=right: far(channel, case, seconds), second, closing=lefts))
    for end in (*lefts, *rights):
        end.close()
    return _collect(case, children, read_end, write_end)


def in_one_process(role: Measure, case: Case, seconds: float) -> Sample:
    """Run a role that needs no other end in a process of its own, on the first CPU of the case."""
    read_end, write_end = os.pipe()
    child = _fork(lambda: _answer(write_end, role(case, seconds)), CPUS[case.condition][0], closing=())
    return _collect(case, [child], read_end, write_end)


def _answer(write_end: int, sample: Sample | None) -> None:
    assert sample is not None
    with open(write_end, "w") as answer:
        json.dump({"n": sample.n, "times": list(sample.times), "value": sample.value, "lost": sample.lost}, answer)


def _collect(case: Case, children: Sequence[int], read_end: int, write_end: int) -> Sample:
    os.close(write_end)
    with open(read_end) as answer:
        text = answer.read()
    statuses = [os.waitpid(child, 0)[1] for child in children]
    if any(statuses):
        raise RuntimeError(f"a process of {case} failed")
    return Sample(**json.loads(text))


def _fork(body: Callable[[], object], cpu: int, closing: Sequence[socket.socket]) -> int:
    """Run `body` in a child, pinned, without the garbage collector, and for a limited time."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        for end in closing:
            end.close()
        signal.alarm(int(WATCHDOG))  # a hang ends the measurement instead of the day
        if cpu >= 0:
            os.sched_setaffinity(0, {cpu % (os.cpu_count() or 1)})
        gc.disable()
        body()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def interleaved(
    plan: Sequence[tuple[Case, Measure]], repeats: int, seconds: float
) -> Iterator[tuple[Case, list[Sample]]]:
    """Measure A B C, A B C, ... so that a slow minute of the machine falls on all of them."""
    samples: dict[Case, list[Sample]] = {case: [] for case, _ in plan}
    for _ in range(repeats):
        for case, measure in plan:
            with condition(case):
                samples[case].append(measure(case, seconds))
    yield from samples.items()
