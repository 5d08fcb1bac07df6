"""`peppy topic list` (docs/reference/cli.md, Topics)."""

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.protocol.answers import Topics
from peppy.protocol.frames import TopicList


async def handle(core: Core, _request: TopicList, _operation: Operation) -> Topics:
    """Every topic that a live instance declares, with the counters of its stream."""
    declared = [
        (instance.instance_id, instance.reference, topic)
        for instance in core.registry.live_instances()
        for topic in core.registry.nodes[instance.reference].manifest.emitted_topics
    ]
    return Topics(core.broker.topic_rows(declared))
