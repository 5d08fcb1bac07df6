"""How big a stream is: what a depth, a memory budget and a message size come to (docs/reference/qos.md, Ring depth)."""

from typing import NamedTuple

PAGE = 4096
LINE = 64
CHUNK_HEADER = 64
SMALLEST_DEPTH, LARGEST_DEPTH = 4, 16384
FEWEST_PINS, MOST_PINS = 3, 8
MOST_ROWS = 64
MOST_CHUNKS = 1 << 20


class Geometry(NamedTuple):
    """Sizes of one stream: `depth` messages held, `capacity` bytes of the largest, `pins` views per reader.

    `stride` is the distance of two chunks in bytes; `chunks` is their number, most of them never touched.
    """

    depth: int
    capacity: int
    rows: int
    pins: int
    loans: int
    stride: int
    chunks: int

    @property
    def pool_bytes(self) -> int:
        """Address space of all chunks; memory is taken only by those that were used."""
        return self.chunks * self.stride


def plan(profile_depth: int, ring_bytes: int, capacity: int, rows: int = MOST_ROWS, loans: int = 4) -> Geometry:
    """Fit a stream into its budget: as many messages as `ring_bytes` hold, at most `profile_depth`, never below four.

    One chunk of the budget is for the message being written. Raises ValueError for sizes outside the core's limits.
    """
    _demand("depth", profile_depth, SMALLEST_DEPTH, LARGEST_DEPTH)
    _demand("rows", rows, 1, MOST_ROWS)
    _demand("loans", loans, 0, MOST_CHUNKS // 2)
    _demand("capacity", capacity, 0, 1 << 40)
    alignment = PAGE if capacity >= PAGE else LINE
    capacity = _round_up(max(capacity, 1), alignment)
    stride = _stride(capacity)
    depth = _clamp(ring_bytes // stride - 1, SMALLEST_DEPTH, profile_depth)
    pins = _clamp(depth // 4, FEWEST_PINS, MOST_PINS)
    return Geometry(depth, capacity, rows, pins, loans, stride, chunks=depth + rows * pins + loans + 1)


def held_bytes(depth: int, capacity: int) -> int:
    """What a stream's budget pays for: the messages held and the one being written, each with its chunk's header."""
    return (depth + 1) * _stride(capacity)


def _stride(capacity: int) -> int:
    return _round_up(CHUNK_HEADER + capacity, PAGE if capacity >= PAGE else LINE)


def _demand(name: str, value: int, smallest: int, largest: int) -> None:
    if not smallest <= value <= largest:
        raise ValueError(f"{name} is `{value}`, it must be {smallest} to {largest}")


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def _clamp(value: int, smallest: int, largest: int) -> int:
    return max(smallest, min(value, largest))
