"""`peppy info` and `peppy service status` as text."""

import platform
import sys
from collections.abc import Iterable

from peppy.protocol.answers import Information

Pair = tuple[str, str]


def client_pairs(version: str, data_root: str) -> list[Pair]:
    """What the program knows about itself."""
    return [
        ("Version", version),
        ("Data root", data_root),
        ("Python", f"{platform.python_version()} ({sys.executable})"),
    ]


def daemon_pairs(daemon: Information) -> list[Pair]:
    """What the daemon tells about itself."""
    return [
        ("Version", daemon.version),
        ("Core node name", daemon.core_node_name),
        ("Core node instance ID", daemon.core_node_instance_id),
        ("Host name", daemon.host_name),
        ("Socket", daemon.socket),
        ("Uptime", f"{daemon.uptime_seconds:.0f}s"),
        ("Node count", str(daemon.node_count)),
    ]


def aligned(pairs: Iterable[Pair]) -> list[str]:
    """`  Label:  value` lines with all values in one column."""
    listed = list(pairs)
    width = max(len(label) for label, _ in listed) + 2
    return [f"  {label + ':':<{width}}{value}" for label, value in listed]
