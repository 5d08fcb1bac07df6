"""`peppy repo list`."""

from peppy.cli.command import verb
from peppy.cli.render.repositories import repository_lines
from peppy.cli.report import Report
from peppy.cli.session import PLAIN_SECS, daemon


@verb("repo list")
def command(report: Report) -> object:
    """List the repositories and the nodes, launchers and interfaces that the last refresh has found in them."""
    from peppy.protocol.frames import RepoList

    with daemon(report) as client:
        answer = client.call(RepoList(), timeout=PLAIN_SECS)
    lines = repository_lines(answer.repositories)
    if lines:
        report.result("\n".join(lines))
    if not any(row.nodes or row.launchers or row.interfaces for row in answer.repositories):
        missing = "" if answer.repositories else "`peppy repo add <directory>`, then "
        report.info(f"nothing is known: run {missing}`peppy repo refresh`")
    return answer
