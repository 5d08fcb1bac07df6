"""A producer that does what a test tells it over a socket: one JSON object a line, one answer a line."""

import asyncio
import sys
import time
from typing import Any

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner, emitted_topics
from peppygen.parameters import Parameters

TOPICS = {name: getattr(emitted_topics, name) for name in emitted_topics.__all__}


class Talker:
    """`number` counts the messages of a topic from 1; every byte of a message is its number modulo 256.

    A message that is not written takes no number.
    """

    def __init__(self, runner: NodeRunner) -> None:
        self.runner = runner
        self.numbers = dict.fromkeys(TOPICS, 0)
        self.publishers = {name: topic.declare_publisher(runner) for name, topic in TOPICS.items()}

    async def publish(self, topic: str, count: int = 1, size: int = 8, pause: float = 0.0) -> int:
        for _ in range(count):
            number = self.numbers[topic] + 1
            self.publishers[topic].publish(number, bytes([number % 256]) * size)
            self.numbers[topic] = number
            if pause:
                await asyncio.sleep(pause)
        return self.numbers[topic]

    async def publish_and_end(self, topic: str, count: int) -> None:
        """The node ends in the same moment."""
        await self.publish(topic, count)
        self.runner.cancellation_token().cancel()

    async def emit(self, topic: str, count: int = 1, size: int = 8) -> int:
        for _ in range(count):
            number = self.numbers[topic] + 1
            await TOPICS[topic].emit(self.runner, number, bytes([number % 256]) * size)
            self.numbers[topic] = number
        return self.numbers[topic]

    async def emit_cancelled(self, topic: str, seconds: float) -> str:
        try:
            async with asyncio.timeout(seconds):
                await self.emit(topic)
        except TimeoutError as error:
            return type(error).__name__
        return "written"

    async def publish_on_thread(self, topic: str, count: int) -> int:
        for _ in range(count):
            number = self.numbers[topic] + 1
            await asyncio.to_thread(self.publishers[topic].publish, number, bytes([number % 256]) * 8)
            self.numbers[topic] = number
        return self.numbers[topic]

    async def loan(self, topic: str, size: int) -> int:
        self.numbers[topic] += 1
        async with self.publishers[topic].loan(shapes={"data": size}) as message:
            message.number = self.numbers[topic]
            message.data[...] = self.numbers[topic] % 256
        return self.numbers[topic]

    async def stats(self, topic: str) -> dict[str, int]:
        return self.publishers[topic].stats()._asdict()

    async def block(self, seconds: float) -> bool:
        """Answer at once, then keep the event loop busy."""
        asyncio.get_running_loop().call_soon(time.sleep, seconds)
        return True


async def serve(params: Parameters, runner: NodeRunner) -> None:
    sys.path.insert(0, params.harness)
    from told import serve_commands

    await serve_commands(params.control, Talker(runner))


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(serve(params, runner))]


if __name__ == "__main__":
    NodeBuilder().run(setup)
