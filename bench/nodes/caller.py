"""Calls, fires goals, and reads stamped messages; everything that is timed goes through the generated package."""

import asyncio
import sys
from time import monotonic_ns, perf_counter_ns
from typing import Any

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner
from peppygen.consumed_actions import server_hold, server_watch
from peppygen.consumed_services import server_echo
from peppygen.consumed_topics import server_imu
from peppygen.parameters import Parameters
from told import Told, serve

LEAST, MOST, WARM_UP = 50, 20_000, 30
MOST_GOALS = 500
"""Goals of one repeat: the daemon keeps what is left of each for a while."""
STAMP = 1.0e9
LIMIT = 10.0
ACTIONS: dict[str, Any] = {"hold": server_hold, "watch": server_watch}


class Caller(Told):
    def __init__(self, runner: NodeRunner) -> None:
        super().__init__()
        self._runner = runner
        self._imu = server_imu.subscribe(runner)
        self._watching: server_watch.ActionHandle | None = None

    async def call(self, seconds: float) -> list[float]:
        """Microseconds of each round trip."""
        times: list[int] = []
        end = 0
        for number in range(WARM_UP + MOST):
            started = perf_counter_ns()
            request = server_echo.Request(number, STAMP, [1.0, 0.0, 0.0, float(number & 0xFF)])
            answer = await server_echo.poll(self._runner, request, LIMIT)
            if answer.data.number != number or answer.data.orientation[3] != number & 0xFF:
                raise RuntimeError(f"the answer to call {number} is torn")
            now = perf_counter_ns()
            times.append(now - started)
            if number == WARM_UP:
                end = now + int(seconds * 1e9)
            if end and now > end and number >= WARM_UP + LEAST:
                break
        return [time / 1000 for time in times[WARM_UP:]]

    async def fire(self, action: str, seconds: float) -> list[float]:
        """Microseconds from firing to the server's decision; each goal is ended before the next one."""
        times: list[int] = []
        end = perf_counter_ns() + int(seconds * 1e9)
        while len(times) < WARM_UP + LEAST or (len(times) < WARM_UP + MOST_GOALS and perf_counter_ns() < end):
            started = perf_counter_ns()
            handle = await self._fire(action)
            times.append(perf_counter_ns() - started)
            if not handle.data.accepted:
                raise RuntimeError(f"goal {len(times)} was rejected: {handle.data.error_message}")
            await self._finish(handle)
            del handle
        return [time / 1000 for time in times[WARM_UP:]]

    async def watch(self) -> None:
        """Fire the goal whose feedback is read next."""
        self._watching = await self._fire("watch")

    async def read_feedback(self, count: int) -> tuple[list[float], int]:
        """Microseconds from each stamp to here, and how many messages were lost."""
        handle = self._watching
        assert handle is not None
        times: list[int] = []
        for _ in range(count):
            message = await handle.on_next_feedback_message()
            times.append(monotonic_ns() - message.number)
        lost = handle.feedback_lost()
        await self._finish(handle)
        self._watching = None
        return [time / 1000 for time in times[WARM_UP:]], lost

    async def open_topic(self) -> None:
        """Be subscribed, and forget what came before."""
        await self._imu
        while self._imu.take() is not None:
            pass

    async def read_topic(self, count: int) -> tuple[list[float], int]:
        """As `read_feedback`."""
        times: list[int] = []
        for _ in range(count):
            received = await self._imu.next()
            assert received is not None
            times.append(monotonic_ns() - received[1].number)
        return [time / 1000 for time in times[WARM_UP:]], 0

    async def _fire(self, action: str) -> Any:
        module = ACTIONS[action]
        request = module.GoalRequest(len(action), STAMP, [1.0, 0.0, 0.0, 0.5])
        return await module.ActionHandle.fire_goal(self._runner, request, LIMIT)

    @staticmethod
    async def _finish(handle: Any) -> None:
        await handle.cancel_goal(LIMIT)
        await handle.get_result(LIMIT)


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(serve(params.control, Caller(runner)))]


if __name__ == "__main__":
    NodeBuilder().run(setup)
