"""Readings of this machine from /proc."""

from pathlib import Path

PROC = Path("/proc")


def uptime() -> float:
    """Seconds since the machine was started."""
    return float((PROC / "uptime").read_text().split()[0])


def load() -> list[float]:
    """Mean number of processes that wanted to run, over 1, 5 and 15 minutes."""
    return [float(word) for word in (PROC / "loadavg").read_text().split()[:3]]


def memory() -> tuple[int, int]:
    """Bytes of memory: all, and available to new programs."""
    lines = dict(line.split(":", 1) for line in (PROC / "meminfo").read_text().splitlines())
    return tuple(1024 * int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))


def processes() -> int:
    """How many processes there are."""
    return sum(entry.name.isdigit() for entry in PROC.iterdir())


class Processors:
    """How busy each processor was between two looks."""

    def __init__(self) -> None:
        self._before = self._times()

    def busy(self) -> list[float]:
        """Share of the time since the last call, 0 to 1, one number per processor."""
        now = self._times()
        shares: list[float] = []
        for (idle, total), (idle_before, total_before) in zip(now, self._before, strict=False):
            elapsed = total - total_before
            shares.append(1.0 - (idle - idle_before) / elapsed if elapsed > 0 else 0.0)
        self._before = now
        return [min(1.0, max(0.0, share)) for share in shares]

    def _times(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for line in (PROC / "stat").read_text().splitlines():
            name, *words = line.split()
            if name.startswith("cpu") and name != "cpu":
                ticks = [int(word) for word in words[:8]]
                found.append((ticks[3] + ticks[4], sum(ticks)))
        return found
