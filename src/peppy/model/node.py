"""A node manifest that is valid (docs/reference/manifest.md, Node manifest)."""

from dataclasses import dataclass, field
from enum import StrEnum

from peppy.model.names import Reference
from peppy.model.parameters import Group
from peppy.model.qos import QoSProfile
from peppy.model.types import MessageFormat


class Language(StrEnum):
    PYTHON = "python"
    RUST = "rust"
    OTHER = "other"


class Surface(StrEnum):
    """The three ways in which nodes talk."""

    TOPIC = "topic"
    SERVICE = "service"
    ACTION = "action"


class SlotKind(StrEnum):
    NODE = "node"
    INTERFACE = "interface"


@dataclass(frozen=True, slots=True)
class Slot:
    """One dependency: a node or an interface, called by its `link_id`."""

    kind: SlotKind
    link_id: str
    provider: Reference
    from_any: bool = False
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    qos: QoSProfile
    message_format: MessageFormat | None


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    request: MessageFormat | None
    response: MessageFormat | None


@dataclass(frozen=True, slots=True)
class Feedback:
    qos: QoSProfile
    message_format: MessageFormat


@dataclass(frozen=True, slots=True)
class Action:
    """An action; the two declared formats that have no effect are kept for the warning at sync."""

    name: str
    goal: MessageFormat | None
    feedback: Feedback | None
    result: MessageFormat | None
    unused_goal_response: MessageFormat | None = None
    unused_result_request: MessageFormat | None = None


@dataclass(frozen=True, slots=True)
class Consumed:
    """A consumed member: the slot it comes through and its name at the provider."""

    link_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Conformance:
    """An interface that the node provides in full."""

    interface: Reference
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Container:
    def_file: str
    mount_paths: tuple[str, ...] = ()
    apptainer_build_extra_args: tuple[str, ...] = ()
    apptainer_run_extra_args: tuple[str, ...] = ()
    lima_shell_extra_args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Execution:
    """How a node is built and run: exactly one of `run_cmd` and `container` is set."""

    language: Language
    parameters: Group = field(default_factory=lambda: Group(()))
    build_cmd: tuple[str, ...] | None = None
    run_cmd: tuple[str, ...] | None = None
    container: Container | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    name: str
    local: str


@dataclass(frozen=True, slots=True)
class NodeManifest:
    """A whole `peppy.json5`. `execution` is None only when a variant called `default` has it."""

    reference: Reference
    execution: Execution | None
    labels: tuple[str, ...] = ()
    slots: tuple[Slot, ...] = ()
    emitted_topics: tuple[Topic, ...] = ()
    exposed_services: tuple[Service, ...] = ()
    exposed_actions: tuple[Action, ...] = ()
    consumed_topics: tuple[Consumed, ...] = ()
    consumed_services: tuple[Consumed, ...] = ()
    consumed_actions: tuple[Consumed, ...] = ()
    conforms_to: tuple[Conformance, ...] = ()
    variants: tuple[Variant, ...] = ()

    def slot(self, link_id: str) -> Slot:
        """The slot of that `link_id`; KeyError when it is not declared."""
        for slot in self.slots:
            if slot.link_id == link_id:
                return slot
        raise KeyError(link_id)

    def emitted(self, name: str) -> Topic | None:
        """The native topic of that name."""
        return next((topic for topic in self.emitted_topics if topic.name == name), None)

    def offered(self, surface: Surface) -> tuple[Topic | Service | Action, ...]:
        """The native members of one kind, which others reach through a node slot."""
        match surface:
            case Surface.TOPIC:
                return self.emitted_topics
            case Surface.SERVICE:
                return self.exposed_services
            case Surface.ACTION:
                return self.exposed_actions

    def consumed(self, surface: Surface) -> tuple[Consumed, ...]:
        """What the node uses of others, of one kind."""
        match surface:
            case Surface.TOPIC:
                return self.consumed_topics
            case Surface.SERVICE:
                return self.consumed_services
            case Surface.ACTION:
                return self.consumed_actions
