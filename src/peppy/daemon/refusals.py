"""What a node may not have yet."""

from peppy.errors import InvalidInput, Problem
from peppy.model.node import NodeManifest


def refuse_container(manifest: NodeManifest) -> None:
    """Raises InvalidInput for a node that runs in a container."""
    if manifest.execution is not None and manifest.execution.container is not None:
        problem = Problem("ContainerNotSupported", f"`{manifest.reference}`: containers are not supported yet")
        raise InvalidInput([problem], hint="give the node a `run_cmd` in place of `container`")
