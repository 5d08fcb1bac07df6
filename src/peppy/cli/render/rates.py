"""One window of `topic hz` and `topic bw`, as text and as data (docs/reference/cli.md, Topics of a running stack)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peppy.runtime.rates import Window

_UNITS = ("B", "kB", "MB", "GB", "TB")
NOTHING = "-"


def hz_text(window: "Window") -> str:
    """`rate 30.0 Hz  min 33.1 ms  max 33.6 ms  lost 0`."""
    shortest, longest = _milliseconds(window.shortest_ns), _milliseconds(window.longest_ns)
    return f"rate {_figure(window.rate_hz)} Hz  min {shortest}  max {longest}  lost {window.lost}"


def hz_data(window: "Window") -> dict[str, object]:
    """The same in numbers, unrounded where they were measured."""
    return {
        "rate_hz": round(window.rate_hz, 3),
        "min_ms": None if window.shortest_ns is None else window.shortest_ns / 1e6,
        "max_ms": None if window.longest_ns is None else window.longest_ns / 1e6,
        "lost": window.lost,
    }


def bw_text(window: "Window") -> str:
    """`186.6 MB/s  mean 6.22 MB  min 6.22 MB  max 6.22 MB`."""
    mean, smallest, largest = (_size(value) for value in (window.mean_bytes, window.smallest, window.largest))
    return f"{size_text(window.bytes_per_s)}/s  mean {mean}  min {smallest}  max {largest}"


def bw_data(window: "Window") -> dict[str, object]:
    """The same in bytes."""
    return {
        "bytes_per_s": round(window.bytes_per_s, 1),
        "mean_bytes": None if window.mean_bytes is None else round(window.mean_bytes, 1),
        "min_bytes": window.smallest,
        "max_bytes": window.largest,
    }


def size_text(size: float) -> str:
    """A number of bytes in decimal units: `64 B`, `6.22 MB`."""
    power = 0
    while size >= 999.95 and power < len(_UNITS) - 1:
        size, power = size / 1000, power + 1
    unit = _UNITS[power]
    if unit == "B" and size == int(size):
        return f"{int(size)} B"
    return f"{_figure(size)} {unit}"


def _size(size: float | None) -> str:
    return NOTHING if size is None else size_text(size)


def _milliseconds(nanoseconds: int | None) -> str:
    if nanoseconds is None:
        return NOTHING
    value = nanoseconds / 1e6
    return f"{value:.3f} ms" if value < 1 else f"{_figure(value)} ms"


def _figure(value: float) -> str:
    """Two decimals below ten, else one."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"
