"""The event loop of nodes and of the daemon: asyncio's own, with a shorter way from a wake-up to whoever waits.

asyncio passes every event through two lists and a round of the loop before its callback runs. That is little work, but
after a sleep it is done with cold caches, and takes as long as the wake-up of a process. A descriptor that is *served*
has its callback called by the wait itself, right after the system call. Everything else is asyncio's: `add_reader`,
streams, subprocesses and timers work as ever; timers are exact to the nanosecond instead of the millisecond.
"""

import asyncio
import os
import select
import selectors
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

from peppy.loop._wait import quiet, wait

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

__all__ = ["EventLoop", "Turn", "post", "quiet"]

Callback = Callable[[], object]
T = TypeVar("T")


class EventLoop(asyncio.SelectorEventLoop):
    """A selector event loop that serves some descriptors at once. Not thread-safe, as no event loop is."""

    def __init__(self) -> None:
        self._waiting = _Selector(self)
        self._posted: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        super().__init__(self._waiting)
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.serve(self._bell, self._run_posted, edges=True)

    def serve(self, fd: int, callback: Callback, *, edges: bool = False) -> None:
        """Call `callback()` as soon as `fd` is readable, within the wait of the loop, where no task is running.

        It reads what there is, or it is called again and again; with `edges` it is called when something comes, whether
        what came before was read or not. One descriptor is served or has readers, never both;
        an exception goes to the loop's exception handler. Raises `KeyError` when `fd` is served or has readers or
        writers, `RuntimeError` when the loop is closed, `OSError` when `fd` cannot be waited for.
        """
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        self._waiting.serve(fd, callback, select.EPOLLIN | (select.EPOLLET if edges else 0))

    def stop_serving(self, fd: int) -> None:
        """Leave `fd` alone from now on. Does nothing for one that is not served."""
        self._waiting.stop_serving(fd)

    def post(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Run `callback(*arguments)` soon within the wait of the loop, where no task is running; from any thread.

        As `call_soon_threadsafe`, but the loop makes no round for it. RuntimeError when the loop is closed.
        """
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        self._posted.append((callback, arguments))
        self._write_to_self()

    def _run_posted(self) -> None:
        for _ in range(len(self._posted)):  # what is posted from now on rings again, and others have their turn first
            callback, arguments = self._posted.popleft()
            try:
                callback(*arguments)
            except (KeyboardInterrupt, SystemExit):
                self._write_to_self()  # the rest is for the next run of the loop
                raise
            except BaseException as error:
                self.call_exception_handler({"message": "a posted callback failed", "exception": error})

    def _write_to_self(self) -> None:
        """What `call_soon_threadsafe` calls. An eventfd is a third of asyncio's socket pair, which is read twice."""
        if self._bell >= 0:
            with suppress(OSError):  # it is being closed, or a full counter has rung already: as in asyncio
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """As in asyncio."""
        if self._bell >= 0 and not self.is_running():
            bell, self._bell = self._bell, -1
            self.stop_serving(bell)
            os.close(bell)
            self._posted.clear()
        super().close()

    def stop(self) -> None:
        """As in asyncio; a wait that serves somebody ends too."""
        super().stop()
        if not self.is_closed():
            self.call_soon(_nothing)


def _nothing() -> None:
    pass


def post(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: Any) -> None:
    """`EventLoop.post`, or the nearest thing in a loop that is somebody else's."""
    if isinstance(loop, EventLoop):
        loop.post(callback, *arguments)
    else:
        loop.call_soon_threadsafe(callback, *arguments)


class Turn(asyncio.Future[T]):
    """What one task awaits. `wake` goes on with the task at once; the task of a plain future would run only after one
    more round of the event loop, which costs as much as all the way from the system call to here."""

    _task: tuple[Callable[[Any], object], Context] | None = None

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        """What `await` calls, with the function that goes on with the task."""
        super().add_done_callback(fn, context=context)
        if context is not None:
            self._task = fn, context

    def set_exception(self, exception: type | BaseException, /) -> None:
        """As of any future. An exception leads to the frames it went through: they are to keep no task alive."""
        self._task = None
        super().set_exception(exception)

    def cancel(self, msg: Any = None) -> bool:
        """As of any future. What is cancelled keeps nothing of its task alive."""
        self._task = None
        return super().cancel(msg)

    def wake(self, result: T) -> None:
        """Set the result. Called by a callback of the event loop, where no task is running; does nothing for a task
        that was cancelled."""
        if self._task is not None:
            go_on, context = self._task
            self._task = None
            if self.remove_done_callback(go_on):
                self.set_result(result)
                context.run(go_on, self)
        elif not self.done():
            self.set_result(result)


class _Selector(selectors.EpollSelector):
    """Who is served is registered beside the selector's own map, where asyncio looks for its readers and writers."""

    def __init__(self, loop: EventLoop) -> None:
        super().__init__()
        self._epoll = select.epoll.fromfd(os.dup(self.fileno()))
        self._number = self._epoll.fileno()
        self._loop: Any = loop  # whose two lists say whether it has something to do: they are asyncio's own
        self._served: dict[int, Callback] = {}
        self._keys: dict[int, selectors.SelectorKey] = {}

    def serve(self, fd: int, callback: Callback, events: int) -> None:
        if fd in self._served or fd in self.get_map():
            raise KeyError(f"descriptor {fd} is served, or has readers or writers, already")
        self._epoll.register(fd, events)
        self._served[fd] = callback

    def stop_serving(self, fd: int) -> None:
        if self._served.pop(fd, None) is not None:
            with suppress(OSError):  # it was closed first
                self._epoll.unregister(fd)

    def register(self, fileobj: "FileDescriptorLike", events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if fd in self._served:
            raise KeyError(f"descriptor {fd} is served already")
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
        loop = self._loop
        return wait(self._number, timeout, self._served, self._keys, loop._ready, loop._scheduled, self._failed)

    def _failed(self, error: BaseException) -> None:
        context = {"message": "a served descriptor's callback failed", "exception": error}
        self._loop.call_exception_handler(context)

    def close(self) -> None:
        self._served.clear()
        self._keys.clear()
        self._epoll.close()
        super().close()
