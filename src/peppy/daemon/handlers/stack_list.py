"""`peppy stack list` (docs/reference/cli.md, `stack list`)."""

import os

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.daemon.registry import Node
from peppy.daemon.rows import core_instance_row, instance_rows
from peppy.graph.assemble import edges
from peppy.manifest.node import DEFAULT_VARIANT
from peppy.model.lifecycle import Stage
from peppy.protocol.answers import Edge, NodeRow, Stack, StandaloneRow
from peppy.protocol.frames import StackList


async def handle(core: Core, _request: StackList, _operation: Operation) -> Stack:
    """The core node first, then the nodes by name:tag; edges by (from, to)."""
    nodes = sorted(core.registry.nodes.values(), key=lambda node: str(node.reference))
    return Stack(
        nodes=(_core_row(core), *(_row(core, node) for node in nodes)),
        standalone=tuple(
            StandaloneRow(program.instance_id, str(program.reference), program.pid)
            for _, program in sorted(core.registry.programs.items())
        ),
        edges=tuple(
            Edge(
                str(edge.source),
                str(edge.target),
                str(edge.via_interface) if edge.via_interface else None,
                edge.missing,
            )
            for edge in edges(core.registry.manifests())
        ),
    )


def _core_row(core: Core) -> NodeRow:
    name = core.registry.core_node_name
    return NodeRow(
        name=name,
        tag=f"v{core.version}",
        stage=Stage.ROOT.value,
        variant=DEFAULT_VARIANT,
        config_path=str(core.root.program.parent),
        artifact_path=None,
        instances=(core_instance_row(name, os.getpid()),),
    )


def _row(core: Core, node: Node) -> NodeRow:
    return NodeRow(
        name=node.reference.name,
        tag=node.reference.tag,
        stage=node.stage.value,
        variant=node.variant,
        config_path=str(core.root.snapshot(node.reference)),
        artifact_path=str(core.root.artifact(node.reference)) if node.artifact is not None else None,
        instances=instance_rows(core.registry.instances_of(node.reference)),
    )
