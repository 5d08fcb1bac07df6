"""How long programs take to start: from exec to exit (docs/design/performance.md, T11 and T13)."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter_ns

from bench.measure import Measure
from bench.results import Case, Sample

STARTS = 4  # of one repeat

COMMANDS: dict[str, tuple[str, list[str]]] = {
    "bare interpreter": ("floor:python", [sys.executable, "-c", "pass"]),
    "import peppy.ring": ("peppy", [sys.executable, "-c", "import peppy.ring"]),
    "peppy --help": ("peppy", [str(Path(sys.executable).with_name("peppy")), "--help"]),
}


def plan(_quick: bool) -> Iterator[tuple[Case, Measure]]:
    """Programs that start, do next to nothing, and end."""
    for note, (peer, _) in COMMANDS.items():
        test = "cli" if note.startswith("peppy") else "startup"
        yield Case("startup", peer, test, 0, "raw-block", "free", "ms", note), measure


def measure(case: Case, _seconds: float) -> Sample:
    """One repeat: several starts in a home of their own; milliseconds from start to end."""
    _, command = COMMANDS[case.note]
    with tempfile.TemporaryDirectory(prefix="peppy-bench-") as home:
        environment = {"PATH": "/usr/bin:/bin", "HOME": home, "PEPPY_HOME": home}
        times = [_start(command, environment) for _ in range(STARTS)]
    return Sample(n=len(times), times=times)


def _start(command: list[str], environment: dict[str, str]) -> float:
    started = perf_counter_ns()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return (perf_counter_ns() - started) / 1e6
