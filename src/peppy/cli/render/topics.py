"""`peppy topic list` and `topic info` as text (docs/reference/cli.md, Topics of a running stack)."""

from collections.abc import Iterable, Iterator

from peppy.cli.render.messages import format_lines
from peppy.cli.render.rates import size_text
from peppy.cli.table import box, box_with_lines_below, first_that_fits
from peppy.protocol.answers import TopicDetails, TopicReader, TopicRow

HEADER = ("TOPIC", "NODE", "QOS", "SUBSCRIBERS", "MESSAGES", "HZ")
NUMBERS = frozenset({3, 4, 5})
READERS_HEADER = ("SUBSCRIBER", "RECEIVED", "LOST", "LAG")
READERS_NUMBERS = frozenset({1, 2, 3})
LABEL_COLUMNS = 13
NOTHING = "No topics: no live instance emits one"


def topic_lines(topics: Iterable[TopicRow], terminal_columns: int | None) -> list[str]:
    """The table by address, or one line when no live instance has a topic.

    On a terminal that is too narrow the address stands below its row.
    """
    rows = [
        (row.address, row.node, row.qos, str(row.subscribers), str(row.published), f"{row.hz:.1f}")
        for row in sorted(topics, key=lambda row: row.address)
    ]
    if not rows:
        return [NOTHING]
    turned = [(*row[1:], row[0]) for row in (HEADER, *rows)]
    numbers = frozenset(place - 1 for place in NUMBERS)
    narrow = box_with_lines_below(turned[0], [turned[1:]], len(HEADER) - 1, right=numbers)
    return first_that_fits([box(HEADER, [rows], right=NUMBERS), narrow], terminal_columns)


def topic_info_lines(topic: TopicDetails, terminal_columns: int | None) -> list[str]:
    """One topic: labels with values, the format as a tree, the subscribers as a table."""
    pairs = [
        ("Topic", topic.address),
        ("Publisher", f"{topic.instance_id} ({topic.node})"),
        ("QoS", topic.qos),
        ("Ring", _ring(topic)),
        ("Published", f"{topic.published} messages, {size_text(topic.bytes)}, largest {size_text(topic.largest)}"),
        ("Rate", f"{topic.hz:.1f} Hz"),
        ("Schema", topic.schema_hash),
    ]
    lines = [f"{label + ':':<{LABEL_COLUMNS}}{value}" for label, value in pairs]
    return [*lines, *_format(topic), *_readers(topic.readers, terminal_columns)]


def _ring(topic: TopicDetails) -> str:
    if topic.depth is None or topic.capacity is None or topic.ring_bytes is None:
        return "none before the first message"
    return f"{topic.depth} messages of up to {size_text(topic.capacity)}, {size_text(topic.ring_bytes)}"


def _format(topic: TopicDetails) -> Iterator[str]:
    from peppy.codec.canonical import parse_canonical

    if topic.format is None:
        yield f"{'Format:':<{LABEL_COLUMNS}}no payload"
        return
    yield "Format:"
    yield from format_lines(parse_canonical(topic.format).fields)


def _readers(readers: Iterable[TopicReader], terminal_columns: int | None) -> list[str]:
    rows = [(reader.instance_id, str(reader.received), str(reader.lost), str(reader.lag)) for reader in readers]
    if not rows:
        return [f"{'Subscribers:':<{LABEL_COLUMNS}}none"]
    turned = [(*row[1:], row[0]) for row in (READERS_HEADER, *rows)]
    narrow = box_with_lines_below(turned[0], [turned[1:]], 3, right=frozenset(range(3)))
    return [
        "Subscribers:",
        *first_that_fits([box(READERS_HEADER, [rows], right=READERS_NUMBERS), narrow], terminal_columns),
    ]
