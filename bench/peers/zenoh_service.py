"""A queryable and a querier: two sessions in peer mode that know each other's address, so no router is needed."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import zenoh

KEY = "bench/echo"


@contextmanager
def serving(channel: socket.socket) -> Iterator[Callable[[], bytes]]:
    """Gives a function that serves one request, which it answers with its own payload and returns."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"tcp/127.0.0.1:{free.getsockname()[1]}"
    with zenoh.open(_config(listen=endpoint)) as session:
        queryable = session.declare_queryable(KEY)

        def serve_one() -> bytes:
            with queryable.recv() as query:
                payload = query.payload.to_bytes()
                query.reply(KEY, payload)
                return payload

        channel.send(endpoint.encode())
        yield serve_one


@contextmanager
def calling(channel: socket.socket) -> Iterator[Callable[[bytes], bytes]]:
    """Gives a function that asks and returns the one reply."""
    with zenoh.open(_config(connect=channel.recv(100).decode())) as session:
        querier = session.declare_querier(KEY, timeout=5)

        def call(request: bytes) -> bytes:
            answer = b""
            for reply in querier.get(payload=request):
                answer = reply.ok.payload.to_bytes()
            return answer

        while not call(b"ready?"):  # the queryable becomes known in its own time
            pass
        yield call


def _config(listen: str = "", connect: str = "") -> Any:
    config = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("scouting/multicast/enabled", "false")
    config.insert_json5("transport/shared_memory/enabled", "false")  # made for large messages, slower for small ones
    config.insert_json5("listen/endpoints", f'["{listen}"]' if listen else "[]")
    config.insert_json5("connect/endpoints", f'["{connect}"]' if connect else "[]")
    return config
