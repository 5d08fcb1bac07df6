"""`peppy info`: the daemon about itself."""

import os
import socket
import time

from peppy.daemon.core import Core
from peppy.daemon.operation import Operation
from peppy.protocol.answers import Information
from peppy.protocol.frames import Info


async def handle(core: Core, _request: Info, _operation: Operation) -> Information:
    """Answers at once; the node count includes the core node."""
    return Information(
        version=core.version,
        core_node_name=core.registry.core_node_name,
        core_node_instance_id=core.registry.core_node_name,
        host_name=socket.gethostname(),
        socket=str(core.root.socket),
        pid=os.getpid(),
        uptime_seconds=round(time.monotonic() - core.started, 3),
        node_count=len(core.registry.nodes) + 1,
    )
