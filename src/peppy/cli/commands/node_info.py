"""`peppy node info`."""

import sys

import click

from peppy.cli import completing
from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import INFO_SECS, daemon
from peppy.cli.terminal import columns
from peppy.cli.words import reference


@verb("node info")
@click.argument("node", metavar="<name:tag>", shell_complete=completing.nodes)
@click.option("--stats", is_flag=True, help="Add the counters of its streams.")
def command(report: Report, node: str, stats: bool) -> object:
    """Tell everything about a node of the stack: stage, instances, logs, interfaces and parameters."""
    from peppy.cli.render.node import node_lines
    from peppy.protocol.frames import NodeInfo

    wanted = str(reference(node))
    report.info(f"Getting node info for {wanted}...")
    with daemon(report) as client:
        details = client.call(NodeInfo(wanted, stats or report.as_json), timeout=INFO_SECS)
    report.result("\n".join(node_lines(details, columns(sys.stdout), statistics=stats)))
    return details
