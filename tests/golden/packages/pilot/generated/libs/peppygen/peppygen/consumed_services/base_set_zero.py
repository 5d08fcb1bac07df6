"""Service `set_zero` of `base:v1`, called through the slot `base`."""

from typing import NamedTuple

from peppy.codec import F32, U16, Payload, Plan, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import services as _services

NODE_NAME = "base"
SERVICE_NAME = "set_zero"


class Request(Payload):
    """What the service is asked."""

    samples: U16


class ResponseData(Payload):
    """What the service answers."""

    bias: F32


class Response(NamedTuple):
    """The answer, and the core node and instance that gave it."""

    core_node: str
    instance_id: str
    data: ResponseData


_REQUEST_FORMAT = '[["samples","u16",0]]'
_REQUEST: Plan[Request] = plan_of("base_set_zero request", _REQUEST_FORMAT, {"": Request})
_RESPONSE_FORMAT = '[["bias","f32",0]]'
_RESPONSE: Plan[ResponseData] = plan_of("base_set_zero response", _RESPONSE_FORMAT, {"": ResponseData})
_SERVICE = _services.ConsumedService("base", SERVICE_NAME, _REQUEST, _RESPONSE, Response)


async def poll(node_runner: NodeRunner, request: Request, timeout: float) -> Response:
    """Call the service and wait for its answer, `timeout` seconds at most.

    Raises ServiceUnreachable when nobody took the request, which is safe to repeat; ServiceTimeout when somebody took
    it and did not answer in time; ServiceError when the handler failed; SchemaMismatch when the two nodes were
    generated from different formats; TypeError and ValueError for a request or a timeout that cannot be sent.
    """
    return await _SERVICE.poll(node_runner, _REQUEST.encode_message(request), timeout)
