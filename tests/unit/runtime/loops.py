"""The event loop that claims run on."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from peppy.loop import EventLoop

LOOP: Callable[[], asyncio.AbstractEventLoop] = EventLoop
"""As in nodes; the fixture `kind_of_loop` tries another one too."""


def run(claim: Coroutine[Any, Any, None]) -> None:
    """Run it to its end, on a loop of its own."""
    with asyncio.Runner(loop_factory=LOOP) as runner:
        runner.run(claim)
