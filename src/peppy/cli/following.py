"""Showing a log while it grows, until the build or instance behind it ends."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from peppy.cli.log_lines import parse_line
from peppy.cli.report import Report
from peppy.cli.session import PLAIN_SECS
from peppy.cli.terminal import harmless
from peppy.errors import PeppyError
from peppy.model.lifecycle import LIVE, State

if TYPE_CHECKING:
    from peppy.client import Client

POLL_SECS = 0.05
"""How often a log that has no new lines is looked at again."""

ASK_SECS = 2.0
"""How often the daemon is asked whether a silent log still has a writer."""

SETTLE_SECS = 30.0
"""How long the daemon may take to notice the end of an instance whose log has ended: it sees one within 0.1 s."""


def grown_lines(log: Path, *, still_written: Callable[[], bool], skip: int = 0) -> Iterator[str]:
    """The lines of `log` after the first `skip`, as they are written, through its rotations.

    Ends after the log's last line, or when nothing comes and `still_written` says no.
    """
    file = log.open("rb")
    rest, seen, asked = b"", 0, time.monotonic()
    try:
        while True:
            block = file.read()
            *lines, rest = (rest + block).split(b"\n")
            for raw in lines:
                seen += 1
                line = raw.decode(errors="replace")
                if seen > skip:
                    yield line
                if parse_line(line).is_last:
                    return
            if block:
                continue
            if newer := _successor(file, log):
                file.close()
                file = newer
                continue
            if time.monotonic() - asked >= ASK_SECS:
                asked = time.monotonic()
                if not still_written() and not _has_more(file):
                    return
            time.sleep(POLL_SECS)
    finally:
        file.close()


def _successor(file: BinaryIO, log: Path) -> BinaryIO | None:
    """The file that stands at the log's name now, when it is another one: the log has been rotated."""
    try:
        newer = log.open("rb")
    except FileNotFoundError:
        return None
    if os.path.sameopenfile(file.fileno(), newer.fileno()) or _has_more(file):
        newer.close()
        return None
    return newer


def _has_more(file: BinaryIO) -> bool:
    return file.tell() < os.fstat(file.fileno()).st_size


def shown(line: str) -> str:
    """A line as it may reach our stdout: control characters of nodes are escaped on a terminal."""
    return harmless(line) if sys.stdout.isatty() else line


def follow_instance(report: Report, client: "Client", instance_id: str, log: str) -> None:
    """Prints the run log until the instance has ended. Raises PeppyError when it has failed.

    Ctrl-C ends the printing only: the instance keeps running.
    """
    try:
        for line in grown_lines(Path(log), still_written=lambda: _state(client, instance_id) in LIVE):
            print(shown(line), flush=True)
        state = _final_state(client, instance_id)
    except KeyboardInterrupt:
        report.interrupted()
        report.info(f"instance {instance_id} keeps running")
        return
    if state == State.FAILED:
        raise PeppyError(f"instance `{instance_id}` has failed", kind="CommandFailed")


def _final_state(client: "Client", instance_id: str) -> str | None:
    deadline = time.monotonic() + SETTLE_SECS
    while (state := _state(client, instance_id)) in LIVE and time.monotonic() < deadline:
        time.sleep(POLL_SECS)
    return state


def _state(client: "Client", instance_id: str) -> str | None:
    """The state of an instance; None once its record is gone."""
    from peppy.protocol.frames import StackList

    stack = client.call(StackList(), timeout=PLAIN_SECS)
    rows = (row for node in stack.nodes for row in node.instances if row.instance_id == instance_id)
    return next((row.state for row in rows), None)
