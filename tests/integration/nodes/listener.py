"""A consumer that does what a test tells it over a socket: one JSON object a line, one answer a line."""

import asyncio
import sys
from typing import Any

sys.path.insert(0, ".peppy/libs/peppygen")

from peppygen import NodeBuilder, NodeRunner, consumed_topics
from peppygen.parameters import Parameters

TOPICS = {name: getattr(consumed_topics, name) for name in consumed_topics.__all__}


class Listener:
    """Subscriptions by number; a message is told as [producer, number, whether every byte is as it must be]."""

    def __init__(self, runner: NodeRunner) -> None:
        self.runner = runner
        self.subscriptions: list[Any] = []
        self.loans: list[Any] = []
        self.saved: list[Any] = []

    async def subscribe(self, topic: str) -> int:
        self.subscriptions.append(await TOPICS[topic].subscribe(self.runner))
        return len(self.subscriptions) - 1

    async def subscribe_later(self, topic: str) -> int:
        """Without waiting for the daemon."""
        self.subscriptions.append(TOPICS[topic].subscribe(self.runner))
        return len(self.subscriptions) - 1

    async def subscribe_and_close(self, topic: str, count: int) -> bool:
        for _ in range(count):
            (await TOPICS[topic].subscribe(self.runner)).close()
        return True

    async def next(self, number: int = 0, timeout: float = 20.0) -> Any:
        try:
            async with asyncio.timeout(timeout):
                return told(await self.subscriptions[number].next())
        except TimeoutError:
            return "nothing"

    async def take(self, number: int = 0) -> Any:
        return told(self.subscriptions[number].take())

    async def take_all(self, number: int = 0) -> list[Any]:
        found: list[Any] = []
        while (message := self.subscriptions[number].take()) is not None:
            found.append(told(message))
        return found

    async def take_many(self, limit: int, number: int = 0) -> list[Any]:
        return [told(message) for message in self.subscriptions[number].take_many(limit)]

    async def take_until(self, last: int, number: int = 0, timeout: float = 30.0) -> list[Any]:
        """Read until message `last` has come."""
        found: list[Any] = []
        async with asyncio.timeout(timeout):
            while not found or found[-1][1] < last:
                found.append(told(await self.subscriptions[number].next()))
        return found

    async def take_slowly(self, last: int, pause: float, number: int = 0) -> list[Any]:
        """Read until message `last` has come, with a pause after each."""
        found: list[Any] = []
        while not found or found[-1][1] < last:
            found.append(told(await self.subscriptions[number].next()))
            await asyncio.sleep(pause)
        return found

    async def take_blocking(self, timeout: float, number: int = 0) -> Any:
        subscription = self.subscriptions[number]
        return told(await asyncio.to_thread(subscription.take_blocking, timeout))

    async def on_next(self, topic: str, callers: int = 1) -> list[Any]:
        """What so many callers that wait at the same time receive."""
        waiting = [TOPICS[topic].on_next_message_received(self.runner) for _ in range(callers)]
        return [told(message) for message in await asyncio.gather(*waiting)]

    async def keep_loan(self, number: int = 0) -> list[Any]:
        loan = await self.subscriptions[number].next_loan()
        self.loans.append(loan)
        self.saved.append(loan.message.data)
        return told((loan.instance_id, loan.message))

    async def release_loans(self) -> bool:
        for loan in self.loans:
            loan.release()
        self.loans.clear()
        return True

    async def saved_are(self, numbers: list[int]) -> bool:
        """Whether the arrays saved from loans still show these messages, byte by byte."""
        return [set(data) for data in self.saved] == [{number % 256} for number in numbers]

    async def stats(self, number: int = 0) -> dict[str, int]:
        return self.subscriptions[number].stats()._asdict()

    async def info(self, number: int = 0) -> dict[str, Any]:
        return self.subscriptions[number].info._asdict()

    async def close(self, number: int = 0) -> bool:
        self.subscriptions[number].close()
        return True

    async def topic_stats(self) -> Any:
        return {key: [stats._asdict() for stats in found] for key, found in self.runner.topic_stats().read.items()}

    async def spin(self, topic: str) -> int:
        self.subscriptions.append(await TOPICS[topic].subscribe(self.runner, spin_us=200_000))
        return len(self.subscriptions) - 1


def told(message: Any) -> Any:
    if message is None:
        return None
    producer, payload = message
    return [producer, payload.number, set(bytes(payload.data)) <= {payload.number % 256}]


async def serve(params: Parameters, runner: NodeRunner) -> None:
    sys.path.insert(0, params.harness)
    from told import serve_commands

    await serve_commands(params.control, Listener(runner))


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(serve(params, runner))]


if __name__ == "__main__":
    NodeBuilder().run(setup)
