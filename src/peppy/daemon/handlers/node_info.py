"""`peppy node info` (docs/reference/cli.md, `node info`)."""

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.daemon.references import known_node
from peppy.daemon.rows import consumed, dependencies, exposed, instance_rows, logs_of_runs, parameter_lines
from peppy.daemon.topic_counters import counters
from peppy.protocol.answers import Logs, NodeDetails
from peppy.protocol.frames import NodeInfo


async def handle(core: Core, request: NodeInfo, _operation: Operation) -> NodeDetails:
    """Everything about one node; the counters of its instances when asked for."""
    node = known_node(core.registry, request.node)
    manifest, execution = node.manifest, node.manifest.execution
    assert execution is not None
    instances = core.registry.instances_of(node.reference)
    found = counters(core.broker, [instance.instance_id for instance in instances]) if request.statistics else ()
    return NodeDetails(
        name=node.reference.name,
        tag=node.reference.tag,
        language=execution.language.value,
        labels=manifest.labels,
        build_cmd=execution.build_cmd,
        run_cmd=execution.run_cmd,
        container=execution.container.def_file if execution.container is not None else None,
        stage=node.stage.value,
        variant=node.variant,
        instances=instance_rows(instances),
        logs=Logs(add=node.add_log, build=node.build_log, run=logs_of_runs(instances)),
        dependencies=dependencies(manifest),
        exposes=exposed(node),
        consumes=consumed(manifest),
        config_sha256=node.config_sha256,
        parameters=tuple(parameter_lines(execution.parameters)),
        stats=found,
    )
