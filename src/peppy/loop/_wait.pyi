"""Types of the module that csrc/python/wait.c makes."""

from collections.abc import Callable, Mapping, Sized
from selectors import SelectorKey

def wait(
    epoll: int,
    timeout: float | None,
    served: Mapping[int, Callable[[], object]],
    keys: Mapping[int, SelectorKey],
    ready: Sized,
    timers: Sized,
    failed: Callable[[BaseException], object],
    /,
) -> list[tuple[SelectorKey, int]]:
    """Wait for events: call who is served, return the others as `select` of a selector does.

    Waits on, for the rest of the time, while those who are served leave nothing in `ready` and no timer more.
    """

def quiet(eventfd: int, /) -> bool:
    """Read an eventfd that does not block; whether it had been rung."""
