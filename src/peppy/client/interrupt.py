"""Ctrl-C while the daemon works: the first one is an event to act on, the second one leaves at once."""

import os
import signal
import threading
from types import FrameType, TracebackType


class Interrupts:
    """While entered, the first SIGINT makes `fileno()` readable; the next one raises KeyboardInterrupt as usual.

    Does nothing outside the main thread, or where SIGINT is ignored (`nohup`).
    """

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._before: signal.Handlers | object = None

    def fileno(self) -> int:
        """A descriptor that is readable once SIGINT has come."""
        return self._event

    def happened(self) -> bool:
        """Whether the first SIGINT has come; True only once."""
        try:
            return os.eventfd_read(self._event) > 0
        except BlockingIOError:
            return False

    def __enter__(self) -> "Interrupts":
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
            signal.signal(signal.SIGINT, self._first)
            self._before = signal.default_int_handler
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(self._event)

    def _first(self, _number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.eventfd_write(self._event, 1)
