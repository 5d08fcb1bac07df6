"""Who is gone is decided by the end of the process, not by the end of its connection."""

import asyncio
import os
from collections.abc import Callable


class EndWatch:
    """Tells when a process ends. It is held by a pidfd: whoever gets its pid later is somebody else."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when it has ended already, and OSError when there is no descriptor for it."""
        self._descriptor = os.pidfd_open(pid)
        self._loop = asyncio.get_running_loop()

    def begin(self, ended: Callable[[], None]) -> None:
        """Call `ended` once, from the event loop, when the process ends."""

        def tell() -> None:
            self.close()
            ended()

        self._loop.add_reader(self._descriptor, tell)

    def close(self) -> None:
        """Watch no more; nothing is told any more."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
