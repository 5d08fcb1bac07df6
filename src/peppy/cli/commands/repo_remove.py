"""`peppy repo remove`."""

import click

from peppy.cli.command import verb
from peppy.cli.options import timeout_option
from peppy.cli.render.repositories import refreshed_text
from peppy.cli.report import Report
from peppy.cli.session import daemon


@verb("repo remove")
@click.argument("number", metavar="<id>", type=int)
@timeout_option(3600)
def command(report: Report, number: int, timeout: float) -> object:
    """Forget a repository, then read the others again; nodes of the stack stay."""
    from peppy.protocol.frames import RepoRemove

    with daemon(report) as client:
        answer = client.call(RepoRemove(number, timeout), timeout=None, on_output=report.output)
    for warning in answer.warnings:
        report.warning(warning)
    report.result(f"Removed repository {number}")
    report.result(refreshed_text(answer.repositories))
    return answer
