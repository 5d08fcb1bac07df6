"""`peppy node logs`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from peppy.cli import completing
from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import PLAIN_SECS, daemon
from peppy.cli.usage import misuse
from peppy.cli.words import instance_name
from peppy.errors import PeppyError
from peppy.model.names import Reference

if TYPE_CHECKING:
    from peppy.client import Client
    from peppy.protocol.answers import LogPlace


@verb("node logs")
@click.argument("target", metavar="<instance_id | name:tag>", shell_complete=completing.nodes_and_instances)
@click.option("-f", "--follow", is_flag=True, help="Go on until the log ends or Ctrl-C.")
@click.option("-n", "--lines", "count", metavar="<n>", type=int, help="Only the last n lines.")
@click.option("--add", "of_add", is_flag=True, help="The newest log of adding the node.")
@click.option("--build", "of_build", is_flag=True, help="The newest log of building the node.")
def command(report: Report, target: str, follow: bool, count: int | None, of_add: bool, of_build: bool) -> object:
    """Show the run log of an instance, or of the only instance of a node."""
    which = _which(target, of_add, of_build)
    if count is not None and count < 0:
        raise misuse(f"`--lines` cannot be `{count}`", "give a number of lines")
    with daemon(report) as client:
        place = _place(client, target, which)
        if follow:
            return _follow(report, client, place, which, target, count)
    return _show(report, place, count)


def _which(target: str, of_add: bool, of_build: bool) -> str:
    if of_add and of_build:
        raise misuse("`--add` and `--build` do not go together", "choose one of them")
    if not of_add and not of_build:
        if Reference.parse(target) is None:
            instance_name(target)
        return "run"
    if Reference.parse(target) is None:
        raise misuse(f"`{'--add' if of_add else '--build'}` needs a node", "name it as `name:tag`")
    return "add" if of_add else "build"


def _place(client: "Client", target: str, which: str) -> "LogPlace":
    from peppy.protocol.frames import NodeLogs

    return client.call(NodeLogs(target, which), timeout=PLAIN_SECS)


def _lines(path: Path, count: int | None) -> list[str]:
    from peppy.cli.log_lines import last_lines, read_lines

    try:
        return last_lines(read_lines(path), count)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PeppyError(f"the log `{path}` cannot be read: {reason}", kind="NotFound") from None


def _show(report: Report, place: "LogPlace", count: int | None) -> object:
    from peppy.cli.following import shown
    from peppy.cli.log_lines import parse_line

    lines = _lines(Path(place.log), count)
    if lines:
        report.result("\n".join(map(shown, lines)))
    return {"log": place.log, "lines": [parse_line(line).as_data() for line in lines]}


def _follow(report: Report, client: "Client", place: "LogPlace", which: str, target: str, count: int | None) -> object:
    """Prints lines, or one object per line; there is no envelope then."""
    from peppy.cli.following import grown_lines, shown
    from peppy.cli.log_lines import parse_line

    report.ends_by_interrupt = True
    path = Path(place.log)
    known = _lines(path, None)
    skip = 0 if count is None else max(0, len(known) - count)
    subject = place.instance_id or target
    for line in grown_lines(path, still_written=lambda: _place(client, subject, which).live, skip=skip):
        text = json.dumps(parse_line(line).as_data(), ensure_ascii=False) if report.as_json else shown(line)
        print(text, flush=True)
    report.envelope = False
    return None
