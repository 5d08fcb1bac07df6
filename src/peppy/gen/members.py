"""Which members a generated package gets, and why it cannot be generated (docs/reference/manifest.md, 8.3)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from peppy.errors import InvalidInput, Problem
from peppy.gen.names import consumed_module, module_names, own_module
from peppy.model.names import Reference
from peppy.model.node import Action, Consumed, NodeManifest, Service, SlotKind, Surface, Topic
from peppy.model.qos import QoSProfile

PLANNED_PROFILES = frozenset({QoSProfile.Reliable, QoSProfile.Critical})


Member = TypeVar("Member", Topic, Service, Action)


@dataclass(frozen=True, slots=True)
class OwnMember(Generic[Member]):
    """A topic, service or action of the node, and the module it gets."""

    module: str
    member: Member


@dataclass(frozen=True, slots=True)
class ConsumedMember(Generic[Member]):
    """What the node uses of another one, the module it gets, and the member as the provider declares it."""

    module: str
    consumed: Consumed
    member: Member
    provider: Reference


@dataclass(frozen=True, slots=True)
class Members:
    """Everything a generated package holds."""

    emitted_topics: tuple[OwnMember[Topic], ...]
    consumed_topics: tuple[ConsumedMember[Topic], ...]
    exposed_services: tuple[OwnMember[Service], ...]
    consumed_services: tuple[ConsumedMember[Service], ...]
    exposed_actions: tuple[OwnMember[Action], ...]
    consumed_actions: tuple[ConsumedMember[Action], ...]


def members_of(manifest: NodeManifest, providers: Mapping[Reference, NodeManifest]) -> Members:
    """The members with their modules; `providers` are the manifests behind node slots.

    InvalidInput with all of DependencyMissing, DependencyNotExposed, InterfaceNotCached and NotSupported.
    """
    problems = [
        *_unsupported(manifest),
        *_unresolved(manifest, providers),
        *_not_exposed(manifest, providers),
        *_waiting_profiles(manifest, providers),
    ]
    if problems:
        raise InvalidInput(problems)
    return Members(
        _own(manifest.emitted_topics),
        _consumed(manifest, manifest.consumed_topics, providers, lambda provider: provider.emitted_topics),
        _own(manifest.exposed_services),
        _consumed(manifest, manifest.consumed_services, providers, lambda provider: provider.exposed_services),
        _own(manifest.exposed_actions),
        _consumed(manifest, manifest.consumed_actions, providers, lambda provider: provider.exposed_actions),
    )


def _own(members: Sequence[Member]) -> tuple[OwnMember[Member], ...]:
    modules = module_names(own_module(member.name) for member in members)
    return tuple(OwnMember(*pair) for pair in zip(modules, members, strict=True))


def _consumed(
    manifest: NodeManifest,
    wanted: Sequence[Consumed],
    providers: Mapping[Reference, NodeManifest],
    offered: Callable[[NodeManifest], Sequence[Member]],
) -> tuple[ConsumedMember[Member], ...]:
    modules = module_names(consumed_module(consumed) for consumed in wanted)
    found: list[ConsumedMember[Member]] = []
    for module, consumed in zip(modules, wanted, strict=True):
        provider = manifest.slot(consumed.link_id).provider
        member = next(member for member in offered(providers[provider]) if member.name == consumed.name)
        found.append(ConsumedMember(module, consumed, member, provider))
    return tuple(found)


# --- refusals ----------------------------------------------------------------------------------------------------


def _unsupported(manifest: NodeManifest) -> Iterator[Problem]:
    for index, topic in enumerate(manifest.emitted_topics):
        if topic.qos in PLANNED_PROFILES:
            text = f"topic `{topic.name}` with the profile `{topic.qos.word}`: not supported yet"
            path = f"interfaces.topics.emits[{index}].qos_profile"
            yield Problem("NotSupported", text, path=path, hint="use `standard` or `sensor_data`")


def _unresolved(manifest: NodeManifest, providers: Mapping[Reference, NodeManifest]) -> Iterator[Problem]:
    for slot in manifest.slots:
        if slot.kind is SlotKind.INTERFACE:
            yield _not_cached(slot.provider, f"slot `{slot.link_id}`", "manifest.depends_on.interfaces")
        elif slot.provider not in providers:
            text = f"`{manifest.reference}` depends on `{slot.provider}`, which does not exist in the stack"
            hint = f"add it first: `peppy node add` in the directory of `{slot.provider}`"
            yield Problem("DependencyMissing", text, path="manifest.depends_on.nodes", hint=hint)
    for claim in manifest.conforms_to:
        yield _not_cached(claim.interface, "`conforms_to`", "interfaces.conforms_to")


def _not_cached(interface: Reference, place: str, path: str) -> Problem:
    text = f"the interface `{interface}` of {place} is not in the cache"
    return Problem("InterfaceNotCached", text, path=path, hint="peppy repo refresh")


def _not_exposed(manifest: NodeManifest, providers: Mapping[Reference, NodeManifest]) -> Iterator[Problem]:
    for surface in Surface:
        for index, consumed in enumerate(manifest.consumed(surface)):
            slot = manifest.slot(consumed.link_id)
            provider = providers.get(slot.provider)
            if slot.kind is SlotKind.INTERFACE or provider is None:
                continue
            path = f"interfaces.{surface}s.consumes[{index}]"
            names = [member.name for member in provider.offered(surface)]
            if consumed.name not in names:
                text = f"{surface} `{consumed.name}` of `{slot.provider}` (slot `{slot.link_id}`) is not exposed"
                listed = ", ".join(f"`{name}`" for name in names) or "none"
                hint = f"{surface}s of `{slot.provider}`: {listed}"
                yield Problem("DependencyNotExposed", text, path=path, hint=hint)


def _waiting_profiles(manifest: NodeManifest, providers: Mapping[Reference, NodeManifest]) -> Iterator[Problem]:
    for index, consumed in enumerate(manifest.consumed_topics):
        slot = manifest.slot(consumed.link_id)
        provider = providers.get(slot.provider)
        topic = provider.emitted(consumed.name) if provider is not None and slot.kind is SlotKind.NODE else None
        if topic is not None and topic.qos in PLANNED_PROFILES:
            path = f"interfaces.topics.consumes[{index}]"
            text = f"topic `{topic.name}` of `{slot.provider}` has the profile `{topic.qos.word}`: not supported yet"
            yield Problem("NotSupported", text, path=path, hint="use `standard` or `sensor_data` there")
