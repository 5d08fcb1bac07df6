"""The parts of a daemon, one of each, as handlers see them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from peppy.daemon.config import Configuration
from peppy.daemon.control_plane import ControlPlane
from peppy.daemon.files import remove_instance, remove_node
from peppy.daemon.gate import Gate
from peppy.daemon.operation import in_thread, to_the_end
from peppy.daemon.registry import Artifact, Instance, Node, Registry
from peppy.daemon.repositories import RepositoryKeeper
from peppy.daemon.supervise import Supervisor
from peppy.daemon.topics import TopicBroker
from peppy.errors import PeppyError
from peppy.faults import fault
from peppy.store.artifacts import remove_extracted
from peppy.store.root import DataRoot


@dataclass(eq=False, slots=True)
class Core:
    """`save` puts the stack's state on the disk; `shut_down(keep_instances)` ends everything but the process.

    `started` is monotonic seconds. `open_files` is the soft limit of open files that this process was started with.
    """

    root: DataRoot
    version: str
    configuration: Configuration
    registry: Registry
    gate: Gate
    supervisor: Supervisor
    broker: TopicBroker
    control: ControlPlane
    started: float
    open_files: int
    save: Callable[[], Awaitable[None]]
    shut_down: Callable[[bool], Awaitable[int]]
    removals: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, asyncio.Task[None]])
    repositories: RepositoryKeeper = field(init=False)

    def __post_init__(self) -> None:
        self.repositories = RepositoryKeeper(self.root)

    @property
    def idle_secs(self) -> float:
        """How long a long operation may print nothing."""
        return self.configuration.seconds("operations.idle_timeout_secs")

    async def drop_records(self, instances: Iterable[Instance]) -> None:
        """Forgets ended instances and deletes their directories; their logs stay."""
        changed = False
        for instance in list(instances):
            await self.supervisor.settled(instance.instance_id)
            if self.registry.instances.get(instance.instance_id) is instance:
                self.registry.drop_instance(instance)
                await self._remove_directories(instance.instance_id)
                changed = True
        if changed:
            await self.save()

    async def _remove_directories(self, instance_id: str) -> None:
        task = asyncio.create_task(in_thread(remove_instance, self.root, instance_id))
        self.removals[instance_id] = task
        try:
            await asyncio.shield(task)
        finally:
            if self.removals.get(instance_id) is task:
                del self.removals[instance_id]

    async def removed(self, instance_id: str) -> None:
        """Waits until nobody deletes directories of this id any more: a new instance may have them then."""
        if (task := self.removals.get(instance_id)) is not None:
            await asyncio.wait([task])

    async def drop_node(self, node: Node) -> None:
        """Forgets a node without live instances and deletes what it has on the disk; its logs stay."""
        await self.drop_records(self.registry.instances_of(node.reference))
        fault("remove.records_dropped")
        await to_the_end(self._drop_node(node))

    async def _drop_node(self, node: Node) -> None:
        self.registry.drop_node(node.reference)
        try:
            await self.save()
        except PeppyError:
            self.registry.restore_node(node)
            raise
        fault("remove.recorded")
        await in_thread(remove_node, self.root, node.reference)
        fault("remove.deleted")
        if node.artifact is not None:
            await self.drop_extracted(node.artifact)
        fault("remove.cleaned")

    async def drop_extracted(self, artifact: Artifact) -> None:
        """Deletes the extracted tree of an artifact that no node has any more."""
        used = (node.artifact for node in self.registry.nodes.values())
        if all(other is None or other.digest != artifact.digest for other in used):
            await in_thread(remove_extracted, self.root, artifact.digest)
