"""Counters of streams as the command line shows them: read from outside, by the observers of the broker."""

from collections.abc import Iterable

from peppy.daemon.streams import Stream
from peppy.daemon.topic_names import LiveTopic
from peppy.daemon.topics import TopicBroker
from peppy.protocol.answers import TopicCounters, TopicReader, TopicRow


def topic_rows(broker: TopicBroker, live: Iterable[LiveTopic]) -> tuple[TopicRow, ...]:
    """One row per topic that a live instance declares, whether it has published yet or not."""
    streams = {(stream.session.instance_id, stream.topic): stream for stream in broker.streams()}
    rows: list[TopicRow] = []
    for topic in sorted(live, key=lambda found: (found.instance_id, found.key)):
        stream = streams.get((topic.instance_id, topic.key))
        rows.append(
            TopicRow(
                address=topic.address,
                instance_id=topic.instance_id,
                name=topic.name,
                interface=topic.interface,
                node=str(topic.node),
                qos=topic.topic.qos.name,
                subscribers=len(broker.rows_of(stream)) if stream else 0,
                published=stream.observer.stats().published if stream else 0,
                hz=round(stream.hz, 1) if stream else 0.0,
            )
        )
    return tuple(rows)


def readers(broker: TopicBroker, stream: Stream) -> tuple[TopicReader, ...]:
    """Who has a row of a stream, by instance id."""
    head = stream.observer.stats().head
    found: list[TopicReader] = []
    for subscription, row in broker.rows_of(stream):
        seen = stream.observer.row(row.number)
        lag = max(0, head + 1 - seen.cursor)
        found.append(TopicReader(subscription.session.instance_id, seen.taken, seen.lost, lag))
    return tuple(sorted(found, key=lambda reader: reader.instance_id))


def counters(broker: TopicBroker, instance_ids: Iterable[str]) -> tuple[TopicCounters, ...]:
    """The counters of every stream that these instances write (`out`) or read (`in`)."""
    wanted = set(instance_ids)
    found: list[TopicCounters] = []
    for stream in broker.streams():
        stats = stream.observer.stats()
        writer = stream.session.instance_id
        if writer in wanted:
            found.append(TopicCounters(writer, stream.topic, "out", None, stats.published, 0, 0, 0))
        for subscription, row in broker.rows_of(stream):
            reader = subscription.session.instance_id
            if reader not in wanted:
                continue
            seen = stream.observer.row(row.number)
            lag = max(0, stats.head + 1 - seen.cursor)
            found.append(TopicCounters(reader, stream.topic, "in", writer, seen.taken, seen.lost, lag, 0))
    return tuple(sorted(found, key=lambda row: (row.instance, row.topic, row.side, row.peer or "")))
