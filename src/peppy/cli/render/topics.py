"""`peppy topic list` as text (docs/reference/cli.md, Topics, calls and goals of a running stack)."""

from collections.abc import Iterable

from peppy.cli.table import box
from peppy.protocol.answers import TopicRow

HEADER = ("TOPIC", "NODE", "QOS", "SUBSCRIBERS", "MESSAGES", "HZ")
NUMBERS = frozenset({3, 4, 5})


def topic_lines(topics: Iterable[TopicRow]) -> list[str]:
    """The table by address, or one line when no live instance has a topic."""
    rows = [
        (row.address, row.node, row.qos, str(row.subscribers), str(row.published), f"{row.hz:.1f}")
        for row in sorted(topics, key=lambda row: row.address)
    ]
    return box(HEADER, [rows], right=NUMBERS) if rows else ["No topics: no live instance emits one"]
