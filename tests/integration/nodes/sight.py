"""Any node of test_interfaces.py and test_routing.py, told over a socket what to do; members are named by their
generated modules."""

import asyncio
import os
import signal
import sys
import time
from importlib import import_module
from typing import Any

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner
from peppygen.parameters import Parameters

from peppy.errors import ActionFeedbackClosed
from peppy.protocol.calls import Discovered


def module(category: str, member: str) -> Any:
    """`image`, `image_source.v1.image` or `main_image` of a category."""
    return import_module(f"peppygen.{category}.{member}")


class Sight:
    """`heard` are the members that were called here, `probes` how often the framework has answered that it is there;
    subscriptions by their topic's module, goals in the order in which they were fired."""

    def __init__(self, runner: NodeRunner) -> None:
        self.runner = runner
        self.subscriptions: dict[str, Any] = {}
        self.heard: list[str] = []
        self.kept: list[Any] = []
        self.goals: list[Any] = []
        self.probes = 0
        self.dies_when_probed = False
        self.watch_probes()

    def watch_probes(self) -> None:
        """No node sees a probe, so this looks at what the framework sends."""
        link: Any = self.runner.endpoints._link
        send = link.send

        def watched(frame: Any, *rest: Any, **more: Any) -> Any:
            generation = send(frame, *rest, **more)
            if isinstance(frame, Discovered):
                self.probes += 1
                if self.dies_when_probed:
                    os.kill(os.getpid(), signal.SIGKILL)
            return generation

        link.send = watched

    async def die_when_probed(self) -> bool:
        self.dies_when_probed = True
        return True

    async def probed(self) -> int:
        return self.probes

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

    async def poll_often(self, service: str, count: int) -> list[str]:
        """Who has answered, one call after the other."""
        return sorted({(await self.call(service, number))[0] for number in range(count)})

    async def expose(self, action: str) -> bool:
        """Accept every goal and complete it with the name of the module that took it; goal 0 waits to be cancelled."""
        served = module("exposed_actions", action)
        handle = await served.ActionHandle.expose(self.runner)

        async def work(goal: Any) -> None:
            await goal.publish_feedback(goal.request().data.number)
            if goal.request().data.number == 0:
                await goal.cancel_signal()
                await goal.complete_cancelled(action)
            await goal.complete(action)

        async def keep_accepting() -> None:
            while (goal := await handle.handle_goal_next_request(lambda _: served.GoalResponse.accept())) is not None:
                self.heard.append(action)
                self.kept.append(asyncio.create_task(work(goal)))

        self.kept.append(asyncio.create_task(keep_accepting()))
        return True

    async def fire(self, action: str, number: int = 0, timeout: float = 20.0) -> int:
        fired = module("consumed_actions", action)
        self.goals.append(await fired.ActionHandle.fire_goal(self.runner, fired.GoalRequest(number), timeout))
        return len(self.goals) - 1

    async def feedback(self, goal: int) -> int | None:
        """The next message; None at the end."""
        try:
            return (await self.goals[goal].on_next_feedback_message()).number
        except ActionFeedbackClosed:
            return None

    async def cancel(self, goal: int) -> list[str]:
        """What became of it, and who said so."""
        response = await self.goals[goal].cancel_goal(20.0)
        return [response.state.name, response.instance_id]

    async def result(self, goal: int) -> list[str]:
        """How it ended, and whose it was."""
        result = await self.goals[goal].get_result(20.0)
        return [result.status.name, result.instance_id]

    async def goal(self, action: str, number: int = 7, timeout: float = 20.0) -> list[Any]:
        """Who took it, its feedback and its result."""
        goal = self.goals[await self.fire(action, number, timeout)]
        feedback = (await goal.on_next_feedback_message()).number
        result = await goal.get_result(timeout)
        return [result.instance_id, feedback, result.data.said]

    async def timed(self, way: str, **arguments: Any) -> list[Any]:
        """How a `call` or a `goal` fails, and after how many seconds."""
        began = time.monotonic()
        try:
            await getattr(self, way)(**arguments)
        except Exception as error:
            return [type(error).__name__, time.monotonic() - began]
        return ["nothing", time.monotonic() - began]

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
