"""`peppy service stop`: instances first, then the daemon."""

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.protocol.answers import ServiceStopped
from peppy.protocol.frames import ServiceStop


async def handle(core: Core, request: ServiceStop, _operation: Operation) -> ServiceStopped:
    """Answers when everything but the process itself has ended."""
    return ServiceStopped(await core.shut_down(request.keep_instances))
