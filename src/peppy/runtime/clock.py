"""The node's clock: the system's, in nanoseconds since the Unix epoch (docs/reference/node_api.md, Helpers)."""

import time
from typing import TYPE_CHECKING

from peppy.errors import PeppyError

if TYPE_CHECKING:
    from peppy.runtime.runner import NodeRunner


class ProcessClock:
    """One per generated package; `init` once, then read as often as needed."""

    def __init__(self) -> None:
        self._ready = False

    async def init(self, node_runner: "NodeRunner") -> None:
        """Choose the clock of this instance. Simulated time is refused: it is not supported yet."""
        if node_runner.uses_sim_time():
            raise PeppyError("simulated time is not supported yet", kind="NotSupported")
        self._ready = True

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z. RuntimeError before `init`."""
        if not self._ready:
            raise RuntimeError("the clock is not ready: `await clock.init(node_runner)` first")
        return time.time_ns()
