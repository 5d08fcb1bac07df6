"""`peppy repo remove` (docs/reference/daemon.md, Repositories)."""

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.protocol.answers import Repositories
from peppy.protocol.frames import RepoRemove


async def handle(core: Core, request: RepoRemove, operation: Operation) -> Repositories:
    """Forgets a repository, then reads the others again: its documents are in no index any more."""
    async with operation.limits("refresh", request.timeout_secs, core.idle_secs):
        return await core.repositories.remove(request.id)
