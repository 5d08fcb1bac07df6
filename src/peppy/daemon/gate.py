"""Which operations may work on a node at the same time (docs/reference/daemon.md, Concurrency gate)."""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from peppy.errors import PeppyError
from peppy.model.names import Reference

BUILD = "build"


@dataclass(frozen=True, slots=True, eq=False)
class Hold:
    """One operation that works on a node, or on the whole stack. `limit_secs` is its total limit, if it has one.

    `cancel` asks the operation to end; `released` is set when it no longer holds what it held alone.
    """

    operation: str
    limit_secs: float | None = None
    cancel: Callable[[], object] = field(default=lambda: None)
    since: float = field(default_factory=time.monotonic)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def describe(self, reference: Reference) -> str:
        """`` `wheels:0.2.0` is busy: build has been running for 12 s, 588 s to its limit ``."""
        age = time.monotonic() - self.since
        text = f"`{reference}` is busy: {self.operation} has been running for {age:.0f} s"
        return text if self.limit_secs is None else f"{text}, {max(0.0, self.limit_secs - age):.0f} s to its limit"


class Gate:
    """Holds by node. A refused request fails at once with `Busy`; nobody ever waits here."""

    def __init__(self) -> None:
        self._alone: dict[Reference, Hold] = {}
        self._shared: dict[Reference, list[Hold]] = {}
        self._whole: Hold | None = None

    def holder(self, reference: Reference) -> Hold | None:
        """Whoever works on the node: the lone holder, else the eldest of those who share it."""
        if self._whole is not None:
            return self._whole
        return self._alone.get(reference) or next(iter(self._shared.get(reference, ())), None)

    def check(self, reference: Reference, operation: str) -> None:
        """Raises `Busy` when anything holds the node."""
        if (held := self.holder(reference)) is not None:
            raise _busy(reference, held, operation)

    async def build_ended(self, reference: Reference) -> None:
        """Waits for the end of a build that holds the node now."""
        held = self._alone.get(reference)
        if held is not None and held.operation == BUILD:
            await held.released.wait()

    @contextmanager
    def alone(self, reference: Reference, hold: Hold) -> Generator[None]:
        """The node for this operation only, or `Busy`."""
        self.check(reference, hold.operation)
        self._alone[reference] = hold
        try:
            yield
        finally:
            del self._alone[reference]
            hold.released.set()

    @contextmanager
    def shared(self, reference: Reference, hold: Hold) -> Generator[None]:
        """The node together with others that share it, or `Busy`."""
        held = self._whole or self._alone.get(reference)
        if held is not None:
            raise _busy(reference, held, hold.operation)
        holds = self._shared.setdefault(reference, [])
        holds.append(hold)
        try:
            yield
        finally:
            holds.remove(hold)
            if not holds:
                del self._shared[reference]

    @contextmanager
    def whole(self, hold: Hold) -> Generator[None]:
        """The whole stack, or `Busy` while any node is held."""
        for reference in [*self._alone, *self._shared]:
            self.check(reference, hold.operation)
        if self._whole is not None:
            raise PeppyError(f"the stack is busy: {self._whole.operation} is running", kind="Busy")
        self._whole = hold
        try:
            yield
        finally:
            self._whole = None


def _busy(reference: Reference, held: Hold, operation: str) -> PeppyError:
    hint = "end that build with `--force`" if held.operation == operation == BUILD else None
    return PeppyError(held.describe(reference), kind="Busy", hint=hint)
