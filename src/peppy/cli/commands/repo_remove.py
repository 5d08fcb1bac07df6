"""`peppy repo remove`."""

import click

from peppy.cli.command import verb
from peppy.cli.options import timeout_option
from peppy.cli.render.repositories import refreshed_text
from peppy.cli.report import Report
from peppy.cli.session import daemon
from peppy.cli.usage import misuse
from peppy.model.text import quoted

LONGEST_ID = 18
"""So many digits always fit a frame."""


@verb("repo remove")
@click.argument("text", metavar="<id>")
@timeout_option(3600)
def command(report: Report, text: str, timeout: float) -> object:
    """Forget a repository, then read the others again; nodes of the stack stay."""
    number = _number(text)

    from peppy.protocol.frames import RepoRemove

    with daemon(report) as client:
        answer = client.call(RepoRemove(number, timeout), timeout=None, on_output=report.output)
    for warning in answer.warnings:
        report.warning(warning)
    report.result(f"Removed repository {number}")
    report.result(refreshed_text(answer.repositories))
    return answer


def _number(text: str) -> int:
    """The id of a repository; a usage error for what is none, such as its path."""
    if not text.isdecimal() or len(text) > LONGEST_ID:
        raise misuse(f"{quoted(text)} is no id of a repository", "`peppy repo list` shows their ids")
    return int(text)
