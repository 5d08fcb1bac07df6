"""How long programs take to start: from exec to exit, or to the first message (performance.md, T11 and T13)."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic_ns, perf_counter_ns

from bench import stack
from bench.measure import Measure
from bench.results import Case, Sample

STARTS = 4  # of one repeat
PEPPY = str(Path(sys.executable).with_name("peppy"))

COMMANDS: dict[str, tuple[str, list[str]]] = {
    "bare interpreter": ("floor:python", [sys.executable, "-c", "pass"]),
    "import peppy.ring": ("peppy", [sys.executable, "-c", "import peppy.ring"]),
    "peppy --help": ("peppy", [PEPPY, "--help"]),
    "peppy stack list": ("peppy", [PEPPY, "stack", "list"]),
}
FROM_EXEC = "node: exec of its interpreter to its first message"
FROM_REQUEST = "node: request to the daemon to its first message"

_numbers = itertools.count(1)


def plan(_quick: bool) -> Iterator[tuple[Case, Measure]]:
    """Programs that do next to nothing, and a node that publishes at once; a daemon serves them."""
    for note, (peer, _) in COMMANDS.items():
        test = "cli" if note.startswith("peppy") else "startup"
        yield Case("startup", peer, test, 0, "raw-block", "free", "ms", note), measure
    for note in (FROM_EXEC, FROM_REQUEST):
        yield Case("startup", "peppy", "startup", 0, "typed-asyncio", "free", "ms", note), first_message


def measure(case: Case, _seconds: float) -> Sample:
    """One repeat: several starts beside a daemon; milliseconds from start to end."""
    _, command = COMMANDS[case.note]
    environment = stack.running().environment
    return Sample(n=STARTS, times=[_start(command, environment) for _ in range(STARTS)])


def _start(command: list[str], environment: dict[str, str]) -> float:
    started = perf_counter_ns()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return (perf_counter_ns() - started) / 1e6


def first_message(case: Case, _seconds: float) -> Sample:
    """One repeat: several starts of a node; milliseconds until its first message is with a subscriber."""
    running = stack.running()
    running.near.call("prepare", topics=[], cpu=-1, burner=None)
    times: list[float] = []
    for _ in range(STARTS):
        running.near.ask("hello")
        requested = monotonic_ns()
        node = running.run("bench_starter", f"starter-{next(_numbers)}")
        executed, received = running.near.answer()
        times.append((received - (executed if case.note == FROM_EXEC else requested)) / 1e6)
        running.stop([node])
    return Sample(n=STARTS, times=times)
