"""The signal that a node is to end."""

import asyncio
import threading
from collections.abc import Callable


class CancellationToken:
    """Set once, by the daemon, a signal or the node itself; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = threading.Event()
        self._callbacks: list[Callable[[], None]] = []

    def is_cancelled(self) -> bool:
        """Whether the node is ending."""
        return self._set.is_set()

    def cancel(self) -> None:
        """Begin the shutdown of the node (docs/reference/node_api.md, Lifecycle). Calling it again does nothing."""
        with self._lock:
            if self._set.is_set():
                return
            self._set.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    async def cancelled(self) -> None:
        """Return when the token is cancelled; at once when it is already."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_finish, future)

        if self._call_when_cancelled(wake):
            try:
                await future
            finally:
                with self._lock:
                    if wake in self._callbacks:
                        self._callbacks.remove(wake)

    def _call_when_cancelled(self, callback: Callable[[], None]) -> bool:
        with self._lock:
            if self._set.is_set():
                return False
            self._callbacks.append(callback)
            return True


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
