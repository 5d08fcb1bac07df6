"""`peppy service reset`: the stack is emptied, the core node stays."""

from peppy.daemon.core import Core
from peppy.daemon.gate import Hold
from peppy.daemon.operation import Operation
from peppy.errors import PeppyError
from peppy.protocol.answers import Reset
from peppy.protocol.frames import StackReset


async def handle(core: Core, request: StackReset, operation: Operation) -> Reset:
    """Refused while any node is held, and while instances live unless `force`."""
    with core.gate.whole(Hold("reset", cancel=operation.cancel)):
        live = core.registry.live_instances()
        if live and not request.force:
            listed = ", ".join(f"`{instance.instance_id}`" for instance in live)
            raise PeppyError(f"the stack has live instances: {listed}", kind="Refused", hint="use `--force`")
        await core.supervisor.stop(live, "`peppy service reset`")
        nodes = list(core.registry.nodes.values())
        for node in nodes:
            await core.drop_node(node)
    return Reset(len(nodes), len(live))
