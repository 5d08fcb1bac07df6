"""`peppy node prune`."""

import click

from peppy.cli import completing
from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import PLAIN_SECS, daemon
from peppy.cli.words import reference


@verb("node prune")
@click.argument("node", metavar="[name:tag]", required=False, shell_complete=completing.nodes)
def command(report: Report, node: str | None) -> object:
    """Drop the records of finished and failed instances, of one node or of all nodes."""
    from peppy.protocol.frames import NodePrune

    wanted = str(reference(node)) if node is not None else None
    with daemon(report) as client:
        answer = client.call(NodePrune(wanted), timeout=PLAIN_SECS)
    report.result(f"Pruned {len(answer.pruned)} instance record(s)")
    return answer
