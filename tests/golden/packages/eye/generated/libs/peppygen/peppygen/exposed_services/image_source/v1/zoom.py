"""Service `zoom` of interface `image_source:v1`, exposed by this node."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from peppy.codec import F32, Payload, Plan, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import services as _services

SERVICE_NAME = "zoom"


class RequestData(Payload):
    """What a caller sends."""

    factor: F32


class Response(Payload):
    """What the handler answers."""

    factor: F32


class Request(NamedTuple):
    """One request, and the instance and core node that it comes from."""

    instance_id: str
    core_node: str
    data: RequestData


_REQUEST_FORMAT = '[["factor","f32",0]]'
_REQUEST: Plan[RequestData] = plan_of("zoom request", _REQUEST_FORMAT, {"": RequestData})
_RESPONSE_FORMAT = '[["factor","f32",0]]'
_RESPONSE: Plan[Response] = plan_of("zoom response", _RESPONSE_FORMAT, {"": Response})
_SERVICE = _services.ExposedService(SERVICE_NAME, _REQUEST, _RESPONSE, Request, "image_source:v1")


async def handle_next_request(
    node_runner: NodeRunner, handler: Callable[[Request], Response | Awaitable[Response]]
) -> None:
    """Wait for the next request and answer it with what `handler` returns; the handler may be sync or async.

    The first call offers the service to other nodes. When the handler fails, the caller gets a ServiceError with the
    text of the exception, and this function returns as usual. It also returns when the node shuts down.
    """
    await _SERVICE.handle_next_request(node_runner, handler)
