"""`make bench`: measure, print, and write bench/results/latest.json."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import (
    fanout,
    floors,
    goal,
    idle,
    latency,
    micro,
    peers,
    results,
    scaling,
    service,
    stack,
    startup,
    targets,
    throughput,
    typed,
    watch,
)
from bench.measure import Measure, interleaved

SUITES = {
    "floors": floors.plan,
    "latency": latency.plan,
    "typed": typed.plan,
    "service": service.plan,
    "goal": goal.plan,
    "throughput": throughput.plan,
    "fanout": fanout.plan,
    "scaling": scaling.plan,
    "startup": startup.plan,
}
AFTERWARDS = {"watch": watch.rows, "idle": idle.rows, "micro": micro.rows}
"""Suites that take their own time, alone."""

MOST_BUSY = 3.0
"""Percent of the CPUs that others may use before the figures are doubted."""


def main(arguments: Sequence[str]) -> int:
    """Run the chosen suites, all of them interleaved with their floors; 0 when every figure could be taken."""
    options = _parse(arguments)
    started, busy = datetime.now(UTC), results.busy_percent()
    chosen = options.suite or [*SUITES, *AFTERWARDS]
    plan: list[tuple[results.Case, Measure]] = []
    for name, cases in SUITES.items():
        plan += cases(options.quick) if name in chosen else ()
    plan.sort(key=lambda planned: _beside(planned[0]))
    repeats = options.repeats or (3 if options.quick else 7)
    seconds = options.seconds or (0.1 if options.quick else 0.5)
    try:
        rows = [results.row(case, samples) for case, samples in interleaved(plan, repeats, seconds)]
        for name, suite in AFTERWARDS.items():
            rows += suite(options.quick) if name in chosen else ()
    finally:
        stack.close()
    for peer in peers.missing():
        print(f"[WARNING] `{peer}` is not measured: run pip install --group bench, it has {peers.PACKAGES[peer]}")
    for entry in rows:
        print(results.line(entry))
    print(targets.table(targets.verdicts(rows)))
    busy = max(busy, results.busy_percent())
    if busy > MOST_BUSY:
        print(f"[WARNING] other programs use {busy:g} % of the CPUs: these figures are theirs as well")
    results.write(options.output, results.document(rows, started, busy))
    return 0


def _beside(case: results.Case) -> tuple[str, str, int]:
    """The order of measuring: what is compared stands beside each other, before the machine changes."""
    return case.test, case.condition, case.size


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer cases and shorter ones: a minute or two")
    parser.add_argument(
        "--suite", action="append", choices=[*SUITES, *AFTERWARDS], help="only this one; may be repeated"
    )
    parser.add_argument("--repeats", type=int, help="how often each case is measured (default 7, quick 3)")
    parser.add_argument("--seconds", type=float, help="how long each repeat takes (default 0.5, quick 0.1)")
    parser.add_argument("--output", type=Path, default=results.LATEST, help="where the JSON goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
