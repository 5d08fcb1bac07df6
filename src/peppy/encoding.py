"""Time stamps as seconds and nanoseconds (docs/reference/messages.md, `time`)."""

import math

_NANOSECONDS = 1_000_000_000


def split_time(time: float) -> tuple[int, int]:
    """Seconds since the Unix epoch as `(sec, nsec)`: `sec` is rounded down, `nsec` is at least 0 and below 10⁹.

    ValueError when `time` is NaN or infinite.
    """
    if not math.isfinite(time):
        raise ValueError(f"a time must be finite, got `{time}`")
    seconds = math.floor(time)
    nanoseconds = round((time - seconds) * _NANOSECONDS)
    return (seconds + 1, 0) if nanoseconds == _NANOSECONDS else (seconds, nanoseconds)


def join_time(sec: int, nsec: int) -> float:
    """The float of `(sec, nsec)`. ValueError unless `nsec` is at least 0 and below 10⁹."""
    if not 0 <= nsec < _NANOSECONDS:
        raise ValueError(f"`nsec` must be at least 0 and below {_NANOSECONDS}, got `{nsec}`")
    return sec + nsec / _NANOSECONDS
