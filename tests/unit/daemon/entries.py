"""Nodes and instances for tests of the daemon's rooms."""

from peppy.daemon.registry import Instance, Node
from peppy.model.lifecycle import Stage, State
from peppy.model.names import Reference
from peppy.model.node import Execution, Language, NodeManifest

WHEELS = Reference("wheels", "v1")


def node(reference: Reference = WHEELS, stage: Stage = Stage.ADDED) -> Node:
    manifest = NodeManifest(reference, Execution(Language.OTHER, run_cmd=("true",)))
    return Node(reference, manifest, "default", stage, "/source", "0" * 64)


def instance(instance_id: str = "one", order: int = 1, state: State = State.STARTING) -> Instance:
    return Instance(instance_id, WHEELS, Language.OTHER, order, 0.0, f"/logs/{instance_id}.log", state=state)
