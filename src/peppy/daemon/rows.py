"""Nodes and instances as the command line shows them (docs/reference/cli.md, `stack list` and `node info`)."""

import json
from collections.abc import Iterable, Iterator

from peppy.daemon.addresses import actions_of, services_of, topics_of
from peppy.daemon.registry import Instance, Node
from peppy.model.lifecycle import State
from peppy.model.node import Action, NodeManifest, Slot, SlotKind
from peppy.model.parameters import ArrayOf, Group, Leaf, Parameter
from peppy.protocol.answers import Dependency, InstanceRow, Member, Members, ParameterLine


def instance_row(instance: Instance) -> InstanceRow:
    """One instance; `healthy` is known only while it is running, `pid` only while it lives."""
    return InstanceRow(
        instance_id=instance.instance_id,
        state=instance.state.value,
        healthy=instance.healthy if instance.state is State.RUNNING else None,
        pid=instance.pids.child.pid if instance.live and instance.pids is not None else None,
        exit=instance.exit,
        slot_bindings=dict(sorted(instance.slot_bindings.items())),
    )


def instance_rows(instances: Iterable[Instance]) -> tuple[InstanceRow, ...]:
    """Instances in the order in which they were started."""
    return tuple(instance_row(instance) for instance in sorted(instances, key=lambda instance: instance.order))


def dependencies(manifest: NodeManifest) -> tuple[Dependency, ...]:
    """The slots of a node in the order of its manifest."""
    return tuple(_dependency(slot) for slot in manifest.slots)


def _dependency(slot: Slot) -> Dependency:
    kind = "interface" if slot.kind is SlotKind.INTERFACE else "node"
    return Dependency(slot.link_id, str(slot.provider), kind, slot.from_any)


def exposed(node: Node) -> Members:
    """What a node provides: its own members, then those that it inherits from interfaces."""
    return Members(
        topics=tuple(Member(topic.name, topic.qos.name, interface) for interface, topic in topics_of(node)),
        services=tuple(Member(service.name, None, interface) for interface, service in services_of(node)),
        actions=tuple(_action(interface, action) for interface, action in actions_of(node)),
    )


def consumed(manifest: NodeManifest) -> Members:
    """What a node uses of others."""
    return Members(
        topics=tuple(Member(entry.name, slot=entry.link_id) for entry in manifest.consumed_topics),
        services=tuple(Member(entry.name, slot=entry.link_id) for entry in manifest.consumed_services),
        actions=tuple(Member(entry.name, slot=entry.link_id) for entry in manifest.consumed_actions),
    )


def _action(interface: str | None, action: Action) -> Member:
    return Member(action.name, action.feedback.qos.name if action.feedback else None, interface)


def parameter_lines(group: Group, indent: int = 0) -> Iterator[ParameterLine]:
    """The declared parameters as an indented tree."""
    for parameter in group.members:
        yield ParameterLine(indent, _parameter(parameter))
        kind = parameter.type.items if isinstance(parameter.type, ArrayOf) else parameter.type
        if isinstance(kind, Group):
            yield from parameter_lines(kind, indent + 1)


def _parameter(parameter: Parameter) -> str:
    kind = parameter.type
    if isinstance(kind, Group):
        return f"{parameter.name}:"
    if isinstance(kind, ArrayOf):
        item = kind.items.token.value if isinstance(kind.items, Leaf) else "object"
        length = "" if kind.length is None else f"; {kind.length}"
        return f"{parameter.name}: array[{item}{length}]"
    default = "" if kind.default is None else f" = {json.dumps(kind.default, ensure_ascii=False)}"
    return f"{parameter.name}: {kind.token.value}{default}"


def core_instance_row(name: str, pid: int) -> InstanceRow:
    """The one instance of the core node: the daemon."""
    return InstanceRow(name, State.RUNNING.value, True, pid, None, {})


def logs_of_runs(instances: Iterable[Instance]) -> dict[str, str]:
    """The run log of every tracked instance."""
    return {instance.instance_id: instance.log for instance in sorted(instances, key=lambda found: found.order)}
