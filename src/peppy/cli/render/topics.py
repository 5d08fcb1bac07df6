"""`peppy topic list` as text (docs/reference/cli.md, Topics of a running stack)."""

from collections.abc import Iterable

from peppy.cli.table import box, box_with_lines_below, first_that_fits
from peppy.protocol.answers import TopicRow

HEADER = ("TOPIC", "NODE", "QOS", "SUBSCRIBERS", "MESSAGES", "HZ")
NUMBERS = frozenset({3, 4, 5})
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
