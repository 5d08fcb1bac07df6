"""Micro-costs: pytest-benchmark runs test_micro.py, and its medians become rows like all others."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path


def rows(quick: bool) -> list[dict[str, object]]:
    """Microseconds per call, taken in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="peppy-bench-") as folder:
        answer = Path(folder) / "micro.json"
        limits = ["--benchmark-max-time=0.05", "--benchmark-min-rounds=20"] if quick else []
        command = [sys.executable, "-m", "pytest", "-q", "--benchmark-enable", "--benchmark-disable-gc", *limits]
        subprocess.run(
            [*command, f"--benchmark-json={answer}", str(Path(__file__).parent)],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
        )
        return [_row(entry) for entry in json.loads(answer.read_text())["benchmarks"]]


def _row(entry: dict) -> dict[str, object]:
    stats = entry["stats"]
    return {
        "suite": "micro",
        "peer": "peppy",
        "test": entry["name"].removeprefix("test_"),
        "size": entry["params"]["size"] if entry["params"] else 64,
        "mode": "raw-poll",
        "condition": "free",
        "unit": "us",
        "p50": round(stats["median"] * 1e6, 4),
        "p99": None,
        "p999": None,
        "value": None,
        "n": stats["rounds"] * stats["iterations"],
        "repeats": stats["rounds"],
        "lost": 0,
        "note": f"one process; quartiles {stats['q1'] * 1e6:.3f} to {stats['q3'] * 1e6:.3f}",
    }
