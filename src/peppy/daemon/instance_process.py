"""The live side of an instance: its shim, its connection and what has been heard of it."""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from peppy.daemon.endings import exit_text
from peppy.daemon.registry import Instance
from peppy.daemon.session import NodeSession
from peppy.process.stop import Stopped
from peppy.process.watch import Shim

stack_log = logging.getLogger("peppy.stack")


@dataclass(eq=False, slots=True)
class Process:
    """The live side of an instance. `shim` is None until its program has been executed, `directory` is the shim's.

    `executed`: its program has been. `ended`: the child is gone. `gone`: no process of it is left, and its record says
    how it ended. `at_once`: its stop leaves the grace out.
    """

    instance: Instance
    directory: Path
    shim: Shim | None = None
    session: NodeSession | None = None
    stopping: "asyncio.Task[Stopped] | None" = None
    error: str | None = None
    at_once: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    healthy: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    executed: asyncio.Event = field(default_factory=asyncio.Event)
    stop_asked: asyncio.Event = field(default_factory=asyncio.Event)
    stop_ended: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Limits:
    """`lifecycle` of the configuration, in seconds."""

    ready_secs: float
    health_secs: float
    shutdown_grace_secs: float


async def first_of(*events: asyncio.Event, timeout: float | None = None) -> None:
    """Waits until one of the events is set, at most `timeout` seconds."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def how(instance: Instance) -> str:
    """Its exit in brackets, if it has ended."""
    return f" ({exit_text(instance.exit)})" if instance.exit is not None else ""


def tell(instance: Instance, text: str) -> None:
    """One line in `stack.log`."""
    stack_log.info("%s of %s %s", instance.instance_id, instance.reference, text)
