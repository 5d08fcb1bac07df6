"""`peppy repo add` (docs/reference/daemon.md, Repositories)."""

from pathlib import Path

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.errors import PeppyError
from peppy.model.text import quoted
from peppy.protocol.answers import RepositoryAdded
from peppy.protocol.frames import RepoAdd


async def handle(core: Core, request: RepoAdd, _operation: Operation) -> RepositoryAdded:
    """Registers a directory; what it holds is known after the next refresh."""
    source = Path(request.source)
    if not source.is_absolute() or "\0" in request.source:
        raise PeppyError(f"{quoted(request.source)} is no absolute path", kind="NotFound", hint="name a directory")
    repository = await core.repositories.add(source, top=request.top)
    return RepositoryAdded(repository.id, repository.type, repository.label)
