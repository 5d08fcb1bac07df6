"""The signal that a node is to end."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress


class CancellationToken:
    """Set once, by the daemon, a signal or the node itself; every method may be called from any thread.

    There is no lock: a signal handler may call `cancel` while its own thread is anywhere in here. Each step on the
    queue is atomic, and whoever adds a callback looks at the flag afterwards: none is forgotten, none runs twice.
    """

    def __init__(self) -> None:
        self._cancelled = False
        self._callbacks: deque[Callable[[], None]] = deque()

    def is_cancelled(self) -> bool:
        """Whether the node is ending."""
        return self._cancelled

    def cancel(self) -> None:
        """Begin the shutdown of the node (docs/reference/node_api.md, Lifecycle). Calling it again does nothing."""
        self._cancelled = True
        self._call_back()

    async def cancelled(self) -> None:
        """Return when the token is cancelled; at once when it is already."""
        if self._cancelled:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(_finish, future)

        self._callbacks.append(wake)
        if self._cancelled:
            self._call_back()
        try:
            await future
        finally:
            with suppress(ValueError):
                self._callbacks.remove(wake)

    def _call_back(self) -> None:
        while True:
            try:
                callback = self._callbacks.popleft()
            except IndexError:
                return
            callback()


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
