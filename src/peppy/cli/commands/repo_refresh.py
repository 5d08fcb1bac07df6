"""`peppy repo refresh`."""

from peppy.cli.command import verb
from peppy.cli.options import timeout_option
from peppy.cli.render.repositories import refreshed_text
from peppy.cli.report import Report
from peppy.cli.session import daemon


@verb("repo refresh")
@timeout_option(3600)
def command(report: Report, timeout: float) -> object:
    """Read all repositories again, so that their nodes, launchers and interfaces are found."""
    from peppy.protocol.frames import RepoRefresh

    with daemon(report) as client:
        answer = client.call(RepoRefresh(timeout), timeout=None, on_output=report.output)
    for warning in answer.warnings:
        report.warning(warning)
    report.result(refreshed_text(answer.repositories))
    return answer
