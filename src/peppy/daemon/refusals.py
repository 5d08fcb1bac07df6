"""What a node may not have yet."""

from collections.abc import Iterator

from peppy.errors import InvalidInput, Problem
from peppy.model.node import NodeManifest
from peppy.model.qos import QoSProfile

_SUPPORTED = frozenset({QoSProfile.SensorData, QoSProfile.Standard})


def refuse_container(manifest: NodeManifest) -> None:
    """Raises InvalidInput for a node that runs in a container."""
    if manifest.execution is not None and manifest.execution.container is not None:
        problem = Problem("ContainerNotSupported", f"`{manifest.reference}`: containers are not supported yet")
        raise InvalidInput([problem], hint="give the node a `run_cmd` in place of `container`")


def refuse_unsupported(manifest: NodeManifest) -> None:
    """Raises InvalidInput naming every member that no daemon of this version serves."""
    problems = [
        Problem("NotSupported", f"{what} of `{manifest.reference}` is not supported yet")
        for what in _unsupported(manifest)
    ]
    if problems:
        raise InvalidInput(problems, hint="leave these members out")


def _unsupported(manifest: NodeManifest) -> Iterator[str]:
    for topic in manifest.emitted_topics:
        if topic.qos not in _SUPPORTED:
            yield f"topic `{topic.name}` (qos_profile `{topic.qos.word}`)"
