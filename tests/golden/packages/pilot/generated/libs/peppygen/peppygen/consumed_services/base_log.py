"""Service `log` of `base:v1`, called through the slot `base`."""

from peppy.codec import Payload, Plan, String, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import services as _services

NODE_NAME = "base"
SERVICE_NAME = "log"


class Request(Payload):
    """What the service is asked."""

    text: String


_REQUEST_FORMAT = '[["text","string",0]]'
_REQUEST: Plan[Request] = plan_of("base_log request", _REQUEST_FORMAT, {"": Request})
_RESPONSE: Plan[None] = plan_of("base_log response", None, {})
_SERVICE: _services.ConsumedService[None] = _services.ConsumedService("base", SERVICE_NAME, _REQUEST, _RESPONSE, None)


async def poll(node_runner: NodeRunner, request: Request, timeout: float) -> None:
    """Call the service and wait for its answer, `timeout` seconds at most.

    Raises ServiceUnreachable when nobody took the request, which is safe to repeat; ServiceTimeout when somebody took
    it and did not answer in time; ServiceError when the handler failed; SchemaMismatch when the two nodes were
    generated from different formats; TypeError and ValueError for a request or a timeout that cannot be sent.
    """
    await _SERVICE.poll(node_runner, _REQUEST.encode_message(request), timeout)
