"""`peppy node info` as text (docs/reference/cli.md, node info): values start in column 13."""

import shlex
from collections.abc import Iterable, Iterator
from datetime import datetime

from peppy.cli.table import box, box_with_lines_below, first_that_fits
from peppy.model.lifecycle import State
from peppy.protocol.answers import Dependency, Exit, InstanceRow, Member, Members, NodeDetails, TopicCounters

RULE_COLUMNS = 50
VALUE_INDENT = 12
STATISTICS_HEADER = ("INSTANCE", "TOPIC", "SIDE", "PEER", "MESSAGES", "LOST", "LAG", "WAITS")
NUMBERS = frozenset({4, 5, 6, 7})


def node_lines(node: NodeDetails, terminal_columns: int | None, *, statistics: bool = False) -> list[str]:
    """All sections that have content, in the order of the reference; `statistics` adds the counters of topics."""
    sections = [
        ("Node Information", _information(node)),
        ("Node Stack Status", _status(node)),
        ("Logs", _logs(node)),
        ("Dependencies", [_dependency(dependency) for dependency in node.dependencies]),
        ("Exposed Interfaces", list(_members("Emitted Topics", "", node.exposes))),
        ("Consumed Interfaces", list(_members("Consumed Topics", "Consumed ", node.consumes))),
        ("Integrity", [f"Config SHA256: {node.config_sha256}"]),
        ("Parameters", ["  " * line.indent + line.text for line in node.parameters]),
    ]
    if statistics:
        sections.append(("Topic Statistics", statistics_lines(node.stats, terminal_columns)))
    lines: list[str] = []
    for title, content in sections:
        if content:
            lines += ["", title, ("-" if lines else "=") * RULE_COLUMNS, *content]
    return lines[1:]


def _information(node: NodeDetails) -> list[str]:
    pairs = [
        ("Name", node.name),
        ("Tag", node.tag),
        ("Language", node.language.capitalize()),
        ("Labels", ", ".join(node.labels)),
        ("Build cmd", shlex.join(node.build_cmd or ())),
        ("Container", node.container or ""),
        ("Run cmd", "" if node.container else shlex.join(node.run_cmd or ())),
    ]
    return [_pair(label, value) for label, value in pairs if value]


def _pair(label: str, value: str) -> str:
    return f"{label + ':':<{VALUE_INDENT}}{value}"


def _status(node: NodeDetails) -> list[str]:
    tracked = f"{len(node.instances)} tracked" if node.instances else "None tracked"
    lines = [_pair("Stage", node.stage), _pair("Variant", node.variant), _pair("Instances", tracked)]
    return lines + [f"{'':{VALUE_INDENT}}- {instance_text(instance)}" for instance in node.instances]


def instance_text(instance: InstanceRow) -> str:
    """`<id> [<state>]` and what is special about it: unhealthy, or how and when it ended."""
    text = f"{instance.instance_id} [{instance.state}]"
    if instance.state == State.RUNNING and instance.healthy is False:
        return f"{text} unhealthy"
    if instance.exit is None:
        return text
    if instance.state == State.FAILED:
        return f"{text} {_cause(instance.exit)}{_comma_time(instance.exit)}"
    ended = _clock_time(instance.exit)
    return f"{text}{' ' + ended if ended else ''}{' (killed)' if instance.exit.killed else ''}"


def _cause(end: Exit) -> str:
    if end.signal:
        return f"signal {end.signal}"
    return f"exit status {'unknown' if end.status is None else end.status}"


def _comma_time(end: Exit) -> str:
    ended = _clock_time(end)
    return f", {ended}" if ended else ""


def _clock_time(end: Exit) -> str:
    """When it ended, as local time of day; empty when unknown."""
    return f"{datetime.fromisoformat(end.time).astimezone():%H:%M:%S}" if end.time else ""


def _logs(node: NodeDetails) -> list[str]:
    lines = [f"  Add log: {node.logs.add}"] if node.logs.add else []
    if node.logs.run:
        lines.append("  Run logs:")
        lines += [f"    - {instance_id}: {path}" for instance_id, path in node.logs.run.items()]
    return [f"{node.name}:{node.tag}", *lines] if lines else []


def _dependency(dependency: Dependency) -> str:
    notes = ["interface"] if dependency.kind == "interface" else []
    notes += ["from_any"] if dependency.from_any else []
    text = f"- {dependency.link_id} -> {dependency.provider}"
    return f"{text} ({', '.join(notes)})" if notes else text


def _members(topics_title: str, prefix: str, members: Members) -> Iterator[str]:
    yield from _member_list(topics_title, members.topics, "qos")
    yield from _member_list(f"{prefix}Services", members.services, "qos")
    yield from _member_list(f"{prefix}Actions", members.actions, "feedback qos")


def _member_list(title: str, members: Iterable[Member], qos_label: str) -> Iterator[str]:
    lines = [f"  - {_member(member, qos_label)}" for member in members]
    if lines:
        yield f"{title}:"
        yield from lines


def _member(member: Member, qos_label: str) -> str:
    notes = [
        (qos_label, member.qos),
        ("interface", member.interface),
        ("via slot", member.slot),
    ]
    return member.name + "".join(f" ({label}: {value})" for label, value in notes if value)


def statistics_lines(counters: Iterable[TopicCounters], terminal_columns: int | None) -> list[str]:
    """The counters as a table, with the names below the numbers on a narrow terminal; without streams one line."""
    rows = [
        (row.instance, row.topic, row.side, row.peer or "-", *map(str, (row.messages, row.lost, row.lag, row.waits)))
        for row in counters
    ]
    if not rows:
        return ["No streams"]
    turned = [(row[2], *row[4:], row[0], row[1], row[3]) for row in (STATISTICS_HEADER, *rows)]
    numbers = frozenset(range(1, 1 + len(NUMBERS)))
    narrow = box_with_lines_below(turned[0], [turned[1:]], 1 + len(NUMBERS), right=numbers)
    return first_that_fits([box(STATISTICS_HEADER, [rows], right=NUMBERS), narrow], terminal_columns)
