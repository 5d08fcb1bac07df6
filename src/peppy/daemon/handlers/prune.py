"""`peppy node prune`: records of ended instances and their directories go."""

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.daemon.references import known_node
from peppy.protocol.answers import Pruned
from peppy.protocol.frames import NodePrune


async def handle(core: Core, request: NodePrune, _operation: Operation) -> Pruned:
    """Of one node, or of all."""
    references = None if request.node is None else [known_node(core.registry, request.node).reference]
    ended = list(core.registry.ended_instances(references))
    await core.drop_records(ended)
    return Pruned(tuple(instance.instance_id for instance in ended))
