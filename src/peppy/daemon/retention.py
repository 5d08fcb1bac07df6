"""Outcomes that are kept for those who ask later (docs/reference/services_actions.md, Retention)."""

import asyncio
import os
from collections.abc import Callable
from typing import NamedTuple

from peppy.daemon.parties import Goal
from peppy.protocol.calls import INSIDE

KEPT_BYTES = 256 << 20
"""Payloads of outcomes that are kept; above it the eldest go."""

ENTRY_BYTES = 1024
"""What an outcome counts besides its payload, so that empty ones are limited too."""

TOMBSTONES = 4096
"""Goal ids that are remembered after their outcomes."""


class Tombstone(NamedTuple):
    """What is left of a goal whose outcome is gone."""

    instance_id: str
    last_position: int


class Retention:
    """Terminal goals in the order of their ends; one timer waits for the eldest."""

    def __init__(self, secs: float, expired: Callable[[Goal], None]) -> None:
        """An outcome is kept for `secs`; `expired` hears of each that is not kept any longer."""
        self.tombstones: dict[str, Tombstone] = {}
        self.kept_bytes = 0
        self._secs = secs
        self._expired = expired
        self._kept: dict[str, Goal] = {}
        self._timer: asyncio.TimerHandle | None = None

    def keep(self, goal: Goal) -> None:
        """The goal has become terminal now."""
        goal.expires = asyncio.get_running_loop().time() + self._secs
        self._kept[goal.goal_id] = goal
        self.kept_bytes += _size(goal)
        while self.kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            self._drop(next(iter(self._kept.values())))
        if self._timer is None:
            self._wait()

    def close(self) -> None:
        """Let go of everything."""
        if self._timer is not None:
            self._timer.cancel()
        for goal in self._kept.values():
            _release(goal)
        self._kept.clear()

    def _wait(self) -> None:
        eldest = next(iter(self._kept.values()), None)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(eldest.expires, self._expire) if eldest is not None else None

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        while (eldest := next(iter(self._kept.values()), None)) is not None and eldest.expires <= now:
            self._drop(eldest)
        self._wait()

    def _drop(self, goal: Goal) -> None:
        del self._kept[goal.goal_id]
        self.kept_bytes -= _size(goal)
        _release(goal)
        self.tombstones[goal.goal_id] = Tombstone(goal.instance_id, goal.last_position)
        if len(self.tombstones) > TOMBSTONES:
            del self.tombstones[next(iter(self.tombstones))]
        self._expired(goal)


def _size(goal: Goal) -> int:
    """A memfd costs a descriptor, however little is in it: it counts as much as the largest payload inside a frame."""
    return ENTRY_BYTES + (len(goal.payload) if goal.memfd < 0 else max(goal.beside, INSIDE))


def _release(goal: Goal) -> None:
    goal.payload = b""
    if goal.memfd >= 0:
        os.close(goal.memfd)
        goal.memfd = -1
