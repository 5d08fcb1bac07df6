"""The command line's way to the daemon: connect, start it when needed, ask (docs/reference/cli.md, Conventions)."""

from peppy.client.autostart import start_daemon
from peppy.client.client import Client

__all__ = ["Client", "start_daemon"]
