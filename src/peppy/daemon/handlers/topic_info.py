"""`peppy topic info` (docs/reference/cli.md, Topics of a running stack)."""

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.daemon.standalone import OpenedTopic
from peppy.daemon.topic_counters import readers, topic_rows
from peppy.daemon.topic_names import known_topic
from peppy.model.node import Topic
from peppy.model.types import canonical, schema_hash
from peppy.protocol.answers import TopicDetails
from peppy.protocol.frames import TopicInfo
from peppy.ring import held_bytes


async def handle(core: Core, request: TopicInfo, _operation: Operation) -> TopicDetails:
    """Everything about one topic of a live instance; what its stream tells once it has one."""
    found = known_topic(core.registry, request.topic)
    (row,) = topic_rows(core.broker, [found])
    stream = core.broker.stream_of(found.instance_id, found.key)
    stats = stream.observer.stats() if stream else None
    text, known_hash = _format(found.topic)
    return TopicDetails(
        address=row.address,
        instance_id=row.instance_id,
        name=row.name,
        interface=row.interface,
        node=row.node,
        qos=row.qos,
        subscribers=row.subscribers,
        published=row.published,
        hz=row.hz,
        bytes=stats.bytes if stats else 0,
        largest=stats.max_length if stats else 0,
        format=text,
        schema_hash=f"{stream.schema_hash if stream else known_hash:016x}",
        depth=stats.depth if stats else None,
        capacity=stats.capacity if stats else None,
        ring_bytes=held_bytes(stats.depth, stats.capacity) if stats else None,
        readers=readers(core.broker, stream) if stream else (),
    )


def _format(topic: Topic | OpenedTopic) -> tuple[str | None, int]:
    """The canonical text of a topic's format and its schema hash."""
    if isinstance(topic, OpenedTopic):
        return topic.format, topic.schema_hash
    message_format = topic.message_format
    return None if message_format is None else canonical(message_format), schema_hash(message_format)
