"""Which members a generated package gets, and why it cannot be generated (docs/reference/manifest.md, 8.3)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from peppy.errors import InvalidInput, Problem
from peppy.gen.names import consumed_module, inherited_packages, module_names, own_module
from peppy.model.interface import Interface
from peppy.model.names import Reference
from peppy.model.node import Action, Consumed, NodeManifest, Service, Slot, SlotKind, Surface, Topic

Member = TypeVar("Member", Topic, Service, Action)

Providers = Mapping[Reference, NodeManifest]
Interfaces = Mapping[Reference, Interface]


@dataclass(frozen=True, slots=True)
class OwnMember(Generic[Member]):
    """A topic, service or action of the node, and the module it gets.

    One that the node inherits has the `interface` that it comes from, and a module in packages of its own:
    `<interface>/<tag>/<name>`.
    """

    module: str
    member: Member
    interface: Reference | None = None


@dataclass(frozen=True, slots=True)
class ConsumedMember(Generic[Member]):
    """What the node uses through `slot`, the module it gets, and the member as the provider declares it."""

    module: str
    slot: Slot
    member: Member


@dataclass(frozen=True, slots=True)
class Members:
    """Everything a generated package holds."""

    emitted_topics: tuple[OwnMember[Topic], ...]
    consumed_topics: tuple[ConsumedMember[Topic], ...]
    exposed_services: tuple[OwnMember[Service], ...]
    consumed_services: tuple[ConsumedMember[Service], ...]
    exposed_actions: tuple[OwnMember[Action], ...]
    consumed_actions: tuple[ConsumedMember[Action], ...]


def members_of(manifest: NodeManifest, providers: Providers, interfaces: Interfaces) -> Members:
    """The members with their modules; `providers` are the manifests behind node slots, `interfaces` the documents of
    interface slots and claims.

    InvalidInput with all of DependencyMissing, DependencyNotExposed and InterfaceNotCached.
    """
    problems = [
        *_unresolved(manifest, providers, interfaces),
        *_not_exposed(manifest, providers, interfaces),
    ]
    if problems:
        raise InvalidInput(problems)
    return Members(
        _own(manifest, manifest.emitted_topics, interfaces, lambda interface: interface.topics),
        _consumed(
            manifest,
            manifest.consumed_topics,
            providers,
            interfaces,
            lambda node: node.emitted_topics,
            lambda interface: interface.topics,
        ),
        _own(manifest, manifest.exposed_services, interfaces, lambda interface: interface.services),
        _consumed(
            manifest,
            manifest.consumed_services,
            providers,
            interfaces,
            lambda node: node.exposed_services,
            lambda interface: interface.services,
        ),
        _own(manifest, manifest.exposed_actions, interfaces, lambda interface: interface.actions),
        _consumed(
            manifest,
            manifest.consumed_actions,
            providers,
            interfaces,
            lambda node: node.exposed_actions,
            lambda interface: interface.actions,
        ),
    )


def _own(
    manifest: NodeManifest,
    native: Sequence[Member],
    interfaces: Interfaces,
    inherited: Callable[[Interface], Sequence[Member]],
) -> tuple[OwnMember[Member], ...]:
    """Native members, then those of each claimed interface, in document order."""
    claims = [claim.interface for claim in manifest.conforms_to if inherited(interfaces[claim.interface])]
    modules = module_names(own_module(member.name) for member in native)
    found = [OwnMember(*pair) for pair in zip(modules, native, strict=True)]
    for interface, package in inherited_packages(claims, modules).items():
        members = inherited(interfaces[interface])
        inside = module_names(own_module(member.name) for member in members)
        for name, member in zip(inside, members, strict=True):
            found.append(OwnMember(f"{package}/{name}", member, interface))
    return tuple(found)


def _consumed(
    manifest: NodeManifest,
    wanted: Sequence[Consumed],
    providers: Providers,
    interfaces: Interfaces,
    native: Callable[[NodeManifest], Sequence[Member]],
    inherited: Callable[[Interface], Sequence[Member]],
) -> tuple[ConsumedMember[Member], ...]:
    modules = module_names(consumed_module(consumed) for consumed in wanted)
    found: list[ConsumedMember[Member]] = []
    for module, consumed in zip(modules, wanted, strict=True):
        slot = manifest.slot(consumed.link_id)
        is_node = slot.kind is SlotKind.NODE
        offered = native(providers[slot.provider]) if is_node else inherited(interfaces[slot.provider])
        member = next(member for member in offered if member.name == consumed.name)
        found.append(ConsumedMember(module, slot, member))
    return tuple(found)


def _offered(
    slot: Slot, surface: Surface, providers: Providers, interfaces: Interfaces
) -> Sequence[Topic | Service | Action] | None:
    """What the slot reaches: native members of a node, or those of an interface; None for one that is not known."""
    if slot.kind is SlotKind.INTERFACE:
        interface = interfaces.get(slot.provider)
        return None if interface is None else interface.members(surface)
    provider = providers.get(slot.provider)
    return None if provider is None else provider.offered(surface)


# --- refusals ----------------------------------------------------------------------------------------------------


def _unresolved(manifest: NodeManifest, providers: Providers, interfaces: Interfaces) -> Iterator[Problem]:
    for slot in manifest.slots:
        if slot.kind is SlotKind.INTERFACE:
            if slot.provider not in interfaces:
                yield _not_cached(slot.provider, f"slot `{slot.link_id}`", "manifest.depends_on.interfaces")
        elif slot.provider not in providers:
            text = f"`{manifest.reference}` depends on `{slot.provider}`, which does not exist in the stack"
            hint = f"add it first: `peppy node add` in the directory of `{slot.provider}`"
            yield Problem("DependencyMissing", text, path="manifest.depends_on.nodes", hint=hint)
    for claim in manifest.conforms_to:
        if claim.interface not in interfaces:
            yield _not_cached(claim.interface, "`conforms_to`", "interfaces.conforms_to")


def _not_cached(interface: Reference, place: str, path: str) -> Problem:
    text = f"the interface `{interface}` of {place} is not in the cache"
    return Problem("InterfaceNotCached", text, path=path, hint="peppy repo refresh")


def _not_exposed(manifest: NodeManifest, providers: Providers, interfaces: Interfaces) -> Iterator[Problem]:
    for surface in Surface:
        for index, consumed in enumerate(manifest.consumed(surface)):
            slot = manifest.slot(consumed.link_id)
            offered = _offered(slot, surface, providers, interfaces)
            if offered is None:
                continue
            path = f"interfaces.{surface}s.consumes[{index}]"
            names = [member.name for member in offered]
            if consumed.name not in names:
                text = f"{surface} `{consumed.name}` of `{slot.provider}` (slot `{slot.link_id}`) is not exposed"
                listed = ", ".join(f"`{name}`" for name in names) or "none"
                hint = f"{surface}s of `{slot.provider}`: {listed}"
                yield Problem("DependencyNotExposed", text, path=path, hint=hint)
