"""What one topic looked like: messages, losses, checksums and how long messages took."""

import time
from dataclasses import dataclass, field
from typing import Protocol


class Info(Protocol):
    """The part of a message's info that a meter needs; times in nanoseconds."""

    sequence: int
    publish_time_ns: int
    receive_time_ns: int


@dataclass
class Meter:
    """Counts one topic; `latencies_us` of the current second only."""

    topic: str
    first_sequence: int = 0
    received: int = 0
    wrong: int = 0
    counted: int = 0
    since: float = field(default_factory=time.monotonic)
    latencies_us: list[float] = field(default_factory=list)

    def count(self, info: Info, checksum_is_right: bool) -> None:
        """One more message."""
        self.first_sequence = self.first_sequence or info.sequence
        self.received += 1
        self.wrong += not checksum_is_right
        self.latencies_us.append((info.receive_time_ns - info.publish_time_ns) / 1000)

    def line(self, lost: int) -> str:
        """The topic's row for the second that ends now, and begin the next one."""
        now = time.monotonic()
        rate = (self.received - self.counted) / (now - self.since)
        latencies = sorted(self.latencies_us)
        middle, high = (_rank(latencies, share) for share in (0.5, 0.99))
        self.counted, self.since = self.received, now
        self.latencies_us.clear()
        return f"{self.topic:<10}{rate:9.1f} Hz {self.received:8d} {lost:6d} {self.wrong:6d} {middle:>9} {high:>9}"


HEADING = f"{'topic':<10}{'rate':>12} {'received':>8} {'lost':>6} {'wrong':>6} {'p50':>9} {'p99':>9}"


def _rank(ordered: list[float], share: float) -> str:
    if not ordered:
        return "-"
    return f"{ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.0f} us"
