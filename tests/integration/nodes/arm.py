"""An action server that does what a test tells it over a socket; its goals say how they are decided and worked on."""

import asyncio
import gc
import sys
from collections.abc import Awaitable
from typing import Any

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner
from peppygen.exposed_actions import calibrate, move, note
from peppygen.parameters import Parameters

POSITION = [1, 2, 3]


class Arm:
    """`contexts` are those that the node keeps itself, by goal id; `heard` what it has met."""

    def __init__(self, runner: NodeRunner) -> None:
        self.runner = runner
        self.contexts: dict[str, Any] = {}
        self.accepted: list[str] = []
        self.busy: set[int] = set()
        self.errors: list[BaseException] = []
        self.heard: list[str] = []
        self.gate = asyncio.Event()
        self.loops: dict[str, asyncio.Task[None]] = {}

    # --- accepting -----------------------------------------------------------------------------------------------

    async def expose(self, name: str = "move") -> bool:
        module: Any = {"move": move, "calibrate": calibrate, "note": note}[name]
        action = await module.ActionHandle.expose(self.runner)
        self.loops[name] = asyncio.create_task(self.accept(name, action))
        return True

    async def accept(self, name: str, action: Any) -> None:
        """The usual loop: its variable names the last context while it waits for the next goal, and the action."""
        decide, work = (self.decide, self.work) if name == "move" else (accept_all, self.plain_work)
        while (ctx := await action.handle_goal_next_request(decide)) is not None:
            self.accepted.append(ctx.goal_id())
            asyncio.create_task(work(ctx)).add_done_callback(self.store_error)
        print(f"the loop of {name} has ended")

    def decide(self, request: Any) -> Any:
        data = request.data
        self.heard.append(f"decided {data.arm_id}")
        match data.decide:
            case "accept":
                return move.GoalResponse.accept()
            case "busy":
                if data.arm_id in self.busy:
                    return move.GoalResponse.reject(f"arm {data.arm_id} is already moving")
                self.busy.add(data.arm_id)
                return move.GoalResponse.accept()
            case "gate":
                return self.wait_at_gate()
            case "raise":
                raise KeyError("no such arm")
            case "none":
                return None
            case reason:
                return move.GoalResponse.reject(reason)

    async def wait_at_gate(self) -> Any:
        await self.gate.wait()
        return move.GoalResponse.accept()

    async def open_gate(self) -> bool:
        self.gate.set()
        return True

    async def close_gate(self) -> bool:
        self.gate.clear()
        return True

    # --- working -------------------------------------------------------------------------------------------------

    async def work(self, ctx: move.GoalContext) -> None:
        data = ctx.request().data
        try:
            for step in range(data.count):
                await ctx.publish_feedback(data.arm_id, step)
            await self.finish(ctx, data.work)
        finally:
            self.busy.discard(data.arm_id)

    async def finish(self, ctx: move.GoalContext, work: str) -> None:
        match work:
            case "complete":
                await ctx.complete(True, POSITION, None)
            case "large":
                await ctx.complete(True, POSITION, bytes(300_000))
            case "cancel":
                await ctx.cancel_signal()
                self.heard.append(f"cancelled {ctx.is_cancelled()}")
                await ctx.complete_cancelled(False, [0, 0, 0], None)
            case "keep":
                self.contexts[ctx.goal_id()] = ctx
            case "twice":
                await ctx.complete(True, POSITION, None)
                await ctx.complete_cancelled(False, [0, 0, 0], None)
            case "wrong":
                self.contexts[ctx.goal_id()] = ctx
                try:
                    await ctx.complete(True, [1], None)
                except ValueError as error:
                    self.heard.append(str(error))
            case "raise":
                raise ValueError("the worker fails")
            case "tidy":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    await ctx.complete_cancelled(False, POSITION, None)
                    raise
            case "forever":
                await asyncio.Event().wait()
            case "return":
                return

    async def plain_work(self, ctx: Any) -> None:
        if isinstance(ctx, note.GoalContext):
            data = ctx.request().data
            for _ in range(data.count):
                await ctx.publish_feedback("x" * data.size)
        self.heard.append(f"data {hasattr(ctx.request(), 'data')}")
        await ctx.complete()

    def store_error(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(error)

    # --- told ----------------------------------------------------------------------------------------------------

    async def publish(self, goal: str, count: int) -> bool:
        ctx = self.contexts[goal]
        for step in range(count):
            await ctx.publish_feedback(ctx.request().data.arm_id, step)
        return True

    async def complete(self, goal: str) -> bool:
        await self.contexts.pop(goal).complete(True, POSITION, None)
        return True

    async def complete_all(self) -> int:
        """Complete every goal that is kept; how many."""
        contexts, self.contexts = self.contexts, {}
        await asyncio.gather(*(ctx.complete(True, POSITION, None) for ctx in contexts.values()))
        return len(contexts)

    async def forget(self, goal: str) -> bool:
        del self.contexts[goal]
        return True

    async def is_cancelled(self, goal: str) -> bool:
        return self.contexts[goal].is_cancelled()

    async def drop_action(self, name: str) -> bool:
        """End the accept loop, which alone holds the action."""
        self.loops[name].cancel()
        await asyncio.wait([self.loops.pop(name)])
        gc.collect()  # what was cancelled leaves a circle of frames behind
        return True

    async def collect(self) -> bool:
        gc.collect()
        return True

    async def is_kept(self, goal: str) -> bool:
        return goal in self.contexts

    async def said(self) -> dict[str, Any]:
        return {"accepted": self.accepted, "heard": self.heard, "errors": [repr(error) for error in self.errors]}


def accept_all(_request: Any) -> Awaitable[Any] | Any:
    return calibrate.GoalResponse.accept()


async def serve(params: Parameters, runner: NodeRunner) -> None:
    sys.path.insert(0, params.harness)
    from told import serve_commands

    await serve_commands(params.control, Arm(runner))


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(serve(params, runner))]


if __name__ == "__main__":
    NodeBuilder().run(setup)
