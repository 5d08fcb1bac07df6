"""Service `zoom`, exposed by this node."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from peppy.codec import Plan, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import services as _services

SERVICE_NAME = "zoom"


class Request(NamedTuple):
    """One request, and the instance and core node that it comes from."""

    instance_id: str
    core_node: str


_REQUEST: Plan[None] = plan_of("zoom request", None, {})
_RESPONSE: Plan[None] = plan_of("zoom response", None, {})
_SERVICE = _services.ExposedService(SERVICE_NAME, _REQUEST, _RESPONSE, Request)


async def handle_next_request(node_runner: NodeRunner, handler: Callable[[Request], Awaitable[None] | None]) -> None:
    """Wait for the next request and have `handler` serve it; the handler may be sync or async.

    The first call offers the service to other nodes. When the handler fails, the caller gets a ServiceError with the
    text of the exception, and this function returns as usual. It also returns when the node shuts down.
    """
    await _SERVICE.handle_next_request(node_runner, handler)
