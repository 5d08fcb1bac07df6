"""What generated service modules stand on: a declared service tied to a running node."""

import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from peppy.codec import EncodedPayload, Plan
from peppy.errors import DecodeError
from peppy.protocol.calls import Answered, Call
from peppy.protocol.payloads import payload_of
from peppy.runtime.calls import packed
from peppy.runtime.delivery import Delivery
from peppy.runtime.endpoints import Endpoint
from peppy.runtime.subject import Subject

if TYPE_CHECKING:
    from peppy.runtime.runner import NodeRunner

__all__ = ["ConsumedService", "ExposedService"]

Request = TypeVar("Request")
Response = TypeVar("Response")
Handler = Callable[[Request], Response | Awaitable[Response]]


class ExposedService(Generic[Request, Response]):
    """A service that this node serves. `interface` is the `name:tag` that it is inherited from, if it is."""

    def __init__(
        self,
        name: str,
        request: Plan[Any],
        response: Plan[Response],
        request_type: Callable[..., Request],
        interface: str | None = None,
    ) -> None:
        self.name = name
        self.request = request
        self.response = response
        self.request_type = request_type
        self.interface = interface

    async def handle_next_request(self, node_runner: "NodeRunner", handler: Handler[Request, Response]) -> None:
        """Serve one request: wait for it, decode it, run `handler`, sync or async, and send what it returns.

        Whatever fails about the request or in the handler is the caller's error; this call returns normally. It
        returns without serving anybody when the node ends. The first call of a process registers the service.
        """
        endpoint = self._endpoint(node_runner)
        delivery = await endpoint.next()
        if delivery is None:
            return
        try:
            request = self._decoded(delivery)
        except DecodeError as error:
            endpoint.reply(delivery, error=_text(error))
            return
        try:
            outcome: Any = handler(request)
            response = await outcome if inspect.isawaitable(outcome) else outcome
            payload = packed(self.response.encode_message(response), f"response of service `{self.name}`")
        except Exception as error:
            endpoint.reply(delivery, error=_text(error))
            print(f"[ERROR] the handler of service `{self.name}` failed", file=sys.stderr)
            traceback.print_exc()
        except BaseException as error:  # the task is being cancelled: the caller need not wait for its deadline
            endpoint.reply(delivery, error=_text(error))
            raise
        else:
            endpoint.reply(delivery, payload)

    def _endpoint(self, node_runner: "NodeRunner") -> Endpoint:
        endpoints = node_runner.endpoints
        endpoint = endpoints.find("service", self.name, self.interface)
        if endpoint is None:
            self.request.prepare_decode()
            self.response.prepare_encode()
            hashes = (self.request.schema_hash, self.response.schema_hash)
            endpoint = endpoints.open("service", self.name, self.interface, hashes, _refuse)
        return endpoint

    def _decoded(self, delivery: Delivery) -> Request:
        payload = payload_of(delivery.received)
        caller = delivery.caller_instance_id, delivery.caller_core_node
        data = self.request.decode(payload)
        return self.request_type(*caller) if self.request.message_format is None else self.request_type(*caller, data)


class ConsumedService(Generic[Response]):
    """A service that this node calls through the slot `link_id`; `response_type` is None without a response.

    `interface` is the `name:tag` of an interface slot.
    """

    def __init__(
        self,
        link_id: str,
        name: str,
        request: Plan[Any],
        response: Plan[Any],
        response_type: Callable[..., Response] | None,
        interface: str | None = None,
    ) -> None:
        self.link_id = link_id
        self.interface = interface
        self.name = name
        self.response = response
        self.response_type = response_type
        self.hashes = (request.schema_hash, response.schema_hash)

    async def poll(self, node_runner: "NodeRunner", payload: EncodedPayload, timeout: float) -> Response:
        """Call the service and wait at most `timeout` seconds for its response; None when it has none.

        Raises ServiceUnreachable, ServiceTimeout, ServiceError and SchemaMismatch (docs/reference/services_actions.md,
        Outcomes), ValueError for a timeout that is no finite number from 0 on and for more than 256 MiB.
        """
        calls = node_runner.calls
        deadline = calls.deadline(timeout)
        subject = Subject("service", self.name, node_runner.whom(self.link_id), timeout)
        request = packed(payload, f"request of {subject.of()}")
        frame = Call(0, self.link_id, self.name, self.hashes, 0, interface=self.interface)
        received = await calls.exchange(frame, subject, deadline, request)
        answered = received.frame
        assert isinstance(answered, Answered)
        data = self.response.decode(payload_of(received))
        if self.response_type is None:
            return data
        return self.response_type(answered.core_node, answered.instance_id, data)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _refuse(delivery: Delivery, text: str) -> None:
    delivery.endpoint.reply(delivery, error=f"Refused: {text}")
