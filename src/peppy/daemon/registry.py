"""The node stack: the single owner of nodes and instances (docs/reference/daemon.md, Stages and states).

Everything here happens on the daemon's event loop and does no I/O; `StateKeeper` writes what it says to the disk.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from peppy.daemon.standalone import StandaloneProgram
from peppy.errors import PeppyError
from peppy.graph.bindings import Producer, direct, passes
from peppy.manifest.interface import InterfaceDocument
from peppy.model.interface import Interface
from peppy.model.lifecycle import ENDED, LIVE, Stage, State, checked_stage, checked_state
from peppy.model.names import Reference
from peppy.model.node import Language, NodeManifest, Slot
from peppy.model.text import nearest
from peppy.process.records import Pids
from peppy.protocol.answers import Exit, SlotBinding

KEPT_RECORDS = 10
"""Records of ended instances that a node keeps when it is run again."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a build has made, and the runtime it was built with."""

    digest: str
    runtime_version: str
    runtime_hash: str


@dataclass(eq=False, slots=True)
class Node:
    """One node of the stack. `artifact` is there when the stage is Ready, or Building over an older artifact.

    `interfaces` are the documents that it was added with, of interface slots and claims: what the cache holds later
    does not change a node. `staged` is the name of its snapshot as long as that is not in its place.
    """

    reference: Reference
    manifest: NodeManifest
    variant: str
    stage: Stage
    source: str
    config_sha256: str
    generation: int = 0
    artifact: Artifact | None = None
    add_log: str | None = None
    build_log: str | None = None
    interfaces: Mapping[Reference, InterfaceDocument] = field(default_factory=dict[Reference, InterfaceDocument])
    staged: str | None = None

    def inherited(self) -> Iterator[Interface]:
        """The interfaces that it claims, in the order of its manifest."""
        for claim in self.manifest.conforms_to:
            if (document := self.interfaces.get(claim.interface)) is not None:
                yield document.interface


@dataclass(eq=False, slots=True)
class Instance:
    """One instance of a node. `exit` is there when it has ended; `healthy` means something while it is running.

    `order` counts starts: a higher one was started later. `started_at` is in seconds since the epoch.
    """

    instance_id: str
    reference: Reference
    language: Language
    order: int
    started_at: float
    log: str
    arguments: dict[str, object] = field(default_factory=dict[str, object])
    slot_bindings: dict[str, SlotBinding] = field(default_factory=dict[str, SlotBinding])
    variables: tuple[str, ...] = ()
    state: State = State.STARTING
    pids: Pids | None = None
    exit: Exit | None = None
    healthy: bool = False

    @property
    def live(self) -> bool:
        """Whether it is `starting`, `running` or `stopping`."""
        return self.state in LIVE

    @property
    def must_connect(self) -> bool:
        """Whether it is up only once its runtime has connected: nodes with a generated library."""
        return self.language is Language.PYTHON


class Registry:
    """Nodes by reference, instances and connected standalone programs by id, and the core node's name.

    No two of them have the same id, but for ended instances, whose ids are free.
    """

    def __init__(self, core_node_name: str) -> None:
        self.core_node_name = core_node_name
        self.nodes: dict[Reference, Node] = {}
        self.instances: dict[str, Instance] = {}
        self.programs: dict[str, StandaloneProgram] = {}
        self._generation = 0
        self._order = 0

    # --- looking up --------------------------------------------------------------------------------------------------

    def node(self, reference: Reference) -> Node:
        """The node, or `NotFound` with the nearest one."""
        if (found := self.nodes.get(reference)) is not None:
            return found
        close = nearest(str(reference), map(str, self.nodes))
        guess = f", nearest is `{close}`" if close else ""
        raise PeppyError(
            f"`{reference}` is not in the node stack{guess}", kind="NotFound", hint="add it with `peppy node add`"
        )

    def instance(self, instance_id: str) -> Instance:
        """The instance, or `NotFound` with the nearest one; `Refused` for a standalone program."""
        if (found := self.instances.get(instance_id)) is not None:
            return found
        if (program := self.programs.get(instance_id)) is not None:
            raise PeppyError(
                f"`{instance_id}` is a standalone program (pid {program.pid}), which the daemon did not start",
                kind="Refused",
                hint="look after it where it was started",
            )
        close = nearest(instance_id, self.instances)
        guess = f", nearest is `{close}`" if close else ""
        raise PeppyError(
            f"there is no instance `{instance_id}`{guess}", kind="NotFound", hint="list them with `peppy stack list`"
        )

    def is_core(self, reference: Reference) -> bool:
        """Whether this names the core node, which cannot be worked on."""
        return reference.name == self.core_node_name

    def instances_of(self, reference: Reference) -> list[Instance]:
        """All instances of a node that are tracked, in the order of their starts."""
        found = (instance for instance in self.instances.values() if instance.reference == reference)
        return sorted(found, key=lambda instance: instance.order)

    def live_instances(self, reference: Reference | None = None) -> list[Instance]:
        """The live instances of one node or of all, in the order of their starts."""
        found = [instance for instance in self.instances.values() if instance.live]
        return sorted(
            (instance for instance in found if reference in (None, instance.reference)),
            key=lambda instance: instance.order,
        )

    def taken_ids(self) -> frozenset[str]:
        """Ids that no new instance may have: those of live instances, of connected programs and the core node's."""
        live = (instance.instance_id for instance in self.live_instances())
        return frozenset({self.core_node_name, *live, *self.programs})

    def holder(self, instance_id: str) -> str | None:
        """Who has an id, in words; None when it is free."""
        if instance_id not in self.taken_ids():
            return None
        if (program := self.programs.get(instance_id)) is not None:
            return f"a standalone program of `{program.reference}`"
        instance = self.instances.get(instance_id)
        return f"an instance of `{instance.reference}`" if instance is not None else "the core node"

    def manifests(self) -> dict[Reference, NodeManifest]:
        """What the graph knows of the stack."""
        return {reference: node.manifest for reference, node in self.nodes.items()}

    def interfaces(self) -> dict[Reference, InterfaceDocument]:
        """The interface documents that nodes of the stack were added with; of several one counts."""
        return {reference: found for node in self.nodes.values() for reference, found in node.interfaces.items()}

    def filter_of(self, instance_id: str) -> tuple[tuple[Slot, ...], dict[str, SlotBinding]]:
        """The slots of an instance and what they are bound to; nothing for one that is gone.

        The slots of a standalone program are bound to nobody.
        """
        if (program := self.programs.get(instance_id)) is not None:
            return program.slots, {}
        instance = self.instances.get(instance_id)
        node = self.nodes.get(instance.reference) if instance else None
        if instance is None or node is None:
            return (), {}
        return node.manifest.slots, instance.slot_bindings

    def passes(self, consumer_id: str, link_id: str, producer_id: str, producer: Reference) -> bool:
        """Whether a slot of a consumer reads from a producer (docs/reference/bindings.md, Run-time filter)."""
        slots, slot_bindings = self.filter_of(consumer_id)
        claims = self.claims_of(producer_id, producer)
        return passes(link_id, consumer_id, slots, slot_bindings, Producer(producer_id, producer, claims))

    def direct(self, consumer_id: str, link_id: str) -> str | None:
        """The one instance that a slot of a consumer calls without discovery; None where it has to be discovered."""
        slots, slot_bindings = self.filter_of(consumer_id)
        return direct(link_id, slots, slot_bindings)

    def claims_of(self, instance_id: str, reference: Reference) -> tuple[Reference, ...]:
        """The interfaces that an instance of this node claims; a standalone program has its own."""
        if (program := self.programs.get(instance_id)) is not None:
            return program.conforms_to
        node = self.nodes.get(reference)
        return tuple(claim.interface for claim in node.manifest.conforms_to) if node else ()

    # --- nodes -------------------------------------------------------------------------------------------------------

    def put_node(self, node: Node) -> Node:
        """Adds a node, or puts it in the place of the one with its reference."""
        self._generation += 1
        node.generation = self._generation
        self.nodes[node.reference] = node
        return node

    def restore_node(self, node: Node) -> None:
        """Takes over a node of the state file with its generation."""
        self._generation = max(self._generation, node.generation)
        self.nodes[node.reference] = node

    @staticmethod
    def set_stage(node: Node, stage: Stage) -> None:
        """Moves a node to another stage."""
        node.stage = checked_stage(node.stage, stage)

    def drop_node(self, reference: Reference) -> None:
        """Forgets a node and its instances."""
        self.nodes.pop(reference, None)
        for instance in self.instances_of(reference):
            del self.instances[instance.instance_id]

    # --- instances ---------------------------------------------------------------------------------------------------

    def next_order(self) -> int:
        """The number of the next start."""
        self._order += 1
        return self._order

    def put_instance(self, instance: Instance) -> None:
        """Adds an instance, in the place of an ended record of the same id."""
        self._order = max(self._order, instance.order)
        self.instances[instance.instance_id] = instance

    @staticmethod
    def set_state(instance: Instance, state: State, ended: Exit | None = None) -> None:
        """Moves an instance to another state; `ended` says how, when that is an end."""
        instance.state = checked_state(instance.state, state)
        instance.exit = ended
        if state is not State.RUNNING:
            instance.healthy = False

    def surplus(self, reference: Reference) -> list[Instance]:
        """Records of ended instances that go when the node is run again: all but the newest."""
        ended = [instance for instance in self.instances_of(reference) if instance.state in ENDED]
        return ended[:-KEPT_RECORDS]

    def ended_instances(self, references: Iterable[Reference] | None = None) -> Iterator[Instance]:
        """The records that `node prune` drops."""
        wanted = None if references is None else set(references)
        for instance in sorted(self.instances.values(), key=lambda instance: instance.order):
            if instance.state in ENDED and (wanted is None or instance.reference in wanted):
                yield instance

    def drop_instance(self, instance: Instance) -> None:
        """Forgets an instance."""
        if self.instances.get(instance.instance_id) is instance:
            del self.instances[instance.instance_id]

    def counts(self) -> dict[State, int]:
        """How many instances are in each state."""
        counts = dict.fromkeys(State, 0)
        for instance in self.instances.values():
            counts[instance.state] += 1
        return counts
