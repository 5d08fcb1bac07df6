"""`peppy node logs`: where the log is; the command line reads it itself."""

from pathlib import Path

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.daemon.references import known_node
from peppy.daemon.registry import Instance, Node
from peppy.errors import PeppyError
from peppy.model.lifecycle import Stage
from peppy.model.names import Reference
from peppy.protocol.answers import LogPlace
from peppy.protocol.frames import NodeLogs


async def handle(core: Core, request: NodeLogs, _operation: Operation) -> LogPlace:
    """An instance id wins over a node of the same text."""
    instance = core.registry.instances.get(request.target)
    if request.which == "run":
        return _run_log(instance or _only_instance(core, request.target))
    if instance is not None and Reference.parse(request.target) is None:
        raise PeppyError(
            f"`{request.target}` is an instance, which has no {request.which} log",
            kind="Refused",
            hint=f"name its node `{instance.reference}`",
        )
    node = known_node(core.registry, request.target)
    return _node_log(node, request.which)


def _run_log(instance: Instance) -> LogPlace:
    return LogPlace(instance.log, instance.live, instance.instance_id)


def _only_instance(core: Core, target: str) -> Instance:
    if Reference.parse(target) is None:
        return core.registry.instance(target)
    node = known_node(core.registry, target)
    found = core.registry.instances_of(node.reference)
    if len(found) == 1:
        return found[0]
    if not found:
        raise PeppyError(
            f"`{node.reference}` has no instance",
            kind="NotFound",
            hint=f"start one with `peppy node run {node.reference}`",
        )
    listed = ", ".join(f"`{instance.instance_id}`" for instance in found)
    raise PeppyError(
        f"`{node.reference}` has {len(found)} instances: {listed}", kind="NotFound", hint="name one of its instances"
    )


def _node_log(node: Node, which: str) -> LogPlace:
    log = node.add_log if which == "add" else node.build_log
    if log is None or not Path(log).exists():
        raise PeppyError(
            f"`{node.reference}` has no {which} log", kind="NotFound", hint=f"`peppy node {which}` writes it"
        )
    return LogPlace(log, which == "build" and node.stage is Stage.BUILDING, None)
