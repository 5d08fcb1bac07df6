"""The parts of a daemon, one of each, as handlers see them."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from peppy.daemon.config import Configuration
from peppy.daemon.files import remove_instance, remove_node
from peppy.daemon.gate import Gate
from peppy.daemon.operation import in_thread
from peppy.daemon.registry import Artifact, Instance, Node, Registry
from peppy.daemon.supervise import Supervisor
from peppy.daemon.topics import TopicBroker
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
    started: float
    open_files: int
    save: Callable[[], Awaitable[None]]
    shut_down: Callable[[bool], Awaitable[int]]

    @property
    def idle_secs(self) -> float:
        """How long a long operation may print nothing."""
        return self.configuration.seconds("operations.idle_timeout_secs")

    async def drop_records(self, instances: Iterable[Instance]) -> None:
        """Forgets ended instances and deletes their directories; their logs stay."""
        dropped = list(instances)
        for instance in dropped:
            await self.supervisor.settled(instance.instance_id)
            await in_thread(remove_instance, self.root, instance.instance_id)
            self.registry.drop_instance(instance)
        if dropped:
            await self.save()

    async def drop_node(self, node: Node) -> None:
        """Forgets a node without live instances and deletes what it has on the disk; its logs stay."""
        await self.drop_records(self.registry.instances_of(node.reference))
        self.registry.drop_node(node.reference)
        await self.save()
        await in_thread(remove_node, self.root, node.reference)
        if node.artifact is not None:
            await self.drop_extracted(node.artifact)

    async def drop_extracted(self, artifact: Artifact) -> None:
        """Deletes the extracted tree of an artifact that no node has any more."""
        used = (node.artifact for node in self.registry.nodes.values())
        if all(other is None or other.digest != artifact.digest for other in used):
            await in_thread(remove_extracted, self.root, artifact.digest)
