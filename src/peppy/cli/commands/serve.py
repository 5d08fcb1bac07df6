"""`peppy service serve`: this process becomes the daemon."""

import os
import sys

from peppy.cli.command import verb
from peppy.cli.interrupts import hold_interrupts
from peppy.cli.options import daemon_options, daemon_words
from peppy.cli.report import Report


@verb("service serve", prints_result=False)
@daemon_options
def command(_report: Report, core_node_name: str | None, clock_source: str) -> object:
    """Be the daemon, in the foreground; its log goes to stderr."""
    words = daemon_words(core_node_name, clock_source)
    hold_interrupts()
    os.execv(sys.executable, [sys.executable, "-m", "peppy.daemon", *words])
