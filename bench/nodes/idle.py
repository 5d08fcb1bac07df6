"""Waits for messages that never come."""

import asyncio
import sys

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner
from peppygen.consumed_topics import starter_hello
from peppygen.parameters import Parameters


async def wait(runner: NodeRunner) -> None:
    async for _, message in starter_hello.subscribe(runner):
        print(message.started)


async def setup(_params: Parameters, runner: NodeRunner) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(wait(runner))]


if __name__ == "__main__":
    NodeBuilder().run(setup)
