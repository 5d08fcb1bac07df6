"""Says when its interpreter was started, as soon as it can."""

import asyncio
import os
import sys

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner
from peppygen.emitted_topics import hello
from peppygen.parameters import Parameters


async def setup(_params: Parameters, runner: NodeRunner) -> list[asyncio.Task[None]]:
    await hello.emit(runner, int(os.environ["BENCH_STARTED"]))
    return []


if __name__ == "__main__":
    NodeBuilder().run(setup)
