"""Descriptors that become readable when somebody rings them."""

import os
from collections.abc import Callable

from peppy.loop import quiet


class Bell:
    """An eventfd that does not block."""

    def __init__(self, *, rung: bool = False) -> None:
        self.fd = os.eventfd(1 if rung else 0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._open = True

    def ring(self) -> None:
        os.eventfd_write(self.fd, 1)

    def quiet(self) -> bool:
        return quiet(self.fd)

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self.fd)


NewBell = Callable[..., Bell]
