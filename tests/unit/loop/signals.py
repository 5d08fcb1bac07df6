"""Signals to the main thread while it waits."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def signalled(handler: Callable[[], object]) -> Iterator[None]:
    """A thread sends signals until one was handled: the first may come just before the system call that waits."""
    handled = threading.Event()

    def handle(*_: object) -> None:
        if not handled.is_set():
            handled.set()
            handler()

    def send() -> None:
        while not handled.wait(0.005):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    sending = threading.Thread(target=send)
    try:
        sending.start()
        yield
    finally:
        handled.set()
        sending.join()
        signal.signal(signal.SIGUSR1, before)
