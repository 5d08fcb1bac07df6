"""`peppy service status`."""

from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import INFO_SECS, daemon, running_daemon
from peppy.cli.silence import with_board
from peppy.errors import PeppyError

UNIT = "not installed"


@verb("service status")
def command(report: Report) -> object:
    """Tell whether the daemon is running; exit code 1 when it is not."""
    if running_daemon() is None:
        report.result("not running")
        report.unsuccessful(PeppyError("the peppy daemon is not running", kind="DaemonUnreachable"))
        return None
    with with_board():
        return _running(report)


def _running(report: Report) -> object:
    from peppy.cli.render.daemon import aligned
    from peppy.protocol.frames import Info

    with daemon(report, autostart=False) as client:
        answer = client.call(Info(), timeout=INFO_SECS)
    uptime = f"{answer.uptime_seconds:.0f}s"
    report.result("running")
    pairs = [("Pid", str(answer.pid)), ("Version", answer.version), ("Uptime", uptime), ("Unit", UNIT)]
    report.result("\n".join(aligned(pairs)))
    return {
        "running": True,
        "pid": answer.pid,
        "version": answer.version,
        "uptime_seconds": answer.uptime_seconds,
        "unit": UNIT,
    }
