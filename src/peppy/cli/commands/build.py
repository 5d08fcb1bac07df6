"""`peppy node build`."""

import click

from peppy.cli import completing
from peppy.cli.command import verb
from peppy.cli.options import timeout_option
from peppy.cli.report import Report
from peppy.cli.session import daemon
from peppy.cli.words import reference


@verb("node build")
@click.argument("node", metavar="<name:tag>", shell_complete=completing.nodes)
@click.option("-f", "--force", is_flag=True, help="Build again, and end a build that is running.")
@timeout_option(3600)
def command(report: Report, node: str, force: bool, timeout: float) -> object:
    """Build the artifact of a node that has been added to the stack."""
    from peppy.cli.steps import build

    wanted = str(reference(node))
    with daemon(report) as client:
        return build(report, client, wanted, force=force, timeout=timeout)
