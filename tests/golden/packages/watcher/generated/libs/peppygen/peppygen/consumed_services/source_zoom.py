"""Service `zoom` of interface `image_source:v1`, called through the slot `source`."""

from typing import NamedTuple

from peppy.codec import F32, Payload, Plan, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import services as _services

NODE_NAME = "image_source"
SERVICE_NAME = "zoom"


class Request(Payload):
    """What the service is asked."""

    factor: F32


class ResponseData(Payload):
    """What the service answers."""

    factor: F32


class Response(NamedTuple):
    """The answer, and the core node and instance that gave it."""

    core_node: str
    instance_id: str
    data: ResponseData


_REQUEST_FORMAT = '[["factor","f32",0]]'
_REQUEST: Plan[Request] = plan_of("source_zoom request", _REQUEST_FORMAT, {"": Request})
_RESPONSE_FORMAT = '[["factor","f32",0]]'
_RESPONSE: Plan[ResponseData] = plan_of("source_zoom response", _RESPONSE_FORMAT, {"": ResponseData})
_SERVICE = _services.ConsumedService("source", SERVICE_NAME, _REQUEST, _RESPONSE, Response, "image_source:v1")


async def poll(node_runner: NodeRunner, request: Request, timeout: float) -> Response:
    """Call the service and wait for its answer, `timeout` seconds at most.

    Raises ServiceUnreachable when nobody took the request, which is safe to repeat; ServiceTimeout when somebody took
    it and did not answer in time; ServiceError when the handler failed; SchemaMismatch when the two nodes were
    generated from different formats; TypeError and ValueError for a request or a timeout that cannot be sent.
    """
    return await _SERVICE.poll(node_runner, _REQUEST.encode_message(request), timeout)
