"""`peppy service start`."""

import os

from peppy.cli.command import verb
from peppy.cli.interrupts import interruptible
from peppy.cli.options import daemon_options, daemon_words
from peppy.cli.report import Report
from peppy.cli.session import check_data_root, home, running_daemon


@verb("service start")
@daemon_options
def command(report: Report, core_node_name: str | None, clock_source: str) -> object:
    """Start the daemon in the background, unless it is running."""
    from peppy.client import start_daemon

    words = daemon_words(core_node_name, clock_source)
    pid = running_daemon()
    if pid is None:
        os.environ.pop("PEPPY_NO_AUTOSTART", None)  # it forbids starts that nobody asked for
        check_data_root(home())
        with interruptible():
            pid = start_daemon(home(), words)
    report.result(f"Daemon running (pid {pid})")
    return {"pid": pid}
