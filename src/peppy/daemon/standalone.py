"""Standalone programs: nodes that a person started (docs/reference/node_api.md, Standalone mode).

While one is connected it is an instance for bindings and for topics. What the daemon knows of a node from the stack the
program says itself, and nothing of it is written to the disk.
"""

from collections.abc import Container
from dataclasses import dataclass, field

from peppy.errors import PeppyError
from peppy.model.interface import split_key
from peppy.model.names import Reference, is_name, stable_hash
from peppy.model.node import Slot, SlotKind
from peppy.model.qos import QoSProfile
from peppy.model.text import quoted
from peppy.protocol.frames import Hello
from peppy.protocol.streams import StreamOpen

FIRST_ID = "standalone"
"""The instance id of a program that wants none; the next ones are `standalone-2`, `standalone-3` and so on."""


@dataclass(frozen=True, slots=True)
class OpenedTopic:
    """A topic that a program has opened; `format` is the canonical text of its format, None without payload."""

    name: str
    qos: QoSProfile
    schema_hash: int
    format: str | None


@dataclass(eq=False, slots=True)
class StandaloneProgram:
    """One connected program; `topics` are those that it has opened so far, by name."""

    instance_id: str
    reference: Reference
    pid: int
    conforms_to: tuple[Reference, ...]
    slots: tuple[Slot, ...]
    topics: dict[str, OpenedTopic] = field(default_factory=dict[str, OpenedTopic])


def free_id(taken: Container[str]) -> str:
    """The first instance id of a standalone program that nobody has."""
    number, instance_id = 1, FIRST_ID
    while instance_id in taken:
        number += 1
        instance_id = f"{FIRST_ID}-{number}"
    return instance_id


def introduced(hello: Hello, reference: Reference, instance_id: str, pid: int) -> StandaloneProgram:
    """The program as its hello describes it; PeppyError when the hello makes no sense."""
    claims = tuple(_claim(text) for text in hello.conforms_to)
    slots = tuple(_slot(*said) for said in hello.slots)
    if len({slot.link_id for slot in slots}) < len(slots):
        raise PeppyError("the hello of a standalone program names a slot twice", kind="ProtocolViolation")
    return StandaloneProgram(instance_id, reference, pid, claims, slots)


def _claim(text: str) -> Reference:
    if (interface := Reference.parse(text)) is None:
        raise PeppyError(f"{quoted(text)} is no interface", kind="ProtocolViolation")
    return interface


def _slot(link_id: str, kind: str, name: str, tag: str, from_any: bool) -> Slot:
    provider = Reference.parse(f"{name}:{tag}")
    if provider is None or not is_name(link_id) or kind not in tuple(SlotKind):
        raise PeppyError(f"{quoted([link_id, kind, name, tag])} is no slot", kind="ProtocolViolation")
    return Slot(SlotKind(kind), link_id, provider, from_any)


def opened_topic(frame: StreamOpen) -> OpenedTopic:
    """The topic of a program's stream; PeppyError when its format is not the one that the stream was made of."""
    if (stable_hash(frame.format) if frame.format is not None else 0) != frame.schema_hash:
        raise PeppyError(f"{quoted(frame.topic)} was opened with another format", kind="ProtocolViolation")
    try:
        qos = QoSProfile(frame.qos)
    except ValueError:
        raise PeppyError(f"{quoted(frame.topic)} was opened without a profile", kind="ProtocolViolation") from None
    interface, name = split_key(frame.topic)
    if not is_name(name) or (interface is not None and Reference.parse(interface) is None):
        raise PeppyError(f"{quoted(frame.topic)} is no topic", kind="ProtocolViolation")
    return OpenedTopic(frame.topic, qos, frame.schema_hash, frame.format)
