"""A node that calls as a test tells it over a socket: one JSON object a line, one answer a line."""

import asyncio
import sys
import time
from importlib import import_module
from typing import Any

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner
from peppygen.parameters import Parameters


class Caller:
    """Every byte of a request is its number modulo 256."""

    def __init__(self, runner: NodeRunner) -> None:
        self.runner = runner

    async def poll(self, service: str, number: int = 1, timeout: float = 20.0, size: int = 8) -> Any:
        """Who answered, the number that came back, and whether every byte did."""
        module = import_module(f"peppygen.consumed_services.{service}")
        data = bytes([number % 256]) * size
        answer = await module.poll(self.runner, module.Request(number, data), timeout)
        return [answer.core_node, answer.instance_id, answer.data.number, bytes(answer.data.data) == data]

    async def timed(self, service: str, timeout: float) -> Any:
        """How a call fails, and after how many seconds."""
        began = time.monotonic()
        try:
            await self.poll(service, timeout=timeout)
        except Exception as error:
            return [type(error).__name__, str(error), time.monotonic() - began]
        return None

    async def poll_with_bad_timeouts(self, service: str) -> list[str]:
        return [(await self.timed(service, timeout))[0] for timeout in (-1.0, float("nan"), float("inf"))]

    async def poll_together(self, service: str, count: int, timeout: float = 20.0) -> list[int]:
        answers = await asyncio.gather(*(self.poll(service, number, timeout) for number in range(count)))
        return [answer[2] for answer in answers]

    async def poll_often(self, service: str, count: int) -> list[str]:
        """Who has answered, one call after the other."""
        return sorted({(await self.poll(service, number))[1] for number in range(count)})

    async def touch(self, service: str, timeout: float = 20.0) -> Any:
        return await import_module(f"peppygen.consumed_services.{service}").poll(self.runner, timeout)

    async def poll_for_another_response(self) -> Any:
        """As a package would that was generated from another response format."""
        from peppygen.consumed_services import main_echo

        from peppy.codec import plan_of
        from peppy.runtime.services import ConsumedService

        other = plan_of("main_echo response", '[["text","string",0]]', {})
        service: ConsumedService[Any] = ConsumedService("main", "echo", main_echo._REQUEST, other, None)
        return await service.poll(self.runner, main_echo._REQUEST.encode(1, b""), 5.0)

    async def cancel(self, service: str, after: float) -> bool:
        task = asyncio.create_task(self.poll(service, 99))
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    async def microseconds(self, service: str, count: int) -> list[float]:
        """Round trips of small calls, one after the other."""
        module = import_module(f"peppygen.consumed_services.{service}")
        found: list[float] = []
        for number in range(count):
            began = time.perf_counter_ns()
            await module.poll(self.runner, module.Request(number, b""), 5.0)
            found.append((time.perf_counter_ns() - began) / 1000)
        return sorted(found)


async def serve(params: Parameters, runner: NodeRunner) -> None:
    sys.path.insert(0, params.harness)
    from told import serve_commands

    await serve_commands(params.control, Caller(runner))


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(serve(params, runner))]


if __name__ == "__main__":
    NodeBuilder().run(setup)
