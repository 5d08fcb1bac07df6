"""Who waits is woken, whoever else waits, leaves, fails or rings (docs/design/ring.md, Sleeping and waking)."""

import asyncio
import os
import random
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from runtime_topics import Bench, Ran, on_loop, put

from peppy.errors import SubscriptionClosed
from peppy.loop import EventLoop
from peppy.model.qos import QoSProfile
from peppy.runtime import source as source_module
from peppy.runtime import waiting
from peppy.runtime.subscription import Subscription
from peppy.runtime.topics import SharedReceiver

pytestmark = pytest.mark.usefixtures("kind_of_loop")

BAD = '[["number","string",0]]'
"""A format whose messages are no valid messages of the topic."""

FULL = 2**64 - 2
"""What an eventfd holds at most."""


def fill(subscription: Subscription[Any]) -> None:
    """What a producer can do that holds the doorbell: nobody else can ring it now."""
    with suppress(BlockingIOError):
        os.eventfd_write(subscription.doorbell, FULL)
    with pytest.raises(BlockingIOError):
        os.eventfd_write(subscription.doorbell, FULL)


async def threads_sleep(subscription: Subscription[Any], count: int) -> None:
    while subscription._threads_waiting < count:
        await asyncio.sleep(0.001)


# --- a doorbell whose counter is full --------------------------------------------------------------------------------


def test_a_full_doorbell_keeps_nobody_in_a_closed_subscription():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        tasks = [asyncio.create_task(subscription.next()) for _ in range(2)]
        await asyncio.sleep(0)
        fill(subscription)
        subscription.close()
        assert [await task for task in tasks] == [None] * 2

    on_loop(claim)


def test_a_full_doorbell_does_not_stop_news_of_the_topic():
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        fill(subscription)
        put(writer, 1)
        assert (await subscription.next())[1].number == 1
        fill(subscription)
        writer.close()
        another = bench.writer()
        fill(subscription)
        put(another, 2)
        assert (await subscription.next())[1].number == 2

    on_loop(claim)


@pytest.mark.parametrize("threads", [0, 2])
def test_a_doorbell_that_is_filled_again_and_again_loses_no_wake_up(threads: int):
    async def claim(bench: Bench) -> None:
        writer, subscription, found = bench.writer(), bench.subscribe(), []

        async def read() -> None:
            async for _, message in subscription:
                found.append(message.number)

        def read_on_thread() -> None:
            while (taken := subscription.take_blocking()) is not None:
                found.append(taken[1].number)

        tasks = [asyncio.create_task(read()) for _ in range(2)]
        readers = [Ran(read_on_thread) for _ in range(threads)]
        await threads_sleep(subscription, threads)
        for number in range(200):
            with suppress(BlockingIOError):
                os.eventfd_write(subscription.doorbell, FULL)
            put(writer, number)
            while len(found) <= number:
                await asyncio.sleep(0)
        subscription.close()
        await asyncio.gather(*tasks)
        for reader in readers:
            await reader.result()
        assert found == list(range(200))

    on_loop(claim)


@pytest.mark.parametrize("threads", [0, 2])
def test_a_doorbell_that_would_block_stops_no_reader(threads: int):
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        readers = [Ran(subscription.take_blocking) for _ in range(threads)]
        tasks = [asyncio.create_task(subscription.next()) for _ in range(2)]
        await threads_sleep(subscription, threads)
        os.set_blocking(subscription.doorbell, True)  # the flag belongs to whoever holds the doorbell
        for number in range(threads + 2):
            put(writer, number)
        found = [await task for task in tasks] + [await reader.result() for reader in readers]
        assert sorted(message.number for _, message in found) == list(range(threads + 2))
        subscription.close()

    on_loop(claim)


# --- who ends, fails or comes in between -----------------------------------------------------------------------------


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("urgent", [False, True], ids=["its own topic", "an urgent topic"])
def test_a_task_that_ends_the_run_takes_no_wake_up_with_it(
    kind_of_loop: Callable[[], asyncio.AbstractEventLoop], end: type[BaseException], urgent: bool
):
    loop = kind_of_loop()
    bench = Bench(loop)
    normal = bench.subscribe()
    writer = bench.writer()
    bench.control.attach_only(writer, [normal])
    watched = bench.subscribe() if urgent else normal
    critical = bench.writer(qos=QoSProfile.Critical)
    bench.control.attach_only(critical, [watched] if urgent else [])

    async def leave() -> None:
        await watched.next()
        raise end

    async def begin() -> list[asyncio.Task[Any]]:
        put(writer, 0)
        assert (await normal.next()) is not None
        tasks = [asyncio.create_task(leave()), asyncio.create_task(normal.next())]
        await asyncio.sleep(0)
        return tasks

    async def publish_and_wait(task: asyncio.Task[Any]) -> Any:
        if urgent:
            put(critical, 1)
        put(writer, 2)
        if not urgent:
            put(writer, 3)
        return await task

    leaving, reading = loop.run_until_complete(begin())
    with pytest.raises(end):
        loop.run_until_complete(publish_and_wait(reading))
    number = loop.run_until_complete(asyncio.wait_for(reading, 30))[1].number
    assert number == (2 if urgent else 3)
    assert isinstance(leaving.exception(), end)
    loop.run_until_complete(asyncio.sleep(0))
    bench.end()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_thread_that_comes_before_the_doorbell_is_read_is_woken(monkeypatch: pytest.MonkeyPatch):
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        put(writer, 0)
        assert (await subscription.next()) is not None
        gone = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        put(writer, 1)
        assert (await gone) is not None  # nobody waits any more, the doorbell is watched
        readers: list[Ran] = []
        sleeping = threading.Event()
        armed, really_quiet = subscription._armed, waiting.quiet

        def tell_armed() -> bool:
            nothing = armed()
            if nothing and threading.current_thread() is not threading.main_thread():
                sleeping.set()
            return nothing

        def late_quiet(doorbell: int) -> bool:
            if not readers and threading.current_thread() is threading.main_thread():
                readers.append(Ran(subscription.take_blocking))
                sleeping.wait()
                put(writer, 2)
            return really_quiet(doorbell)

        monkeypatch.setattr(subscription, "_armed", tell_armed)
        monkeypatch.setattr(waiting, "quiet", late_quiet)
        os.eventfd_write(subscription.doorbell, 1)
        if isinstance(bench.loop, EventLoop):
            subscription._lie_down()  # it reads what is not read when the doorbell rings
        while not readers:
            await asyncio.sleep(0)
        taken = await readers[0].result()
        assert taken[1].number == 2

    on_loop(claim)


def test_a_doorbell_that_could_not_be_watched_is_watched_the_next_time(monkeypatch: pytest.MonkeyPatch):
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()

        def refuse() -> None:
            raise OSError("no room")

        with monkeypatch.context() as refusing:
            refusing.setattr(subscription, "_watch", refuse)
            with pytest.raises(OSError, match="no room"):
                await subscription.next()
        reading = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        put(writer, 1)
        assert (await reading)[1].number == 1

    on_loop(claim)


# --- messages that nobody can decode ---------------------------------------------------------------------------------


async def _next(subscription: Subscription[Any]) -> int:
    return (await subscription.next())[1].number


async def _next_loan(subscription: Subscription[Any]) -> int:
    async with subscription.next_loan() as loan:
        assert loan is not None
        return loan.message.number


async def _next_of_all(subscription: Subscription[Any]) -> int:
    return (await SharedReceiver(subscription).next())[1].number


async def _next_on_thread(subscription: Subscription[Any]) -> int:
    return (await Ran(subscription.take_blocking).result())[1].number


@pytest.mark.parametrize("read", [_next, _next_loan, _next_of_all, _next_on_thread])
def test_a_flood_of_undecodable_messages_leaves_the_loop_to_others(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[Subscription[Any]], Awaitable[int]]
):
    monkeypatch.setattr(source_module, "MOST_UNDECODABLE", 4)

    async def claim(bench: Bench) -> None:
        subscription, bad = bench.subscribe(), bench.writer(format_text=BAD)
        for _ in range(20):
            put(bad, "no number")
        turns: list[int] = []
        reading = asyncio.ensure_future(read(subscription))
        while subscription.stats().lost < 20:
            await asyncio.sleep(0)
            turns.append(subscription.stats().lost)
        put(bench.writer(), 7)
        assert await reading == 7
        assert subscription.stats().lost == 20
        if read is not _next_on_thread:
            steps = [later - earlier for earlier, later in zip([0, *turns], turns, strict=False)]
            assert max(steps) <= 5  # the first is met by the way of every message, then four

    on_loop(claim, depth=64)


# --- fairness --------------------------------------------------------------------------------------------------------


def test_a_topic_that_never_rests_leaves_their_turn_to_timers_sockets_threads_and_other_topics():
    async def claim(bench: Bench) -> None:
        loop, chatty, quiet = asyncio.get_running_loop(), bench.subscribe(), bench.subscribe()
        talking, calm, end = bench.writer(), bench.writer(), threading.Event()
        bench.control.attach_only(talking, [chatty])
        bench.control.attach_only(calm, [quiet])

        def talk() -> None:
            number = 0
            while not end.is_set():
                put(talking, number := number + 1)

        async def hear() -> None:
            async for _ in chatty:
                pass

        hearing, talker = asyncio.create_task(hear()), Ran(talk)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            for number in range(10):
                await asyncio.sleep(0.0001)
                theirs.send(b"x")
                assert await loop.sock_recv(ours, 1) == b"x"
                await asyncio.to_thread(put, calm, number)
                assert (await quiet.next())[1].number == number
                await asyncio.get_running_loop().run_in_executor(None, int)
        end.set()
        await talker.result()
        chatty.close()
        await hearing

    on_loop(claim)


# --- everything at once ----------------------------------------------------------------------------------------------


class Crowd:
    """Tasks and threads that read one subscription, tasks that are cancelled, and what they found."""

    def __init__(self, subscription: Subscription[Any], seed: int) -> None:
        self.found: list[int] = []
        self._subscription = subscription
        self._numbers = random.Random(seed)
        self._tasks: list[asyncio.Task[None]] = []
        self._threads: list[Ran] = []

    def take(self, taken: tuple[str, Any] | None) -> None:
        if taken is not None:
            self.found.append(taken[1].number)

    async def start(self, tasks: int, threads: int) -> None:
        self._tasks = [asyncio.create_task(self._read(index)) for index in range(tasks)]
        self._threads = [Ran(partial(self._read_on_thread, seed)) for seed in range(threads)]
        await asyncio.sleep(0)  # a task that is cancelled before it has begun never begins

    async def _read(self, index: int) -> None:
        """`index` 0 is never cancelled or late: nobody else comes to help when it is left asleep."""
        subscription = self._subscription
        while not subscription.closed:
            way = self._numbers.randrange(4) if index else 0
            with suppress(asyncio.TimeoutError, asyncio.CancelledError, SubscriptionClosed):
                if way == 0:
                    self.take(await subscription.next())
                elif way == 1:
                    self.take(await asyncio.wait_for(subscription.next(), self._numbers.uniform(0, 300e-6)))
                elif way == 2:
                    if await subscription.wait():
                        for taken in subscription.take_many(3):
                            self.take(taken)
                elif (loan := await subscription.next_loan()) is not None:
                    with loan:
                        self.found.append(loan.message.number)

    def _read_on_thread(self, seed: int) -> None:
        numbers = random.Random(seed)
        while not self._subscription.closed:
            late = seed > 0 and numbers.randrange(2)
            self.take(self._subscription.take_blocking(numbers.uniform(0, 300e-6) if late else None))

    def cancel_one(self) -> None:
        if len(self._tasks) > 1:
            self._tasks[self._numbers.randrange(1, len(self._tasks))].cancel()

    async def end(self) -> None:
        self._subscription.close()
        await asyncio.gather(*self._tasks)
        for thread in self._threads:
            await thread.result()


@pytest.mark.parametrize(("tasks", "threads"), [(4, 0), (0, 4), (1, 1), (3, 3)], ids=lambda count: str(count))
@pytest.mark.parametrize("qos", [QoSProfile.Standard, QoSProfile.Critical], ids=lambda qos: qos.name)
def test_whoever_reads_together_gets_every_message_once_and_nobody_sleeps_on(tasks: int, threads: int, qos: QoSProfile):
    async def claim(bench: Bench) -> None:
        subscription, numbers = bench.subscribe(), random.Random(tasks)
        writers = [bench.writer(qos=qos) for _ in range(2)]
        crowd = Crowd(subscription, seed=threads)
        await crowd.start(tasks, threads)
        published = 0

        def publish(first: int, count: int) -> None:
            for number in range(first, first + count):
                put(writers[number % 2], number)

        for _ in range(150):
            count = numbers.choice([1, 1, 1, 2, 5, 20])
            if numbers.randrange(2):
                await Ran(partial(publish, published, count)).result()
            else:
                publish(published, count)
            published += count
            if numbers.randrange(2):
                crowd.cancel_one()
            while len(crowd.found) < published:  # with nothing more to come, nobody may need another ring
                await asyncio.sleep(0)
                if numbers.randrange(4) == 0:
                    crowd.cancel_one()
        await crowd.end()
        assert sorted(crowd.found) == list(range(published))

    on_loop(claim, depth=64)


@pytest.mark.parametrize("from_thread", [False, True], ids=["on the loop", "from a thread"])
def test_a_close_at_any_point_ends_every_read(from_thread: bool):
    async def claim(bench: Bench) -> None:
        writer, numbers = bench.writer(), random.Random(5)
        for number in range(60):
            subscription = bench.subscribe()
            crowd = Crowd(subscription, seed=number)
            await crowd.start(tasks=2, threads=2)
            for _ in range(numbers.randrange(4)):
                await asyncio.sleep(0)
                put(writer, number)
            closing = Ran(subscription.close) if from_thread else None
            if numbers.randrange(2):
                put(writer, number)
            await crowd.end()
            if closing is not None:
                await closing.result()

    on_loop(claim, depth=64)
