"""`peppy topic list` (docs/reference/cli.md, Topics of a running stack)."""

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.daemon.topic_counters import topic_rows
from peppy.daemon.topic_names import live_topics
from peppy.protocol.answers import Topics
from peppy.protocol.frames import TopicList


async def handle(core: Core, _request: TopicList, _operation: Operation) -> Topics:
    """Every topic that a live instance declares, with the counters of its stream."""
    return Topics(topic_rows(core.broker, live_topics(core.registry)))
