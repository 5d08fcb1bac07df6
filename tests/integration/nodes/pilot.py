"""An action client that does what a test tells it over a socket. Goals are numbered in the order in which they were
fired; a rejected one has a number too."""

import asyncio
import gc
import sys
from typing import Any

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner, QoSProfile
from peppygen.consumed_actions import main_calibrate, main_move, main_note, rest_move
from peppygen.parameters import Parameters

from peppy.errors import ActionFeedbackClosed

ACTIONS: dict[str, Any] = {"main": main_move, "rest": rest_move}


class Pilot:
    """Feedback is told as [arm id, step], closed feedback as "closed"."""

    def __init__(self, runner: NodeRunner) -> None:
        self.runner = runner
        self.handles: dict[int, Any] = {}
        self.fired = 0

    async def fire(
        self,
        slot: str = "main",
        decide: str = "accept",
        work: str = "keep",
        count: int = 0,
        arm_id: int = 1,
        timeout: float = 30.0,
        qos: str | None = None,
    ) -> dict[str, Any]:
        module = ACTIONS[slot]
        request = module.GoalRequest(arm_id, decide, work, count)
        profile = None if qos is None else QoSProfile[qos]
        return self.keep(await module.ActionHandle.fire_goal(self.runner, request, timeout, profile))

    async def fire_calibrate(self, timeout: float = 30.0) -> dict[str, Any]:
        return self.keep(await main_calibrate.ActionHandle.fire_goal(self.runner, timeout))

    async def fire_note(self, count: int, size: int, qos: str | None = None) -> dict[str, Any]:
        request = main_note.GoalRequest(count, size)
        profile = None if qos is None else QoSProfile[qos]
        return self.keep(await main_note.ActionHandle.fire_goal(self.runner, request, 30.0, profile))

    def keep(self, handle: Any) -> dict[str, Any]:
        self.fired += 1
        self.handles[self.fired] = handle
        return {"goal": self.fired, "id": handle._goal_id, **handle.data._asdict()}

    async def fire_many(self, goals: int, count: int, qos: str | None = None) -> dict[str, Any]:
        """Goals at the same time, each with its own arm id; everything they send and how they end."""

        async def one(arm_id: int) -> dict[str, Any]:
            request = main_move.GoalRequest(arm_id, "accept", "complete", count)
            profile = None if qos is None else QoSProfile[qos]
            handle = await main_move.ActionHandle.fire_goal(self.runner, request, 60.0, profile)
            messages = await read(handle)
            result = await handle.get_result(60.0)
            right = [[arm_id, step] for step in range(count)] == messages
            return {"right": right, "status": result.status.name, "lost": handle.feedback_lost()}

        found = await asyncio.gather(*(one(arm_id) for arm_id in range(goals)))
        return {
            "right": sum(each["right"] for each in found),
            "statuses": sorted({each["status"] for each in found}),
            "lost": sum(each["lost"] for each in found),
        }

    async def hold_many(self, goals: int) -> list[int]:
        """Live goals at the same time; fewer are fired at once than a server queues."""
        fired: list[dict[str, Any]] = []
        while len(fired) < goals:
            fired += await asyncio.gather(*(self.fire(arm_id=arm_id) for arm_id in range(min(100, goals - len(fired)))))
        return [each["goal"] for each in fired]

    async def cancel_all(self, goals: list[int]) -> list[str]:
        found = await asyncio.gather(*(self.handles[goal].cancel_goal(30.0) for goal in goals))
        return sorted({each.state.name for each in found})

    async def feedback(self, goal: int) -> list[Any]:
        """Everything up to the end."""
        return await read(self.handles[goal])

    async def next_feedback(self, goal: int) -> Any:
        return await next_of(self.handles[goal])

    async def notes(self, goal: int) -> list[int]:
        found: list[int] = []
        try:
            while True:
                found.append(len((await self.handles[goal].on_next_feedback_message()).text))
        except ActionFeedbackClosed:
            return found

    async def cancelled_read(self, goal: int) -> bool:
        """A read that is cancelled while it waits."""
        reading = asyncio.create_task(self.handles[goal].on_next_feedback_message())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        return reading.cancelled()

    async def lost(self, goal: int) -> int:
        return self.handles[goal].feedback_lost()

    async def result(self, goal: int, timeout: float = 30.0) -> dict[str, Any]:
        result = await self.handles[goal].get_result(timeout)
        data = getattr(result, "data", None)
        return {
            "status": result.status.name,
            "data": None if data is None else [data.success, list(data.position)],
            "bytes": len(data.log or b"") if data is not None else 0,
            "instance_id": result.instance_id,
            "core_node": result.core_node,
        }

    async def cancel(self, goal: int, timeout: float = 30.0) -> dict[str, Any]:
        response = await self.handles[goal].cancel_goal(timeout)
        return {"state": response.state.name, "instance_id": response.instance_id}

    async def fire_and_cancel(self) -> str:
        """The cancel follows at once."""
        handle = self.handles[(await self.fire(work="cancel"))["goal"]]
        return (await handle.cancel_goal(30.0)).state.name

    async def drop(self, goal: int) -> bool:
        del self.handles[goal]
        gc.collect()
        return True

    async def drop_all(self) -> bool:
        self.handles.clear()
        gc.collect()
        return True


async def next_of(handle: Any) -> Any:
    try:
        message = await handle.on_next_feedback_message()
    except ActionFeedbackClosed:
        return "closed"
    return [message.arm_id, message.step]


async def read(handle: Any) -> list[Any]:
    found: list[Any] = []
    while (message := await next_of(handle)) != "closed":
        found.append(message)
    return found


async def serve(params: Parameters, runner: NodeRunner) -> None:
    sys.path.insert(0, params.harness)
    from told import serve_commands

    await serve_commands(params.control, Pilot(runner))


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(serve(params, runner))]


if __name__ == "__main__":
    NodeBuilder().run(setup)
