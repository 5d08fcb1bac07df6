"""Service `read-status`, exposed by this node."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from peppy.codec import U8, U16, Payload, Plan, String, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import services as _services

SERVICE_NAME = "read-status"


class ResponseBatteryCellsItem(Payload):
    """Field `battery.cells`, one item."""

    millivolts: U16


class ResponseBattery(Payload):
    """Field `battery`."""

    percent: U8
    cells: Sequence[ResponseBatteryCellsItem]


class Response(Payload):
    """What the handler answers."""

    battery: ResponseBattery
    errors: Sequence[String]
    note: String | None


class Request(NamedTuple):
    """One request, and the instance and core node that it comes from."""

    instance_id: str
    core_node: str


_REQUEST: Plan[None] = plan_of("read-status request", None, {})
_RESPONSE_FORMAT = (
    '[["battery",[["percent","u8",0],["cells",[[["millivolts","u16",0]],0],0]],0],["errors",'
    '["string",0],0],["note","string",1]]'
)
_RESPONSE: Plan[Response] = plan_of(
    "read-status response",
    _RESPONSE_FORMAT,
    {"battery.cells": ResponseBatteryCellsItem, "battery": ResponseBattery, "": Response},
)
_SERVICE = _services.ExposedService(SERVICE_NAME, _REQUEST, _RESPONSE, Request)


async def handle_next_request(
    node_runner: NodeRunner, handler: Callable[[Request], Response | Awaitable[Response]]
) -> None:
    """Wait for the next request and answer it with what `handler` returns; the handler may be sync or async.

    The first call offers the service to other nodes. When the handler fails, the caller gets a ServiceError with the
    text of the exception, and this function returns as usual. It also returns when the node shuts down.
    """
    await _SERVICE.handle_next_request(node_runner, handler)
