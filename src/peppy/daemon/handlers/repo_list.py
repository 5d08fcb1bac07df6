"""`peppy repo list` (docs/reference/cli.md, `peppy repo`)."""

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.protocol.answers import Repositories
from peppy.protocol.frames import RepoList


async def handle(core: Core, _request: RepoList, _operation: Operation) -> Repositories:
    """What the last refresh has found."""
    return await core.repositories.listed()
