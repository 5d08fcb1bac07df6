"""What a stack costs that has nothing to do (docs/design/performance.md, T12)."""

import subprocess
import sys
import time
from pathlib import Path

from bench import stack
from bench.results import Case, Sample, row

IDLE = "bench_idle"


def rows(quick: bool) -> list[dict[str, object]]:
    """Processor time of a waiting subscriber and of the daemon, and the memory of a subscriber."""
    count, seconds, repeats = (5, 3.0, 1) if quick else (20, 10.0, 3)
    running = stack.running()
    nodes = [running.run(IDLE, f"idle-{number}") for number in range(count)]
    pids = [node.pid for node in nodes]
    try:
        shares = [_shares([running.daemon.pid, *pids], seconds) for _ in range(repeats)]
        memory = [_resident(pid) for pid in pids]
    finally:
        running.stop(nodes)
    bare = _bare_interpreter()
    daemon = [Sample(n=1, value=100 * daemon) for daemon, *_ in shares]
    waiting = [Sample(n=count, value=100 * sum(rest) / count) for _, *rest in shares]
    added = [Sample(n=1, value=(own - bare) / 2**20) for own in memory]
    over = f"over {seconds:g} s"
    return [
        row(_case("%", f"subscriber that waits, mean of {count}, {over}"), waiting),
        row(_case("%", f"daemon with {count} idle nodes, {over}"), daemon),
        row(_case("MiB", "subscriber's process above a bare interpreter, shared pages apart"), added),
    ]


def _case(unit: str, note: str) -> Case:
    return Case("idle", "peppy", "idle", 0, "typed-asyncio", "free", unit, note)


def _shares(pids: list[int], seconds: float) -> list[float]:
    """The share of one CPU that each process uses."""
    before, started = [used_ns(pid) for pid in pids], time.monotonic_ns()
    time.sleep(seconds)
    after, passed = [used_ns(pid) for pid in pids], time.monotonic_ns() - started
    return [(late - early) / passed for early, late in zip(before, after, strict=True)]


def used_ns(pid: int) -> int:
    """The processor time of a process; its clock has this number (clock_getcpuclockid)."""
    return time.clock_gettime_ns(~pid << 3 | 2)


def _resident(pid: int) -> int:
    """Bytes of memory without shared memory."""
    status = dict(line.split(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(status[name].split()[0]) for name in ("RssAnon", "RssFile")) * 1024


def _bare_interpreter() -> int:
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        resident = _resident(process.pid)
        process.communicate(b"\n")
    return resident
