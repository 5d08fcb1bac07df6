"""Any node of test_interfaces.py, told over a socket what to do; members are named by their generated modules."""

import asyncio
import sys
from importlib import import_module
from typing import Any

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner
from peppygen.parameters import Parameters


def module(category: str, member: str) -> Any:
    """`image`, `image_source.v1.image` or `main_image` of a category."""
    return import_module(f"peppygen.{category}.{member}")


class Sight:
    """`heard` are the members that were called here; subscriptions by their topic's module."""

    def __init__(self, runner: NodeRunner) -> None:
        self.runner = runner
        self.subscriptions: dict[str, Any] = {}
        self.heard: list[str] = []
        self.kept: list[Any] = []

    async def publish(self, topic: str, number: int) -> bool:
        await module("emitted_topics", topic).emit(self.runner, number)
        return True

    async def subscribe(self, topic: str) -> bool:
        self.subscriptions[topic] = await module("consumed_topics", topic).subscribe(self.runner)
        return True

    async def next(self, topic: str) -> list[Any]:
        producer, message = await self.subscriptions[topic].next()
        return [producer, message.number]

    async def rest(self, topic: str) -> list[list[Any]]:
        """All that is there."""
        found: list[list[Any]] = []
        while (taken := self.subscriptions[topic].take()) is not None:
            found.append([taken[0], taken[1].number])
        return found

    async def serve(self, service: str) -> bool:
        """Answer every call from now on with the name of the module that took it."""
        served = module("exposed_services", service)

        def handle(request: Any) -> Any:
            self.heard.append(service)
            return served.Response(f"{service} {request.data.number}")

        async def keep_serving() -> None:
            while not self.runner.cancellation_token().is_cancelled():
                await served.handle_next_request(self.runner, handle)

        self.kept.append(asyncio.create_task(keep_serving()))
        return True

    async def call(self, service: str, number: int = 1, timeout: float = 20.0) -> list[str]:
        called = module("consumed_services", service)
        answer = await called.poll(self.runner, called.Request(number), timeout)
        return [answer.instance_id, answer.data.said]

    async def expose(self, action: str) -> bool:
        """Accept every goal and complete it with the name of the module that took it."""
        served = module("exposed_actions", action)
        handle = await served.ActionHandle.expose(self.runner)

        async def keep_accepting() -> None:
            while (goal := await handle.handle_goal_next_request(lambda _: served.GoalResponse.accept())) is not None:
                self.heard.append(action)
                await goal.publish_feedback(goal.request().data.number)
                await goal.complete(action)

        self.kept.append(asyncio.create_task(keep_accepting()))
        return True

    async def goal(self, action: str, timeout: float = 20.0) -> list[Any]:
        """Who took it, its feedback and its result."""
        fired = module("consumed_actions", action)
        handle = await fired.ActionHandle.fire_goal(self.runner, fired.GoalRequest(7), timeout)
        feedback = (await handle.on_next_feedback_message()).number
        result = await handle.get_result(timeout)
        return [result.instance_id, feedback, result.data.said]

    async def report(self) -> list[str]:
        heard, self.heard = self.heard, []
        return heard


async def serve(params: Parameters, runner: NodeRunner) -> None:
    sys.path.insert(0, params.harness)
    from told import serve_commands

    await serve_commands(params.control, Sight(runner))


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(serve(params, runner))]


if __name__ == "__main__":
    NodeBuilder().run(setup)
