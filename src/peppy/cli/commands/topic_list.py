"""`peppy topic list`."""

import sys

from peppy.cli.command import verb
from peppy.cli.report import Report
from peppy.cli.session import PLAIN_SECS, daemon
from peppy.cli.terminal import columns


@verb("topic list")
def command(report: Report) -> object:
    """List the topics of live instances: subscribers, messages so far, and the rate over the last second."""
    from peppy.cli.render.topics import topic_lines
    from peppy.protocol.frames import TopicList

    with daemon(report) as client:
        topics = client.call(TopicList(), timeout=PLAIN_SECS)
    report.result("\n".join(topic_lines(topics.topics, columns(sys.stdout))))
    return topics
