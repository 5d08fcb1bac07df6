"""What holds for every test."""

import signal

# A shell starts its background jobs with SIGINT ignored, and programs inherit that: the tests of Ctrl-C need it back.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
