"""Which members a generated package gets, and why it cannot be generated (docs/reference/manifest.md, 8.3)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from peppy.errors import InvalidInput, Problem
from peppy.gen.names import consumed_module, module_names, own_module
from peppy.model.names import Reference
from peppy.model.node import Consumed, NodeManifest, Slot, SlotKind, Topic
from peppy.model.qos import QoSProfile

PLANNED_PROFILES = frozenset({QoSProfile.Reliable, QoSProfile.Critical})


@dataclass(frozen=True, slots=True)
class EmittedMember:
    """A topic of the node and the module it gets."""

    module: str
    topic: Topic


@dataclass(frozen=True, slots=True)
class ConsumedMember:
    """A topic that the node reads, the module it gets, and the topic as the provider declares it."""

    module: str
    consumed: Consumed
    topic: Topic
    provider: Reference


@dataclass(frozen=True, slots=True)
class Members:
    """Everything a generated package holds."""

    emitted_topics: tuple[EmittedMember, ...]
    consumed_topics: tuple[ConsumedMember, ...]


def members_of(manifest: NodeManifest, providers: Mapping[Reference, NodeManifest]) -> Members:
    """The members with their modules; `providers` are the manifests behind node slots.

    InvalidInput with all of DependencyMissing, DependencyNotExposed, InterfaceNotCached and NotSupported.
    """
    problems = [*_unsupported(manifest), *_unresolved(manifest, providers), *_not_exposed(manifest, providers)]
    if problems:
        raise InvalidInput(problems)
    return Members(_emitted(manifest), _consumed(manifest, providers))


def _emitted(manifest: NodeManifest) -> tuple[EmittedMember, ...]:
    modules = module_names(own_module(topic.name) for topic in manifest.emitted_topics)
    return tuple(EmittedMember(*pair) for pair in zip(modules, manifest.emitted_topics, strict=True))


def _consumed(manifest: NodeManifest, providers: Mapping[Reference, NodeManifest]) -> tuple[ConsumedMember, ...]:
    modules = module_names(consumed_module(consumed) for consumed in manifest.consumed_topics)
    found: list[ConsumedMember] = []
    for module, consumed in zip(modules, manifest.consumed_topics, strict=True):
        provider = manifest.slot(consumed.link_id).provider
        topic = providers[provider].emitted(consumed.name)
        assert topic is not None
        found.append(ConsumedMember(module, consumed, topic, provider))
    return tuple(found)


# --- refusals ----------------------------------------------------------------------------------------------------


def _unsupported(manifest: NodeManifest) -> Iterator[Problem]:
    for index, topic in enumerate(manifest.emitted_topics):
        if topic.qos in PLANNED_PROFILES:
            text = f"topic `{topic.name}` with the profile `{topic.qos.word}`: not supported yet"
            path = f"interfaces.topics.emits[{index}].qos_profile"
            yield Problem("NotSupported", text, path=path, hint="use `standard` or `sensor_data`")
    exposed = {"service": manifest.exposed_services, "action": manifest.exposed_actions}
    for kind, members in exposed.items():
        for index, member in enumerate(members):
            text = f"{kind} `{member.name}`: exposing {kind}s is not supported yet"
            yield Problem("NotSupported", text, path=f"interfaces.{kind}s.exposes[{index}]", hint="leave it out")
    consumed = {"service": manifest.consumed_services, "action": manifest.consumed_actions}
    for kind, members in consumed.items():
        for index, member in enumerate(members):
            text = f"{kind} `{member.name}` of slot `{member.link_id}`: consuming {kind}s is not supported yet"
            yield Problem("NotSupported", text, path=f"interfaces.{kind}s.consumes[{index}]", hint="leave it out")


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
    for index, consumed in enumerate(manifest.consumed_topics):
        slot = manifest.slot(consumed.link_id)
        provider = providers.get(slot.provider)
        if slot.kind is SlotKind.INTERFACE or provider is None:
            continue
        path = f"interfaces.topics.consumes[{index}]"
        topic = provider.emitted(consumed.name)
        if topic is None:
            yield _missing_member(consumed, slot, provider, path)
        elif topic.qos in PLANNED_PROFILES:
            text = f"topic `{topic.name}` of `{slot.provider}` has the profile `{topic.qos.word}`: not supported yet"
            yield Problem("NotSupported", text, path=path, hint="use `standard` or `sensor_data` there")


def _missing_member(consumed: Consumed, slot: Slot, provider: NodeManifest, path: str) -> Problem:
    text = f"topic `{consumed.name}` of `{slot.provider}` (slot `{slot.link_id}`) is not exposed"
    names = ", ".join(f"`{topic.name}`" for topic in provider.emitted_topics) or "none"
    return Problem("DependencyNotExposed", text, path=path, hint=f"topics of `{slot.provider}`: {names}")
