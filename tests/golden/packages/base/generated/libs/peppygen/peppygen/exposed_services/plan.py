"""Service `plan`, exposed by this node."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from peppy.codec import (
    F64,
    Annotated,
    Array,
    ArrayPayload,
    Bool,
    Bytes,
    Floats,
    Length,
    Payload,
    Plan,
    String,
    Time,
    plan_of,
)
from peppy.runtime import NodeRunner
from peppy.runtime import services as _services

SERVICE_NAME = "plan"


class RequestDataRequest(Payload):
    """Field `request`."""

    goal: Annotated[Array[F64], Length(3)]
    grid: Bytes


class RequestData(Payload):
    """What a caller sends."""

    class_: String
    timeout: F64
    request: RequestDataRequest
    handler: Bool
    data: Bytes | None
    stamps: Array[Time]


class ResponseData(ArrayPayload):
    """Field `data`."""

    points: Floats


class Response(Payload):
    """What the handler answers."""

    data: ResponseData
    str: String
    names: Sequence[String]


class Request(NamedTuple):
    """One request, and the instance and core node that it comes from."""

    instance_id: str
    core_node: str
    data: RequestData


_REQUEST_FORMAT = (
    '[["class","string",0],["timeout","f64",0],["request",[["goal",["f64",3],0],["grid",["u8",0],0]],0],'
    '["handler","bool",0],["data","bytes",1],["stamps",["time",0],0]]'
)
_REQUEST: Plan[RequestData] = plan_of("plan request", _REQUEST_FORMAT, {"request": RequestDataRequest, "": RequestData})
_RESPONSE_FORMAT = '[["data",[["points",["f32",0],0]],0],["str","string",0],["names",["string",0],0]]'
_RESPONSE: Plan[Response] = plan_of("plan response", _RESPONSE_FORMAT, {"data": ResponseData, "": Response})
_SERVICE = _services.ExposedService(SERVICE_NAME, _REQUEST, _RESPONSE, Request)


async def handle_next_request(
    node_runner: NodeRunner, handler: Callable[[Request], Response | Awaitable[Response]]
) -> None:
    """Wait for the next request and answer it with what `handler` returns; the handler may be sync or async.

    The first call offers the service to other nodes. When the handler fails, the caller gets a ServiceError with the
    text of the exception, and this function returns as usual. It also returns when the node shuts down.
    """
    await _SERVICE.handle_next_request(node_runner, handler)
