"""`peppy repo refresh` (docs/reference/daemon.md, Repositories)."""

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.protocol.answers import Repositories
from peppy.protocol.frames import RepoRefresh


async def handle(core: Core, request: RepoRefresh, operation: Operation) -> Repositories:
    """Reads all repositories again, one refresh at a time."""
    async with operation.limits("refresh", request.timeout_secs, core.idle_secs):
        return await core.repositories.refresh()
