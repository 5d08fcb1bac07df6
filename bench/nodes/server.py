"""Serves the calls and goals that are measured, and sends stamped messages as feedback and over a topic."""

import asyncio
import sys
from time import monotonic_ns
from typing import Any

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner
from peppygen.emitted_topics import imu
from peppygen.exposed_actions import hold, watch
from peppygen.exposed_services import echo
from peppygen.parameters import Parameters
from told import Told, serve

STAMP = 1.0e9
ORIENTATION = [1.0, 0.0, 0.0, 0.5]
PAUSE = 0.0005
"""Seconds between two stamped messages: whoever reads sleeps when the next one comes."""


class Server(Told):
    """Goals live until they are cancelled."""

    def __init__(self, runner: NodeRunner) -> None:
        super().__init__()
        self._runner = runner
        self._watched: watch.GoalContext | None = None

    async def serve_calls(self) -> None:
        while not self._runner.cancellation_token().is_cancelled():
            await echo.handle_next_request(self._runner, answer)

    async def accept(self, module: Any) -> None:
        action = await module.ActionHandle.expose(self._runner)
        workers: set[asyncio.Task[None]] = set()
        while (context := await action.handle_goal_next_request(lambda _: module.GoalResponse.accept())) is not None:
            if module is watch:
                self._watched = context
            worker = asyncio.create_task(work(context))
            workers.add(worker)
            worker.add_done_callback(workers.discard)
            del context, worker

    async def send_feedback(self, count: int) -> None:
        """To the goal of `watch` that was accepted last."""
        assert self._watched is not None
        for _ in range(count):
            await asyncio.sleep(PAUSE)
            await self._watched.publish_feedback(monotonic_ns(), STAMP, ORIENTATION)
        self._watched = None

    async def send_topic(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(PAUSE)
            await imu.emit(self._runner, monotonic_ns(), STAMP, ORIENTATION)


def answer(request: echo.Request) -> echo.Response:
    data = request.data
    return echo.Response(data.number, data.stamp, data.orientation)


async def work(context: Any) -> None:
    await context.cancel_signal()
    await context.complete_cancelled()


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[Any]]:
    server = Server(runner)
    await imu.declare_publisher(runner)
    accepting = [asyncio.create_task(server.accept(module)) for module in (hold, watch)]
    return [asyncio.create_task(server.serve_calls()), *accepting, asyncio.create_task(serve(params.control, server))]


if __name__ == "__main__":
    NodeBuilder().run(setup)
