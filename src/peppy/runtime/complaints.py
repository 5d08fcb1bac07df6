"""What goes wrong with many messages is said once in a while, with how many there were (docs/reference/qos.md, Drop
accounting)."""

import sys
from collections.abc import Callable
from time import monotonic

PAUSE_SECS = 10.0
"""Seconds between two lines about the same trouble."""


class Complaints:
    """One kind of trouble of one reader; its calls are serialised by whoever owns it."""

    def __init__(self) -> None:
        self._unsaid = 0
        self._quiet_until = 0.0

    def add(self, count: int, say: Callable[[int], str]) -> None:
        """So many messages more; `say` makes the line, of all since the last one, when it is time for it."""
        self._unsaid += count
        now = monotonic()
        if now < self._quiet_until:
            return
        self._quiet_until = now + PAUSE_SECS
        count, self._unsaid = self._unsaid, 0
        print(say(count), file=sys.stderr, flush=True)
