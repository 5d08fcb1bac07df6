"""`peppy repo add`."""

import click

from peppy.cli.command import verb
from peppy.cli.commands.later import refuse
from peppy.cli.report import Report
from peppy.cli.session import daemon
from peppy.cli.terminal import harmless
from peppy.cli.usage import misuse
from peppy.cli.words import absolute

CHANGE_SECS = 30.0


@verb("repo add")
@click.argument("source", metavar="<directory>")
@click.option("--ref", metavar="<ref>", help="Branch, tag or commit of a git repository (not supported yet).")
@click.option("--top", is_flag=True, help="Put it before all others: of equal names the first one counts.")
def command(report: Report, source: str, ref: str | None, top: bool) -> object:
    """Register a directory as a repository; `peppy repo refresh` then reads it."""
    from peppy.protocol.frames import RepoAdd

    remote = "://" in source or source.startswith("git@")
    if remote or source.endswith(".git"):
        refuse(f"the repository `{source}`", "give the directory of a local copy")
    if ref is not None:
        raise misuse("`--ref` does not go with a directory", "leave it out")
    with daemon(report) as client:
        answer = client.call(RepoAdd(str(absolute(source)), top), timeout=CHANGE_SECS)
    report.result(harmless(f"Added repository {answer.id}: {answer.label}"))
    report.info("run `peppy repo refresh` to read it")
    return answer
