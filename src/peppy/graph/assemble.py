"""What a node needs of the stack that it joins, and what others need of it.

Rules and error names: docs/reference/manifest.md, Against the stack and caches.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from peppy.errors import Problem
from peppy.graph.cycle import call_circle
from peppy.model.interface import CachedInterface, Interface
from peppy.model.names import Reference
from peppy.model.node import Action, Consumed, NodeManifest, Service, Slot, SlotKind, Surface, Topic

Stack = Mapping[Reference, NodeManifest]
Interfaces = Mapping[Reference, CachedInterface]


@dataclass(frozen=True, slots=True)
class Edge:
    """`source` depends on `target`, directly or because `target` claims `via_interface`."""

    source: Reference
    target: Reference
    via_interface: Reference | None = None
    missing: bool = False


def check_add(candidate: NodeManifest, stack: Stack, interfaces: Interfaces | None = None) -> list[Problem]:
    """Everything that keeps `candidate` out of `stack`, which may hold an older version of it.

    `interfaces` is what the cache has of the interfaces that it names, and those that nodes of the stack claim. Kinds:
    `PathKeyCollision`, `DependencyMissing`, `InterfaceNotCached`, `InterfaceDigest`, the errors of a broken interface
    document, `DependencyNotExposed`, `ServiceActionInterfaceCycle`.
    """
    cached = interfaces or {}
    problems = [
        *_path_key(candidate, stack),
        *_dependencies(candidate, stack),
        *_interfaces(candidate, cached),
        *_consumed_members(candidate, stack, cached),
    ]
    circle = call_circle(candidate, stack)
    return [*problems, circle] if circle else problems


def dependents(reference: Reference, stack: Stack) -> list[Reference]:
    """The other nodes that list `reference` in `depends_on.nodes`, by name:tag."""
    found = (node.reference for node in stack.values() if reference in _providers(node))
    return sorted((other for other in found if other != reference), key=str)


def edges(stack: Stack) -> list[Edge]:
    """Who depends on whom, by (source, target) as text; an interface slot gives one edge per conforming node."""
    found = {edge for node in stack.values() for slot in node.slots for edge in _edges_of(node, slot, stack)}
    return sorted(found, key=lambda edge: (str(edge.source), str(edge.target), str(edge.via_interface or "")))


def interfaces_unchanged(
    old: NodeManifest,
    new: NodeManifest,
    old_interfaces: Mapping[Reference, Interface] | None = None,
    new_interfaces: Mapping[Reference, Interface] | None = None,
) -> bool:
    """Whether nodes that were generated against `old` can talk with `new`: same members, formats and claims.

    The interfaces that each was resolved with count too, for what a node inherits belongs to it.
    """
    return _offered(old, old_interfaces or {}) == _offered(new, new_interfaces or {})


def _offered(node: NodeManifest, interfaces: Mapping[Reference, Interface]) -> tuple[object, ...]:
    """Members by name (their order does not matter, that of fields in a format does) and claimed interfaces."""
    native = (_by_name(node.offered(surface)) for surface in Surface)
    claims = {
        claim.interface: [_by_name(interfaces[claim.interface].members(surface)) for surface in Surface]
        if claim.interface in interfaces
        else []
        for claim in node.conforms_to
    }
    pins = {(claim.interface, claim.sha256) for claim in node.conforms_to}
    return (*native, claims, pins)


def _by_name(members: Sequence[Topic | Service | Action]) -> dict[str, object]:
    return {member.name: member for member in members}


def _providers(node: NodeManifest) -> set[Reference]:
    return {slot.provider for slot in node.slots if slot.kind is SlotKind.NODE}


def _edges_of(node: NodeManifest, slot: Slot, stack: Stack) -> Iterator[Edge]:
    if slot.kind is SlotKind.NODE:
        yield Edge(node.reference, slot.provider, None, slot.provider not in stack)
        return
    for other in stack.values():
        if any(claim.interface == slot.provider for claim in other.conforms_to):
            yield Edge(node.reference, other.reference, slot.provider)


# --- checks ---------------------------------------------------------------------------------------------------------


def _path_key(candidate: NodeManifest, stack: Stack) -> Iterator[Problem]:
    mine = candidate.reference
    for other in stack:
        if other != mine and other.path_key == mine.path_key:
            yield Problem(
                "PathKeyCollision",
                f"`{mine}` and `{other}` of the stack would both use the path `{mine.path_key}`",
                hint="choose another name or tag",
            )


def _dependencies(candidate: NodeManifest, stack: Stack) -> Iterator[Problem]:
    for slot, path in _slots_with_paths(candidate):
        if slot.kind is SlotKind.NODE and slot.provider not in stack:
            yield Problem(
                "DependencyMissing",
                f"`{candidate.reference}` depends on `{slot.provider}`, which does not exist in the stack",
                path=path,
                hint=f"add `{slot.provider}` first: run peppy node add <its directory>",
            )


def _interfaces(candidate: NodeManifest, interfaces: Interfaces) -> Iterator[Problem]:
    """Every interface that the candidate names must be cached, in order, and the one that its pin asks for."""
    told: set[Reference] = set()
    for reference, sha256, path in _named_interfaces(candidate):
        cached = interfaces.get(reference)
        if cached is None:
            yield Problem(
                "InterfaceNotCached",
                f"interface `{reference}` is not in the interface cache",
                path=path,
                hint="run `peppy repo refresh`; `peppy repo add` adds the directory that holds its document",
            )
        elif cached.problems:
            if reference not in told:
                yield from cached.problems
            told.add(reference)
        elif sha256 is not None and sha256 != cached.sha256:
            yield Problem(
                "InterfaceDigest",
                f"interface `{reference}` is expected with the digest `{sha256}`, the cached one has `{cached.sha256}`",
                path=f"{path}.sha256",
                hint="correct `sha256`, or add the repository that has this version of the interface",
            )


def _named_interfaces(candidate: NodeManifest) -> Iterator[tuple[Reference, str | None, str]]:
    """Interface, pin and place of every interface slot and claim."""
    for slot, path in _slots_with_paths(candidate):
        if slot.kind is SlotKind.INTERFACE:
            yield slot.provider, slot.sha256, path
    for number, claim in enumerate(candidate.conforms_to):
        yield claim.interface, claim.sha256, f"interfaces.conforms_to[{number}]"


def _slots_with_paths(candidate: NodeManifest) -> Iterator[tuple[Slot, str]]:
    counts = dict.fromkeys(SlotKind, 0)
    for slot in candidate.slots:
        yield slot, f"manifest.depends_on.{slot.kind}s[{counts[slot.kind]}]"
        counts[slot.kind] += 1


def _consumed_members(candidate: NodeManifest, stack: Stack, interfaces: Interfaces) -> Iterator[Problem]:
    for surface in Surface:
        for number, member in enumerate(candidate.consumed(surface)):
            slot = candidate.slot(member.link_id)
            exposed = _exposed(slot, surface, stack, interfaces)
            if exposed is None or member.name in exposed:
                continue
            inherited = _inherited_from(member.name, surface, slot, stack, interfaces)
            yield _not_exposed(f"interfaces.{surface}s.consumes[{number}]", surface, member, slot, exposed, inherited)


def _exposed(slot: Slot, surface: Surface, stack: Stack, interfaces: Interfaces) -> list[str] | None:
    """Names that the slot reaches; None when its provider or document is missing, which is said elsewhere."""
    if slot.kind is SlotKind.INTERFACE:
        interface = _usable(slot.provider, interfaces)
        return None if interface is None else interface_members(interface, surface)
    provider = stack.get(slot.provider)
    return None if provider is None else [member.name for member in provider.offered(surface)]


def _usable(reference: Reference, interfaces: Interfaces) -> Interface | None:
    cached = interfaces.get(reference)
    return None if cached is None else cached.interface


def interface_members(interface: Interface, surface: Surface) -> list[str]:
    """Names of the interface's members of one kind, as its document lists them."""
    return [member.name for member in interface.members(surface)]


def _not_exposed(
    path: str, surface: Surface, member: Consumed, slot: Slot, exposed: list[str], inherited: Reference | None
) -> Problem:
    provider = f"interface `{slot.provider}`" if slot.kind is SlotKind.INTERFACE else f"`{slot.provider}`"
    text = f"{surface} `{member.name}` of {provider} is not exposed"
    if inherited is not None:
        text += f" by the node itself; it comes from interface `{inherited}`"
        return Problem("DependencyNotExposed", text, path=path, hint=f"depend on interface `{inherited}` instead")
    listed = ", ".join(f"`{name}`" for name in exposed) or "none"
    return Problem("DependencyNotExposed", text, path=path, hint=f"{surface}s of {provider}: {listed}")


def _inherited_from(name: str, surface: Surface, slot: Slot, stack: Stack, interfaces: Interfaces) -> Reference | None:
    """The interface through which the node that the slot names has this member, if it only inherits it."""
    if slot.kind is SlotKind.INTERFACE:
        return None
    for claim in stack[slot.provider].conforms_to:
        interface = _usable(claim.interface, interfaces)
        if interface is not None and name in interface_members(interface, surface):
            return claim.interface
    return None
