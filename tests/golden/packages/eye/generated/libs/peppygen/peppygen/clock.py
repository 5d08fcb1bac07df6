"""The time of this node: the system's clock, or the simulated one."""

from peppy.runtime import NodeRunner
from peppy.runtime import clock as _clock

_CLOCK = _clock.ProcessClock()


async def init(node_runner: NodeRunner) -> None:
    """Get the clock ready; calling it again does nothing."""
    await _CLOCK.init(node_runner)


def now_ns() -> int:
    """Nanoseconds since the Unix epoch. RuntimeError before `init`, and in simulated time before the first tick."""
    return _CLOCK.now_ns()
