"""`python -m peppy.daemon`: the program that `peppy service serve` becomes."""

import signal
import sys


def _run() -> int:
    """SIGINT ends the process as SIGTERM does, without a word, until the daemon listens to it and when it has ended."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # `peppy service serve` holds it back until here

    from peppy.daemon.main import main

    try:
        return main(sys.argv[1:])
    except KeyboardInterrupt:  # one more Ctrl-C, after the loop has given the signal back: all is done
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(_run())
