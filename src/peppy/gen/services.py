"""Modules for services (docs/reference/node_api.md, Services).

An exposed service becomes a module with `Request`, `Response` and `handle_next_request`, a consumed one a module with
`Request`, `Response` and `poll`. They hold types and signatures; behaviour is in the library:

    peppy.runtime.services  ExposedService(name, request plan, response plan, Request)
                                .handle_next_request(node_runner, handler)
                            ConsumedService(link_id, name, request plan, response plan, Response or None)
                                .poll(node_runner, payload, timeout)

What comes from an interface names it (`name:tag`) in one more argument, the last.
"""

from peppy.gen.payloads import library_imports, message_class, sequences_of
from peppy.gen.plans import plan
from peppy.gen.text import (
    Call,
    class_text,
    imports,
    inherited_from,
    literal,
    module,
    owned_by,
    provider_of,
    reached_through,
)
from peppy.model.names import Reference
from peppy.model.node import Service, Slot


def exposed_service(service: Service, interface: Reference | None) -> str:
    """The module of a service that the node exposes; `interface` is where it is inherited from."""
    request = message_class("RequestData", "What a caller sends.", service.request)
    response = message_class("Response", "What the handler answers.", service.response, sent=True)
    caller = ["instance_id: str", "core_node: str", *(["data: RequestData"] if service.request else [])]
    handler = "Response | Awaitable[Response]" if service.response else "Awaitable[None] | None"
    handle = Call(
        "async def handle_next_request(",
        ["node_runner: NodeRunner", f"handler: Callable[[Request], {handler}]"],
        ") -> None:",
    )
    served = Call(
        "_services.ExposedService(", ["SERVICE_NAME", "_REQUEST", "_RESPONSE", "Request", *inherited_from(interface)]
    )
    return module(
        f"Service `{service.name}`{owned_by(interface)}, exposed by this node.",
        imports({"collections.abc": ["Awaitable", "Callable", *sequences_of(response)], "typing": ["NamedTuple"]}),
        library_imports("services", ["NodeRunner"], request, response),
        f"SERVICE_NAME = {literal(service.name)}",
        *request.texts,
        *response.texts,
        class_text("Request(NamedTuple)", "One request, and the instance and core node that it comes from.", caller),
        plan("_REQUEST", f"{service.name} request", service.request, request, request.root)
        + plan("_RESPONSE", f"{service.name} response", service.response, response, response.root)
        + f"{served.text(before='_SERVICE = ')}\n",
        f"{handle.text()}\n{_handle_body(service)}",
    )


def consumed_service(slot: Slot, module_name: str, service: Service) -> str:
    """The module of a service that the node calls through `slot`."""
    request = message_class("Request", "What the service is asked.", service.request, sent=True)
    response = message_class("ResponseData", "What the service answers.", service.response)
    answer = class_text("Response(NamedTuple)", "The answer, and the core node and instance that gave it.", _ANSWER)
    result = "Response" if service.response else "None"
    arguments = [literal(slot.link_id), "SERVICE_NAME", "_REQUEST", "_RESPONSE", result, *reached_through(slot)]
    called = Call("_services.ConsumedService(", arguments)
    annotation = "" if service.response else ": _services.ConsumedService[None]"
    return module(
        f"Service `{service.name}` of {provider_of(slot)}, called through the slot `{slot.link_id}`.",
        imports({"collections.abc": sequences_of(request), "typing": ["NamedTuple"] if service.response else []}),
        library_imports("services", ["NodeRunner"], request, response),
        f"NODE_NAME = {literal(slot.provider.name)}\nSERVICE_NAME = {literal(service.name)}",
        *request.texts,
        *response.texts,
        answer if service.response else "",
        plan("_REQUEST", f"{module_name} request", service.request, request, request.root)
        + plan("_RESPONSE", f"{module_name} response", service.response, response, response.root)
        + f"{called.text(before=f'_SERVICE{annotation} = ')}\n",
        _poll(service, result),
    )


def _handle_body(service: Service) -> str:
    served = "answer it with what `handler` returns" if service.response else "have `handler` serve it"
    return f'''\
    """Wait for the next request and {served}; the handler may be sync or async.

    The first call offers the service to other nodes. When the handler fails, the caller gets a ServiceError with the
    text of the exception, and this function returns as usual. It also returns when the node shuts down.
    """
    await _SERVICE.handle_next_request(node_runner, handler)
'''


_ANSWER = ["core_node: str", "instance_id: str", "data: ResponseData"]

_POLL_DOCSTRING = '''\
    """Call the service and wait for its answer, `timeout` seconds at most.

    Raises ServiceUnreachable when nobody took the request, which is safe to repeat; ServiceTimeout when somebody took
    it and did not answer in time; ServiceError when the handler failed; SchemaMismatch when the two nodes were
    generated from different formats; TypeError and ValueError for a request or a timeout that cannot be sent.
    """
'''


def _poll(service: Service, result: str) -> str:
    request = ["request: Request"] if service.request else []
    poll = Call("async def poll(", ["node_runner: NodeRunner", *request, "timeout: float"], f") -> {result}:")
    payload = "_REQUEST.encode_message(request)" if service.request else 'b""'
    call = Call("await _SERVICE.poll(", ["node_runner", payload, "timeout"])
    returned = call.text("    ", before="return " if service.response else "")
    return f"{poll.text()}\n{_POLL_DOCSTRING}{returned}\n"
