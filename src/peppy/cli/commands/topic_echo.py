"""`peppy topic echo`."""

from typing import TYPE_CHECKING

import click

from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import PLAIN_SECS, daemon
from peppy.cli.usage import misuse
from peppy.cli.watching import count_option, say_gone, say_what_is_missing

if TYPE_CHECKING:
    from peppy.cli.echo import Echo
    from peppy.client import Client
    from peppy.runtime.watch import WatchedTopic, Watches


@verb("topic echo", json_lines=True)
@click.argument("topic", metavar="<topic>")
@count_option("messages", "End after n messages.")
@click.option("--field", metavar="<dotted path>", help="Only this field.")
@click.option("--full", is_flag=True, help="Print long arrays and bytes in full.")
@click.option("--raw", is_flag=True, help="Print the payload as hexadecimal digits.")
def command(report: Report, topic: str, count: int | None, field: str | None, full: bool, raw: bool) -> object:
    """Print the messages of a topic as they come, as one more subscriber that nobody waits for."""
    from peppy.cli.echo import Echo
    from peppy.runtime.watch import Watches

    if raw and field is not None:
        raise misuse("`--raw` and `--field` do not go together", "choose one of them")
    echo = Echo(report, field, full=full, raw=raw)
    with daemon(report) as client, Watches(client) as watches:
        watched = watches.open(topic, reads=True)
        if watched.live:
            _learn(echo, client, watched)
        report.envelope = False
        report.ends_by_interrupt = count is None
        say_what_is_missing(report, watched)
        while watched.observer is None:
            watches.wait(None)
        if not watched.live:
            _learn(echo, client, watched)
        _show(watches, watched, echo, count)
    return None


def _learn(echo: "Echo", client: "Client", watched: "WatchedTopic") -> None:
    """The format is known as soon as the producer is. Raises PeppyError for a field that it does not have."""
    from peppy.protocol.frames import TopicInfo

    echo.learn(client.call(TopicInfo(watched.address), timeout=PLAIN_SECS))


def _show(watches: "Watches", watched: "WatchedTopic", echo: "Echo", count: int | None) -> None:
    """Print messages until there have been `count`, or the stream has ended and all that was left is out."""
    while count is None or echo.shown < count:
        gone = watched.gone  # before the look: what was written before the end is taken after the news of it
        view = watched.take()
        if view is not None:
            echo.show(view.data, view.publish_time_ns)
        elif gone:
            say_gone(echo.report, watched)
            return
        else:
            watches.wait(None)
