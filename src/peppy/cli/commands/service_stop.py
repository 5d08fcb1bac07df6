"""`peppy service stop`."""

import os
import select
import signal

import click

from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import daemon, running_daemon, stop_limit
from peppy.errors import PeppyError


@verb("service stop")
@click.option("--keep-instances", is_flag=True, help="Nodes go on; the next daemon takes them over.")
def command(report: Report, keep_instances: bool) -> object:
    """Stop all instances, then the daemon."""
    pid = running_daemon()
    if pid is None:
        report.result("Daemon not running")
        return {"stopped": False, "instances": 0}
    process = _process(pid)
    try:
        instances = _ask_to_stop(report, pid, keep_instances)
        _wait(process, pid)
    finally:
        if process is not None:
            os.close(process)
    report.result(f"Daemon stopped, {instances} instance(s) stopped")
    return {"stopped": True, "instances": instances}


def _process(pid: int) -> int | None:
    """A descriptor of the daemon's process; None when it has just ended."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _ask_to_stop(report: Report, pid: int, keep_instances: bool) -> int:
    """How many instances were stopped. A daemon that speaks another version is stopped by its signal."""
    from peppy.protocol.frames import ServiceStop

    try:
        with daemon(report, autostart=False) as client:
            answer = client.call(ServiceStop(keep_instances), timeout=stop_limit(), on_output=report.output)
            return answer.instances
    except PeppyError as error:
        if error.kind != "VersionMismatch" or keep_instances:
            raise
    os.kill(pid, signal.SIGTERM)
    return 0


def _wait(process: int | None, pid: int) -> None:
    """Raises PeppyError when the process has not ended in time."""
    if process is None:
        return
    poll = select.poll()
    poll.register(process, select.POLLIN)
    if not poll.poll(stop_limit() * 1000):
        raise PeppyError(f"the daemon (pid {pid}) has not ended in time", kind="Timeout", hint="see logs/daemon.log")
