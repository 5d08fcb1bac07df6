"""A node that serves as a test tells it over a socket: one JSON object a line, one answer a line."""

import asyncio
import sys
import time
from typing import Any

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner
from peppygen.exposed_services import echo, late, lone, touch
from peppygen.parameters import Parameters

SERVICES = {"echo": echo, "late": late, "lone": lone, "touch": touch}


class Server:
    """`handled` are the numbers of the requests whose handlers have begun, in that order."""

    def __init__(self, runner: NodeRunner) -> None:
        self.runner = runner
        self.handled: list[int] = []
        self.running = 0
        self.most_at_once = 0
        self.callers: list[str] = []
        self.loops: list[asyncio.Task[None]] = []

    async def serve(self, service: str, pause: float = 0.0, loops: int = 1) -> bool:
        """Serve from now on, each request for so many seconds, in so many loops at once."""
        self.loops += [asyncio.create_task(self.keep_serving(service, pause)) for _ in range(loops)]
        return True

    async def keep_serving(self, service: str, pause: float) -> None:
        while not self.runner.cancellation_token().is_cancelled():
            await self.serve_one(service, pause)

    async def serve_one(self, service: str, pause: float = 0.0, fail: str = "") -> bool:
        """Serve one request; it fails as `fail` says."""
        module: Any = SERVICES[service]

        async def handle(request: Any) -> Any:
            self.handled.append(0 if service == "touch" else request.data.number)
            self.callers.append(request.instance_id)
            self.running += 1
            self.most_at_once = max(self.most_at_once, self.running)
            try:
                await asyncio.sleep(pause)
            finally:
                self.running -= 1
            if fail == "raise":
                raise KeyError("x")
            if fail == "type":
                return "no response"
            if fail == "value":
                return module.Response(-1, [])
            return None if service == "touch" else module.Response(request.data.number, request.data.data)

        await module.handle_next_request(self.runner, handle)
        return True

    async def count_sync(self) -> bool:
        """Serve one request with a handler that is no coroutine function."""
        await echo.handle_next_request(self.runner, lambda request: echo.Response(request.data.number + 1, b""))
        return True

    async def report(self) -> dict[str, Any]:
        return {"handled": self.handled, "most_at_once": self.most_at_once, "callers": sorted(set(self.callers))}

    async def block(self, seconds: float) -> bool:
        """Answer at once, then keep the event loop busy."""
        asyncio.get_running_loop().call_later(0.05, time.sleep, seconds)
        return True


async def serve(params: Parameters, runner: NodeRunner) -> None:
    sys.path.insert(0, params.harness)
    from told import serve_commands

    await serve_commands(params.control, Server(runner))


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(serve(params, runner))]


if __name__ == "__main__":
    NodeBuilder().run(setup)
