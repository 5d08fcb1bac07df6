"""`peppy topic info`."""

import sys

import click

from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import PLAIN_SECS, daemon
from peppy.cli.terminal import columns


@verb("topic info")
@click.argument("topic", metavar="<topic>")
def command(report: Report, topic: str) -> object:
    """Tell everything about a topic of a live instance: format, QoS, ring, counters and subscribers."""
    from peppy.cli.render.topics import topic_info_lines
    from peppy.protocol.frames import TopicInfo

    with daemon(report) as client:
        details = client.call(TopicInfo(topic), timeout=PLAIN_SECS)
    report.result("\n".join(topic_info_lines(details, columns(sys.stdout))))
    return details
