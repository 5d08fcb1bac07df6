"""`peppy info`."""

import platform

from peppy import __version__
from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import INFO_SECS, daemon, home, running_daemon
from peppy.cli.silence import with_board
from peppy.errors import PeppyError


@verb("info")
def command(report: Report) -> object:
    """Tell about this program and the daemon; exit code 1 when the daemon is not running."""
    from peppy.cli.render.daemon import aligned, client_pairs, daemon_pairs
    from peppy.protocol.frames import Info

    root = str(home())
    report.result("\n".join(["Peppy client info", *aligned(client_pairs(__version__, root)), "", "Daemon Info"]))
    if running_daemon() is None:
        report.result("  not running")
        report.unsuccessful(PeppyError("the peppy daemon is not running", kind="DaemonUnreachable"))
        return None
    with with_board(), daemon(report, autostart=False) as client:
        answer = client.call(Info(), timeout=INFO_SECS)
    report.result("\n".join(aligned(daemon_pairs(answer))))
    return {
        "client": {"version": __version__, "data_root": root, "python": platform.python_version()},
        "daemon": answer,
    }
