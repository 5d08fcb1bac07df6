"""Service `reset` of `base:v1`, called through the slot `base`."""

from peppy.codec import Plan, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import services as _services

NODE_NAME = "base"
SERVICE_NAME = "reset"

_REQUEST: Plan[None] = plan_of("base_reset request", None, {})
_RESPONSE: Plan[None] = plan_of("base_reset response", None, {})
_SERVICE: _services.ConsumedService[None] = _services.ConsumedService("base", SERVICE_NAME, _REQUEST, _RESPONSE, None)


async def poll(node_runner: NodeRunner, timeout: float) -> None:
    """Call the service and wait for its answer, `timeout` seconds at most.

    Raises ServiceUnreachable when nobody took the request, which is safe to repeat; ServiceTimeout when somebody took
    it and did not answer in time; ServiceError when the handler failed; SchemaMismatch when the two nodes were
    generated from different formats; TypeError and ValueError for a request or a timeout that cannot be sent.
    """
    await _SERVICE.poll(node_runner, b"", timeout)
