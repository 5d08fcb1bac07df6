"""What one run says: rows with their spread, the machine and the commit, as JSON and as a table."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

SCHEMA = 1
LATEST = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: `size` in bytes, `condition` one of awake, 1cpu, free, `mode` such as raw-block."""

    suite: str
    peer: str
    test: str
    size: int
    mode: str
    condition: str
    unit: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One repeat of a case: `times` are one-way microseconds, or `value` a rate; `n` messages, `lost` of them."""

    n: int
    times: Sequence[float] = ()
    value: float | None = None
    lost: int = 0


def row(case: Case, samples: Sequence[Sample]) -> dict[str, object]:
    """The median over the repeats of each figure; the note ends with the range of the leading one over the repeats."""
    quantiles = [percentiles(sample.times) for sample in samples if sample.times]
    values = [sample.value for sample in samples if sample.value is not None]
    p50, p99, p999 = (_median([quantile[index] for quantile in quantiles]) for index in range(3))
    leading = values or [quantile[0] for quantile in quantiles]
    spread = f"spread {min(leading):,.2f} to {max(leading):,.2f}"
    return asdict(case) | {
        "p50": p50,
        "p99": p99,
        "p999": p999,
        "value": _median(values),
        "n": sum(sample.n for sample in samples),
        "repeats": len(samples),
        "lost": sum(sample.lost for sample in samples),
        "note": f"{case.note}; {spread}" if case.note else spread,
    }


def _median(figures: Sequence[float]) -> float | None:
    return round(statistics.median(figures), 3) if figures else None


def percentiles(times: Sequence[float]) -> tuple[float, float, float]:
    """p50, p99 and p99.9 of the sorted times."""
    ordered = sorted(times)
    last = len(ordered) - 1
    return ordered[last // 2], ordered[last * 99 // 100], ordered[last * 999 // 1000]


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cpus": os.cpu_count(),
        "memory_kib": int(Path("/proc/meminfo").read_text().split()[1]),
        "virtual": " hypervisor" in cpuinfo,
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "load": round(os.getloadavg()[0], 2),
    }


def busy_percent(seconds: float = 1.0) -> float:
    """How much of all CPUs is in use now; nothing of ours runs, so it is somebody else's."""
    before = _jiffies()
    time.sleep(seconds)
    total, idle = (late - early for late, early in zip(_jiffies(), before, strict=True))
    return round(100 * (1 - idle / max(1, total)), 1)


def _jiffies() -> tuple[int, int]:
    """All, and idle or waiting, of all CPUs since the start of the machine."""
    spent = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(spent), spent[3] + spent[4]


def commit() -> str:
    """The commit measured, with `-dirty` when the tree differs from it; `unknown` where git is not."""
    if shutil.which("git") is None:
        return "unknown"
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return done.stdout.strip() or "unknown"


def document(rows: Sequence[dict[str, object]], started: datetime, busy: float) -> dict[str, object]:
    """The whole result; `busy` is the percentage of the CPUs that others used before or behind the run."""
    return {
        "schema": SCHEMA,
        "machine": machine() | {"others_percent": busy},
        "commit": commit(),
        "started": started.astimezone(UTC).isoformat(timespec="seconds"),
        "rows": list(rows),
    }


def write(path: Path, result: dict[str, object]) -> None:
    """Replace the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(result, indent=1) + "\n")
    new.replace(path)


QUANTILES = {"p50": "p50", "p99": "p99", "p99.9": "p999"}


def line(entry: dict[str, object]) -> str:
    """One row for people."""
    quantiles = [f"{name} {entry[key]:>9.2f}" for name, key in QUANTILES.items() if entry[key] is not None]
    figure = "  ".join(quantiles) if entry["value"] is None else f"{entry['value']:>15,.2f}"
    lost = f"  lost {entry['lost']:,}" if entry["lost"] else ""
    name = f"{entry['test']:<16} {entry['peer']:<22} {entry['mode']:<12} {entry['condition']:<6} {entry['size']:>9,} B"
    return f"{name}  {figure} {entry['unit']}{lost}  n={entry['n']:,} x{entry['repeats']}  {entry['note']}"
