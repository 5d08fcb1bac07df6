"""`peppy stack list` as text (docs/reference/cli.md, stack list)."""

from collections.abc import Iterable, Iterator

from peppy.cli.table import box, box_with_lines_below, first_that_fits
from peppy.cli.terminal import shortened
from peppy.model.lifecycle import LIVE, Stage, State
from peppy.protocol.answers import Edge, InstanceRow, NodeRow, SlotBinding, Stack

COUNTED = (State.RUNNING, State.STARTING, State.STOPPING, State.FAILED)
NODE_HEADER = ("NODE", "STAGE", "VARIANT", "INSTANCES", "PATH")
BINDING_HEADER = ("NODE", "INSTANCE", "STATUS", "HEALTH", "BINDINGS")
NOTHING = "(none)"
EVERYBODY = "(any)"
NOBODY = "(nobody)"


def stack_lines(stack: Stack, terminal_columns: int | None) -> list[str]:
    """The three parts; `terminal_columns` is None where the output is no terminal and stays as wide as it is."""
    lines = ["Node stack", *_node_table(stack, terminal_columns)]
    if _has_bindings(stack):
        lines += ["", "Instance bindings", *_binding_table(stack, terminal_columns)]
    return [*lines, "", "Dependencies", *_dependencies(stack.edges)]


def _node_table(stack: Stack, terminal_columns: int | None) -> list[str]:
    rows = [_node_cells(node) for node in _ordered(stack.nodes)]
    short = [(*row[:-1], shortened(row[-1])) for row in rows]
    tables = [
        box(NODE_HEADER, [rows]),
        box(NODE_HEADER, [short]),
        box_with_lines_below(NODE_HEADER, [short], len(NODE_HEADER) - 1),
        box_with_lines_below(NODE_HEADER, [short], len(NODE_HEADER) - 2),
    ]
    return first_that_fits(tables, terminal_columns)


def _binding_table(stack: Stack, terminal_columns: int | None) -> list[str]:
    groups = list(_binding_groups(stack))
    tables = [box(BINDING_HEADER, groups), box_with_lines_below(BINDING_HEADER, groups, len(BINDING_HEADER) - 1)]
    return first_that_fits(tables, terminal_columns)


def _ordered(nodes: Iterable[NodeRow]) -> list[NodeRow]:
    return sorted(nodes, key=lambda node: (node.stage != Stage.ROOT, node.name, node.tag))


def _node_cells(node: NodeRow) -> tuple[str, ...]:
    path = node.artifact_path or node.config_path or "-"
    return f"{node.name}:{node.tag}", node.stage, node.variant, instance_count(node.instances), path


def instance_count(instances: Iterable[InstanceRow]) -> str:
    """`0`, `2 running` or `3 (1 running, 2 failed)`; finished ones are not counted."""
    states = [instance.state for instance in instances]
    parts = [f"{states.count(state)} {state}" for state in COUNTED if state in states]
    if len(parts) <= 1:
        return parts[0] if parts else "0"
    return f"{sum(state in COUNTED for state in states)} ({', '.join(parts)})"


def _has_bindings(stack: Stack) -> bool:
    live = [instance for node in _nodes(stack) for instance in node.instances if instance.state in LIVE]
    return bool(stack.standalone) or any(row.slot_bindings or row.healthy is False for row in live)


def _nodes(stack: Stack) -> list[NodeRow]:
    return [node for node in stack.nodes if node.stage != Stage.ROOT]


def _binding_groups(stack: Stack) -> Iterator[list[tuple[str, ...]]]:
    blocks: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for node in _nodes(stack):
        kept = [row for row in node.instances if row.state != State.FINISHED]
        for instance in sorted(kept, key=lambda row: row.instance_id):
            blocks.setdefault((node.name, node.tag), []).extend(_instance_cells(instance))
    for program in sorted(stack.standalone, key=lambda row: row.instance_id):
        name, _, tag = program.node.partition(":")
        blocks.setdefault((name, tag), []).append((program.instance_id, "standalone", "-", EVERYBODY))
    for (name, tag), rows in sorted(blocks.items()):
        yield [(f"{name}:{tag}" if place == 0 else "", *row) for place, row in enumerate(rows)]


def _instance_cells(instance: InstanceRow) -> Iterator[tuple[str, ...]]:
    first, *others = binding_texts(instance.slot_bindings) or [NOTHING]
    yield instance.instance_id, instance.state, _health(instance), first
    for other in others:
        yield "", "", "", other


def _health(instance: InstanceRow) -> str:
    if instance.state != State.RUNNING or instance.healthy is None:
        return "-"
    return "healthy" if instance.healthy else "unhealthy"


def binding_texts(bindings: dict[str, SlotBinding]) -> list[str]:
    """`<link_id> → <instance>` per slot, by link_id; `(any)` for a slot that takes everybody."""
    return [f"{link_id} → {_target(binding)}" for link_id, binding in sorted(bindings.items())]


def _target(binding: SlotBinding) -> str:
    if binding.kind == "from_any_unbound":
        return EVERYBODY
    return binding.producer_instance_id or ", ".join(binding.producer_instance_ids) or NOBODY


def _dependencies(edges: Iterable[Edge]) -> list[str]:
    ordered = sorted(edges, key=lambda edge: (edge.source, edge.target))
    return [f"  {_edge(edge)}" for edge in ordered] or [f"  {NOTHING}"]


def _edge(edge: Edge) -> str:
    via = f" (via {edge.via_interface})" if edge.via_interface else ""
    return f"{edge.source} ➔ {edge.target}{via}{' (missing)' if edge.missing else ''}"
