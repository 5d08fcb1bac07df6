"""`peppy node sync`."""

import click

from peppy.cli.command import verb
from peppy.cli.commands.later import refuse
from peppy.cli.options import timeout_option
from peppy.cli.report import Report
from peppy.cli.session import daemon
from peppy.cli.words import absolute, directory_of


@verb("node sync")
@click.argument("path", metavar="[path]", default=".")
@click.option(
    "-r", "--include-repositories", is_flag=True, help="Find dependencies in repositories too (not supported yet)."
)
@timeout_option(600)
def command(report: Report, path: str, include_repositories: bool, timeout: float) -> object:
    """Generate the library of the node in a directory (default: here)."""
    from peppy.cli.steps import sync

    if include_repositories:
        refuse("`--include-repositories`", "add the nodes that it depends on to the stack")
    with daemon(report) as client:
        return sync(report, client, directory_of(absolute(path)), timeout)
