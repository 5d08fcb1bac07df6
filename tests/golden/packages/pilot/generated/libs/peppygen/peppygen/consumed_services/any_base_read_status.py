"""Service `read-status` of `base:v1`, called through the slot `any-base`."""

from typing import NamedTuple

from peppy.codec import U8, U16, Array, Payload, Plan, String, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import services as _services

NODE_NAME = "base"
SERVICE_NAME = "read-status"


class ResponseDataBatteryCellsItem(Payload):
    """Field `battery.cells`, one item."""

    millivolts: U16


class ResponseDataBattery(Payload):
    """Field `battery`."""

    percent: U8
    cells: Array[ResponseDataBatteryCellsItem]


class ResponseData(Payload):
    """What the service answers."""

    battery: ResponseDataBattery
    errors: Array[String]
    note: String | None


class Response(NamedTuple):
    """The answer, and the core node and instance that gave it."""

    core_node: str
    instance_id: str
    data: ResponseData


_REQUEST: Plan[None] = plan_of("any_base_read_status request", None, {})
_RESPONSE_FORMAT = (
    '[["battery",[["percent","u8",0],["cells",[[["millivolts","u16",0]],0],0]],0],["errors",'
    '["string",0],0],["note","string",1]]'
)
_RESPONSE: Plan[ResponseData] = plan_of(
    "any_base_read_status response",
    _RESPONSE_FORMAT,
    {"battery.cells": ResponseDataBatteryCellsItem, "battery": ResponseDataBattery, "": ResponseData},
)
_SERVICE = _services.ConsumedService("any-base", SERVICE_NAME, _REQUEST, _RESPONSE, Response)


async def poll(node_runner: NodeRunner, timeout: float) -> Response:
    """Call the service and wait for its answer, `timeout` seconds at most.

    Raises ServiceUnreachable when nobody took the request, which is safe to repeat; ServiceTimeout when somebody took
    it and did not answer in time; ServiceError when the handler failed; SchemaMismatch when the two nodes were
    generated from different formats; TypeError and ValueError for a request or a timeout that cannot be sent.
    """
    return await _SERVICE.poll(node_runner, b"", timeout)
