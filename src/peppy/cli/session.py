"""The daemon as commands use it: connected when needed, with the limits of docs/reference/cli.md, Request limits."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from peppy.cli.interrupts import interruptible
from peppy.cli.report import Report
from peppy.errors import PeppyError
from peppy.model.environment import allowed
from peppy.model.home import data_root

if TYPE_CHECKING:
    from peppy.client import Client

PLAIN_SECS = 10.0
INFO_SECS = 5.0
STOP_EXTRA_SECS = 10.0


def home() -> Path:
    """The data root of this call."""
    return data_root(os.environ)


@contextmanager
def daemon(report: Report, *, autostart: bool = True) -> Generator["Client"]:
    """A connection to the daemon, which is started when none answers, unless `autostart` is off.

    Raises PeppyError: `DaemonUnreachable`, `VersionMismatch`, `Refused` for a data root that cannot be used.
    """
    from peppy.client import Client

    root = home()
    if autostart:
        check_data_root(root)
    with interruptible(), Client.connect(root, autostart=autostart, on_notice=report.info) as client:
        yield client


def check_data_root(root: Path) -> None:
    """Raises PeppyError when no daemon could ever live below `root`."""
    existing = next(path for path in (root, *root.parents) if path.exists() or path == path.parent)
    if not existing.is_dir():
        reason = f"`{existing}` is not a directory"
    elif not os.access(existing, os.W_OK | os.X_OK):
        reason = f"`{existing}` is not writable"
    else:
        return
    raise PeppyError(
        f"`{root}` cannot be the data root: {reason}",
        kind="Refused",
        hint="set PEPPY_HOME to a directory that you can write to",
    )


def caller_environment() -> dict[str, str]:
    """What builds and runs get of our environment; a value that is no text cannot travel."""
    return {name: value for name, value in allowed(os.environ).items() if _is_text(name + value)}


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def stop_limit() -> float:
    """Seconds that stopping instances may take: the configured grace and 10 s."""
    return _configured_grace(home() / "conf" / "peppy_config.json5") + STOP_EXTRA_SECS


def _configured_grace(path: Path) -> float:
    """`lifecycle.shutdown_grace_secs`; its default where the file does not tell, which the daemon has refused then."""
    import json5

    try:
        grace = json5.loads(path.read_text())["lifecycle"]["shutdown_grace_secs"]  # pyright: ignore
        return float(grace)  # pyright: ignore
    except (OSError, ValueError, LookupError, TypeError):
        return 5.0


def running_daemon() -> int | None:
    """The pid of the daemon that listens below our data root; None when none does."""
    from peppy.model.home import daemon_socket
    from peppy.protocol.blocking import DaemonNotRunning, connect
    from peppy.protocol.wire import peer_credentials

    try:
        with connect(daemon_socket(home())) as connected:
            return peer_credentials(connected).pid
    except DaemonNotRunning:
        return None
