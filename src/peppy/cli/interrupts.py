"""What Ctrl-C does to the program itself (docs/reference/cli.md, Interrupt).

As long as nothing has begun, and again when all is told, the signal ends the process: no module that is being imported
gets to see a KeyboardInterrupt, and the shell is told the truth. In between it is an exception that commands clean up
after.
"""

import signal
from collections.abc import Generator
from contextlib import contextmanager


def leave_on_interrupt() -> None:
    """From now on SIGINT ends the process without a word, unless it is ignored (`nohup`)."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def interruptible() -> Generator[None]:
    """While entered, SIGINT raises KeyboardInterrupt, where it would have ended the process."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def hold_interrupts() -> None:
    """SIGINT waits until the program that this process becomes is ready for it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
