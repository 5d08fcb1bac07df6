"""`peppy service reset`."""

import click

from peppy.cli.command import verb
from peppy.cli.confirm import stopping_allowed
from peppy.cli.report import Report
from peppy.cli.session import daemon, stop_limit


@verb("service reset")
@click.option("-f", "--force", is_flag=True, help="Stop live instances without asking.")
def command(report: Report, force: bool) -> object:
    """Stop all instances and remove every node but the core node."""
    from peppy.protocol.frames import StackReset

    with daemon(report) as client:
        answer = stopping_allowed(
            report,
            client,
            lambda may_stop: client.call(StackReset(may_stop), timeout=stop_limit(), on_output=report.output),
            node=None,
            flag="--force",
            consequence="The reset",
            yes=force,
        )
    report.result(f"Reset the node stack: {answer.nodes} node(s), {answer.instances} instance(s)")
    return answer
