"""`peppy node remove`."""

import click

from peppy.cli import completing
from peppy.cli.command import verb
from peppy.cli.confirm import stopping_allowed
from peppy.cli.report import Report
from peppy.cli.session import daemon, stop_limit
from peppy.cli.words import reference


@verb("node remove")
@click.argument("node", metavar="<name:tag>", shell_complete=completing.nodes)
@click.option("--stop-instances", is_flag=True, help="Stop its live instances without asking.")
@click.option("-f", "--force", is_flag=True, help="Remove it although other nodes depend on it.")
def command(report: Report, node: str, stop_instances: bool, force: bool) -> object:
    """Remove a node from the stack; its logs stay."""
    from peppy.protocol.frames import NodeRemove

    wanted = str(reference(node))
    with daemon(report) as client:
        answer = stopping_allowed(
            report,
            client,
            lambda may_stop: client.call(
                NodeRemove(wanted, force, may_stop), timeout=stop_limit(), on_output=report.output
            ),
            node=wanted,
            flag="--stop-instances",
            consequence=f"Removing `{wanted}`",
            yes=stop_instances,
        )
    report.result(f"Removed node {answer.node} from the node stack")
    return answer
