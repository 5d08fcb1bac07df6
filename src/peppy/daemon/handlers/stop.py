"""`peppy node stop`: instances end together, with one grace (docs/reference/daemon.md, Stop, remove, prune, reset)."""

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.errors import InvalidInput, PeppyError, Problem
from peppy.protocol.answers import Stopped, StoppedInstance
from peppy.protocol.frames import NodeStop


async def handle(core: Core, request: NodeStop, _operation: Operation) -> Stopped:
    """Stops the live ones; those that have ended before are only named."""
    instance_ids = tuple(dict.fromkeys(request.instance_ids))
    _check(core, instance_ids)
    instances = [core.registry.instances[instance_id] for instance_id in instance_ids]
    ended_before = {instance.instance_id: instance.state.value for instance in instances if not instance.live}
    stopped = await core.supervisor.stop([found for found in instances if found.live], "`peppy node stop`")
    return Stopped(
        tuple(
            StoppedInstance(
                instance_id,
                instance_id in stopped and stopped[instance_id].killed,
                ended_before.get(instance_id),
            )
            for instance_id in instance_ids
        )
    )


def _check(core: Core, instance_ids: tuple[str, ...]) -> None:
    problems: list[Problem] = []
    for instance_id in instance_ids:
        try:
            if instance_id == core.registry.core_node_name:
                problems.append(
                    Problem("Refused", f"`{instance_id}` is the core node", hint="run `peppy service stop`")
                )
            else:
                core.registry.instance(instance_id)
        except PeppyError as error:
            problems.append(Problem(error.kind, error.message, hint=error.hint))
    if problems:
        raise InvalidInput(problems)
