"""`peppy stack list`."""

import sys

from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import PLAIN_SECS, daemon
from peppy.cli.terminal import columns


@verb("stack list")
def command(report: Report) -> object:
    """List the nodes of the stack with their instances, bindings and dependencies."""
    from peppy.cli.render.stack import stack_lines
    from peppy.protocol.frames import StackList

    with daemon(report) as client:
        stack = client.call(StackList(), timeout=PLAIN_SECS)
    report.result("\n".join(stack_lines(stack, columns(sys.stdout))))
    return stack
