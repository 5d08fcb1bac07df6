"""Service `plan` of `base:v1`, called through the slot `base`."""

from collections.abc import Sequence
from typing import NamedTuple

from peppy.codec import F64, Array, ArrayPayload, Bool, F32Array, Floats, Octets, Payload, Plan, String, Time, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import services as _services

NODE_NAME = "base"
SERVICE_NAME = "plan"


class RequestRequest(ArrayPayload):
    """Field `request`."""

    goal: Floats
    grid: Octets


class Request(ArrayPayload):
    """What the service is asked."""

    class_: String
    timeout: F64
    request: RequestRequest
    handler: Bool
    data: Octets | None
    stamps: Sequence[Time]


class ResponseDataData(ArrayPayload):
    """Field `data`."""

    points: F32Array


class ResponseData(Payload):
    """What the service answers."""

    data: ResponseDataData
    str: String
    names: Array[String]


class Response(NamedTuple):
    """The answer, and the core node and instance that gave it."""

    core_node: str
    instance_id: str
    data: ResponseData


_REQUEST_FORMAT = (
    '[["class","string",0],["timeout","f64",0],["request",[["goal",["f64",3],0],["grid",["u8",0],0]],0],'
    '["handler","bool",0],["data","bytes",1],["stamps",["time",0],0]]'
)
_REQUEST: Plan[Request] = plan_of("base_plan request", _REQUEST_FORMAT, {"request": RequestRequest, "": Request})
_RESPONSE_FORMAT = '[["data",[["points",["f32",0],0]],0],["str","string",0],["names",["string",0],0]]'
_RESPONSE: Plan[ResponseData] = plan_of(
    "base_plan response", _RESPONSE_FORMAT, {"data": ResponseDataData, "": ResponseData}
)
_SERVICE = _services.ConsumedService("base", SERVICE_NAME, _REQUEST, _RESPONSE, Response)


async def poll(node_runner: NodeRunner, request: Request, timeout: float) -> Response:
    """Call the service and wait for its answer, `timeout` seconds at most.

    Raises ServiceUnreachable when nobody took the request, which is safe to repeat; ServiceTimeout when somebody took
    it and did not answer in time; ServiceError when the handler failed; SchemaMismatch when the two nodes were
    generated from different formats; TypeError and ValueError for a request or a timeout that cannot be sent.
    """
    return await _SERVICE.poll(node_runner, _REQUEST.encode_message(request), timeout)
