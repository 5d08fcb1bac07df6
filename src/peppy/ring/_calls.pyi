"""Types of the module that csrc/python/calls.c makes."""

from collections.abc import Callable

from peppy.ring._core import Pointer
from peppy.ring.outcome import Outcome

def use(publish: int, publish_at_once: int, take_copy: int, receive: int, arm: int, /) -> None:
    """The addresses of the core's functions."""

class Outlet:
    """The writing end; `refuse(code, length)` raises."""

    def __init__(self, handle: int, owner: Pointer, refuse: Callable[[int, int], None], /) -> None: ...
    def publish(self, message: bytes | bytearray | memoryview, /) -> None: ...

class Inlet:
    """The reading end; `otherwise(code)` gives an outcome or raises."""

    def __init__(self, handle: int, owner: Pointer, otherwise: Callable[[int], Outcome], /) -> None: ...
    def take(self) -> tuple[bytes, int, int] | Outcome: ...
    def receive(self, doorbell: int, timeout_ns: int, spin_ns: int, /) -> tuple[bytes, int, int] | Outcome: ...

class Feed:
    """Decoded messages of one stream; `lost(count)` is told of gaps. The figures are those of the last message."""

    next_sequence: int
    sequence: int
    publish_time_ns: int
    receive_time_ns: int

    def __init__(
        self,
        handle: int,
        owner: Pointer,
        otherwise: Callable[[int], Outcome],
        next_sequence: int,
        producer: str,
        head: int,
        read: Callable[[bytes], object],
        decode: Callable[[bytes], object],
        lost: Callable[[int], object],
        /,
    ) -> None: ...
    def take(self) -> tuple[str, object] | Outcome | None: ...
    def arm(self) -> bool: ...
