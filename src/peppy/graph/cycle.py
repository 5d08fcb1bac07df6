"""The circle check: services and actions of a stack never call each other in a circle.

One that waits for itself never answers. Topics and bindings do not count (docs/reference/manifest.md, Against the
stack and caches).
"""

from collections.abc import Iterator, Mapping

from peppy.errors import Problem
from peppy.model.names import Reference
from peppy.model.node import NodeManifest, SlotKind


def call_circle(candidate: NodeManifest, stack: Mapping[Reference, NodeManifest]) -> Problem | None:
    """`ServiceActionInterfaceCycle` when `candidate` closes a circle in `stack`."""
    joined = {**stack, candidate.reference: candidate}
    path = _way_back(candidate.reference, joined)
    if path is None:
        return None
    callee, closing = path[0], path[-1]
    link_id = next(link_id for link_id, called in _calls(joined[closing], joined) if called == callee)
    drawn = " -> ".join(str(reference) for reference in (*path, callee))
    return Problem(
        "ServiceActionInterfaceCycle",
        f"services and actions call each other in a circle: `{drawn}`, closed by slot `{link_id}` of `{closing}`",
        hint="let one of them read a topic instead",
    )


def _way_back(start: Reference, stack: Mapping[Reference, NodeManifest]) -> list[Reference] | None:
    """The nodes of a shortest circle through `start`, from `start` on; breadth first."""
    came_from: dict[Reference, Reference] = {}
    front = [start]
    while front:
        following: list[Reference] = []
        for caller in front:
            for _, callee in _calls(stack[caller], stack):
                if callee == start:
                    return _traced(caller, start, came_from)
                if callee not in came_from:
                    came_from[callee] = caller
                    following.append(callee)
        front = following
    return None


def _traced(last: Reference, start: Reference, came_from: Mapping[Reference, Reference]) -> list[Reference]:
    path = [last]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return path[::-1]


def _calls(node: NodeManifest, stack: Mapping[Reference, NodeManifest]) -> Iterator[tuple[str, Reference]]:
    """Slots whose services or actions the node uses, with every node of the stack that may answer there."""
    used = dict.fromkeys(member.link_id for member in (*node.consumed_services, *node.consumed_actions))
    for link_id in used:
        slot = node.slot(link_id)
        if slot.kind is SlotKind.NODE:
            if slot.provider in stack:
                yield link_id, slot.provider
            continue
        for other in stack.values():
            if any(claim.interface == slot.provider for claim in other.conforms_to):
                yield link_id, other.reference
