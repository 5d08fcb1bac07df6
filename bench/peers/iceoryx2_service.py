"""Request-response over shared memory, with an event in each direction so that nobody polls."""

import ctypes
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import iceoryx2

LARGEST = 1024


@contextmanager
def serving(channel: socket.socket) -> Iterator[Callable[[], bytes]]:
    """Gives a function that serves one request, which it answers with its own payload and returns."""
    node = _node()
    server = _service(node).server_builder().initial_max_slice_len(LARGEST).create()
    requested, answered = _event(node, "requested"), _event(node, "answered")
    listener, notifier = requested.listener_builder().create(), answered.notifier_builder().create()

    def serve_one() -> bytes:
        while (request := server.receive()) is None:
            listener.blocking_wait()
        payload = bytes(request.payload().as_memory_view())
        response = request.loan_slice_uninit(len(payload))
        ctypes.memmove(response.payload_ptr, payload, len(payload))
        response.assume_init().send()
        request.delete()
        notifier.notify()
        return payload

    channel.send(b"ready")
    yield serve_one


@contextmanager
def calling(channel: socket.socket) -> Iterator[Callable[[bytes], bytes]]:
    """Gives a function that asks and returns the one response."""
    node = _node()
    client = _service(node).client_builder().initial_max_slice_len(LARGEST).create()
    requested, answered = _event(node, "requested"), _event(node, "answered")
    channel.recv(10)
    notifier, listener = requested.notifier_builder().create(), answered.listener_builder().create()

    def call(payload: bytes) -> bytes:
        request = client.loan_slice_uninit(len(payload))
        ctypes.memmove(request.payload_ptr, payload, len(payload))
        pending = request.assume_init().send()
        notifier.notify()
        while (response := pending.receive()) is None:
            listener.blocking_wait()
        answer = bytes(response.payload().as_memory_view())
        response.delete()
        pending.delete()
        return answer

    yield call


def _node() -> Any:
    iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
    return iceoryx2.NodeBuilder.new().create(iceoryx2.ServiceType.Ipc)


def _service(node: Any) -> Any:
    octets = iceoryx2.Slice[ctypes.c_uint8]
    builder = node.service_builder(iceoryx2.ServiceName.new(_name("echo")))
    return builder.request_response(octets, octets).open_or_create()


def _event(node: Any, which: str) -> Any:
    return node.service_builder(iceoryx2.ServiceName.new(_name(which))).event().open_or_create()


def _name(which: str) -> str:
    """Both ends are children of the benchmark."""
    return f"peppy-bench-{os.getppid()}/{which}"
