"""The event loop of nodes and of the daemon: asyncio's own, with a shorter way from a wake-up to whoever waits.

asyncio passes every event through two lists and a round of the loop before its callback runs. That is little work, but
after a sleep it is done with cold caches, and takes as long as the wake-up of a process. A descriptor that is *served*
has its callback called by the wait itself, right after the system call. Everything else is asyncio's: `add_reader`,
streams, subprocesses and timers work as ever; timers are exact to the nanosecond instead of the millisecond.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from peppy.loop._wait import quiet, wait

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

__all__ = ["EventLoop", "quiet"]

Callback = Callable[[], object]


class EventLoop(asyncio.SelectorEventLoop):
    """A selector event loop that serves some descriptors at once. Not thread-safe, as no event loop is."""

    def __init__(self) -> None:
        self._waiting = _Selector(self._failed)
        super().__init__(self._waiting)

    def serve(self, fd: int, callback: Callback) -> None:
        """Call `callback()` as soon as `fd` is readable, within the wait of the loop, where no task is running.

        It reads what there is, or it is called again and again. One descriptor is served or has readers, never both;
        an exception goes to the loop's exception handler.
        """
        self._waiting.serve(fd, callback)

    def stop_serving(self, fd: int) -> None:
        """Leave `fd` alone from now on. Does nothing for one that is not served."""
        self._waiting.stop_serving(fd)

    def _failed(self, error: Exception) -> None:
        self.call_exception_handler({"message": "a served descriptor's callback failed", "exception": error})


class _Selector(selectors.EpollSelector):
    def __init__(self, failed: Callable[[Exception], None]) -> None:
        super().__init__()
        self._epoll = self.fileno()
        self._failed = failed
        self._served: dict[int, Callback] = {}
        self._keys: dict[int, selectors.SelectorKey] = {}

    def serve(self, fd: int, callback: Callback) -> None:
        super().register(fd, selectors.EVENT_READ)
        self._served[fd] = callback

    def stop_serving(self, fd: int) -> None:
        if self._served.pop(fd, None) is not None:
            super().unregister(fd)

    def register(self, fileobj: "FileDescriptorLike", events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        self._keys[key.fd] = key
        return key

    def modify(self, fileobj: "FileDescriptorLike", events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().modify(fileobj, events, data)
        self._keys[key.fd] = key
        return key

    def unregister(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        key = super().unregister(fileobj)
        del self._keys[key.fd]
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        try:
            return wait(self._epoll, timeout, self._served, self._keys)
        except Exception as error:
            self._failed(error)
            return []
