"""`peppy node remove` (docs/reference/daemon.md, Stop, remove, prune, reset)."""

from peppy.daemon.core import Core
from peppy.daemon.gate import Hold
from peppy.daemon.operation import Operation
from peppy.daemon.references import known_node
from peppy.daemon.registry import Node
from peppy.errors import PeppyError
from peppy.faults import fault
from peppy.graph.assemble import dependents
from peppy.protocol.answers import Removed
from peppy.protocol.frames import NodeRemove


async def handle(core: Core, request: NodeRemove, operation: Operation) -> Removed:
    """Checks dependents and live instances, then stops, deletes and forgets."""
    node = known_node(core.registry, request.node)
    with core.gate.alone(node.reference, Hold("remove", cancel=operation.cancel)):
        _check_dependents(core, node, request.force)
        live = core.registry.live_instances(node.reference)
        if live and not request.stop_instances:
            raise live_instances(node, [instance.instance_id for instance in live], "--stop-instances")
        await core.supervisor.stop(live, f"`peppy node remove {node.reference}`")
        fault("remove.begun")
        await core.drop_node(node)
    return Removed(str(node.reference), tuple(instance.instance_id for instance in live))


def _check_dependents(core: Core, node: Node, force: bool) -> None:
    others = sorted(str(other) for other in dependents(node.reference, core.registry.manifests()))
    if others and not force:
        raise PeppyError(
            f"`{node.reference}` is needed by {', '.join(f'`{other}`' for other in others)}",
            kind="Refused",
            hint="remove those first, or use `--force`",
        )


def live_instances(node: Node, instance_ids: list[str], flag: str) -> PeppyError:
    """The refusal because instances are live; `flag` means yes."""
    listed = ", ".join(f"`{instance_id}`" for instance_id in instance_ids)
    return PeppyError(f"`{node.reference}` has live instances: {listed}", kind="Refused", hint=f"use `{flag}`")
