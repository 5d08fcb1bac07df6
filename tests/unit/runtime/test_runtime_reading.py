"""What readers of a topic are promised, within one process (docs/reference/qos.md, 5 to 7)."""

import asyncio
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from runtime_topics import BULK, PRODUCER, Bench, Ran, on_loop, put

from peppy.errors import SubscriptionClosed, TooManyReaders
from peppy.ring import History
from peppy.runtime import waiting
from peppy.runtime.subscription import Subscription
from peppy.runtime.topics import SharedReceiver

pytestmark = pytest.mark.usefixtures("kind_of_loop")

BAD = '[["number","string",0]]'
"""A format whose messages are no valid messages of the topic."""


def numbers(found: list[tuple[str, Any]]) -> list[int]:
    return [message.number for _, message in found]


def counted(subscription: Subscription[Any]) -> int:
    stats = subscription.stats()
    return stats.received + stats.lost + stats.lag


def descriptors() -> int:
    """How many file descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def many_turns() -> None:
    """Let everybody on the loop go as far as they get."""
    for _ in range(10):
        await asyncio.sleep(0)


async def sleeps(subscription: Subscription[Any], threads: int) -> None:
    """Until so many threads wait."""
    while subscription._threads_waiting < threads:
        await asyncio.sleep(0.001)


# --- counters ----------------------------------------------------------------------------------------------------


def test_every_message_is_received_lost_or_still_there():
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        for number in range(1, 41):
            put(writer, number)
            assert counted(subscription) == number
            if number % 15 == 0:
                subscription.take()
                assert counted(subscription) == number
        received = subscription.take_many(100)
        stats = subscription.stats()
        assert (stats.received, stats.lag) == (len(received) + 2, 0)
        assert counted(subscription) == 40

    on_loop(claim)


def test_a_message_that_cannot_be_decoded_counts_as_lost(capfd: pytest.CaptureFixture[str]):
    async def claim(bench: Bench) -> None:
        writer, bad, subscription = bench.writer(), bench.writer(format_text=BAD), bench.subscribe()
        put(bad, "no number")
        put(writer, 1)
        assert numbers([await subscription.next()]) == [1]
        stats = subscription.stats()
        assert (stats.received, stats.lost, stats.lag) == (1, 1, 0)

    on_loop(claim)
    assert capfd.readouterr().err.count("DecodeError in 1 message(s) of topic `t` from `t1`") == 1


def test_a_flood_of_undecodable_messages_is_told_once(capfd: pytest.CaptureFixture[str]):
    async def claim(bench: Bench) -> None:
        bad, subscription = bench.writer(format_text=BAD), bench.subscribe()
        for _ in range(5):
            put(bad, "no number")
        assert subscription.take_many(3) == []
        assert subscription.take() is None
        assert (subscription.stats().received, subscription.stats().lost) == (0, 5)

    on_loop(claim)
    assert capfd.readouterr().err.count("DecodeError") == 1


@pytest.mark.parametrize("way", ["next", "loan", "shared"])
def test_a_reader_that_never_waits_leaves_the_loop_to_others(monkeypatch: pytest.MonkeyPatch, way: str):
    monkeypatch.setattr(waiting, "LONGEST_TURN_NS", 0)

    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        shared = SharedReceiver(subscription)
        passes, done = 0, False

        def count() -> None:
            nonlocal passes
            passes += 1
            if not done:
                asyncio.get_running_loop().call_soon(count)

        for number in range(8):
            put(writer, number)
        count()
        for _ in range(8):
            if way == "loan":
                (await subscription.next_loan()).release()
            else:
                await (subscription.next() if way == "next" else shared.next())
        done = True
        assert passes >= 4
        assert subscription.stats().received == 8

    on_loop(claim)


def test_counters_go_on_over_a_restart_of_the_producer():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        for life in (1, 2):
            writer = bench.writer()
            for number in range(3):
                put(writer, number)
            writer.close()
            assert counted(subscription) == 3 * life
            assert numbers(subscription.take_many(10)) == [0, 1, 2]
            assert subscription.take() is None
            assert counted(subscription) == subscription.stats().received == 3 * life

    on_loop(claim)


def test_history_counts_and_what_was_before_it_does_not():
    async def claim(bench: Bench) -> None:
        writer = bench.writer()
        for number in range(20):
            put(writer, number)
        late = bench.subscribe()
        put(writer, 20)
        assert (numbers(late.take_many(10)), counted(late)) == ([20], 1)
        early = bench.subscribe()
        early.stream_gone(writer.stream_id)
        assert early.take() is None
        bench.control.attach(writer, early, History.ALL)
        held = numbers(early.take_many(100))
        assert held == list(range(21 - len(held), 21))
        assert counted(early) == len(held) > 0

    on_loop(claim)


def test_counters_of_closed_subscriptions_stay_in_the_node_s():
    async def claim(bench: Bench) -> None:
        writer = bench.writer()
        put(writer, 0)
        for number in range(3):
            subscription = bench.subscribe()
            put(writer, number)
            subscription.take()
            subscription.close()
        bench.subscribe()
        read = bench.topics.stats().read["slot/t"]
        assert [stats.received for stats in read] == [3, 0]

    on_loop(claim)


# --- waiting -----------------------------------------------------------------------------------------------------


def test_a_cancelled_wait_leaves_the_message_to_the_next_read():
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        first, second = asyncio.create_task(subscription.next()), asyncio.create_task(subscription.next())
        await many_turns()
        put(writer, 1)
        first.cancel()
        assert numbers([await second]) == [1]
        assert (await asyncio.gather(first, return_exceptions=True))[0].__class__ is asyncio.CancelledError

    on_loop(claim)


def test_threads_and_tasks_that_wait_together_get_all_messages():
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        threads = [Ran(subscription.take_blocking) for _ in range(3)]
        tasks = [asyncio.create_task(subscription.next()) for _ in range(3)]
        await sleeps(subscription, 3)
        for number in range(6):
            put(writer, number)
        found = [await task for task in tasks] + [await thread.result() for thread in threads]
        assert sorted(numbers(found)) == list(range(6))

    on_loop(claim)


def test_readers_that_come_and_go_get_every_message_of_producers_that_come_and_go_once():
    async def claim(bench: Bench) -> None:
        subscription, found, published = bench.subscribe(), [], 5 * 2 * 200

        def produce(first: int) -> None:
            writer = bench.writer()
            for number in range(first, first + 200):
                put(writer, number)
            writer.close()

        def read_on_thread() -> None:
            while not subscription.closed:
                if (message := subscription.take_blocking(0.01)) is not None:
                    found.append(message[1].number)

        async def read_on_loop() -> None:
            while not subscription.closed:
                with suppress(TimeoutError):
                    if (message := await asyncio.wait_for(subscription.next(), 0.003)) is not None:
                        found.append(message[1].number)

        threads = [Ran(read_on_thread) for _ in range(3)]
        tasks = [asyncio.create_task(read_on_loop()) for _ in range(3)]
        for life in range(0, published, 400):
            producers = [Ran(partial(produce, life + offset)) for offset in (0, 200)]
            for producer in producers:
                await producer.result()
        while len(found) < published:
            await asyncio.sleep(0.001)
        assert counted(subscription) == subscription.stats().received == published
        subscription.close()
        await asyncio.gather(*tasks)
        for thread in threads:
            await thread.result()
        assert sorted(found) == list(range(published))

    on_loop(claim, depth=512)


def test_waiting_threads_use_no_processor_time():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        threads = [Ran(lambda: subscription.take_blocking(0.5)) for _ in range(2)]
        late = Ran(lambda: subscription.take_blocking(1.0))
        task = asyncio.create_task(subscription.next())
        await sleeps(subscription, 3)
        before = time.process_time()
        assert [await thread.result() for thread in (*threads, late)] == [None] * 3
        assert time.process_time() - before < 0.25
        subscription.close()
        assert await task is None

    on_loop(claim)


def test_a_close_from_any_thread_ends_every_wait():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        threads = [Ran(subscription.take_blocking) for _ in range(3)]
        tasks = [asyncio.create_task(subscription.next()) for _ in range(3)]
        await sleeps(subscription, 3)
        await asyncio.to_thread(subscription.close)
        assert [await task for task in tasks] == [None] * 3
        assert [await thread.result() for thread in threads] == [None] * 3
        assert (await subscription.next(), subscription.take(), subscription.take_many(3)) == (None, None, [])
        assert subscription.doorbell == -1

    on_loop(claim)


def test_an_attachment_wakes_whoever_waits_already():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        thread, task = Ran(subscription.take_blocking), asyncio.create_task(subscription.next())
        await sleeps(subscription, 1)
        for number in range(2):
            put(bench.writer(), number)
        found = [await task, await thread.result()]
        assert sorted(numbers(found)) == [0, 1]

    on_loop(claim)


def test_the_loop_s_thread_may_not_be_blocked():
    async def claim(bench: Bench) -> None:
        with pytest.raises(RuntimeError, match="would block the event loop"):
            bench.subscribe().take_blocking(0.1)

    on_loop(claim)


def test_a_spinning_read_ends_with_the_subscription():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe(spin_us=60_000_000)
        thread = Ran(subscription.take_blocking)
        await asyncio.to_thread(subscription.close)
        assert await thread.result() is None

    on_loop(claim)


def test_awaiting_a_subscription_gives_it_back():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        assert await subscription is subscription

    on_loop(claim)


def test_subscribing_a_thousand_times_leaves_no_descriptor():
    async def claim(bench: Bench) -> None:
        put(bench.writer(), 1)
        before = descriptors()
        for _ in range(1000):
            subscription = bench.subscribe()
            assert await subscription is subscription
            subscription.close()
        assert descriptors() == before
        assert len(bench.topics._subscriptions) <= 1

    on_loop(claim)


# --- refusals ----------------------------------------------------------------------------------------------------


def test_too_many_readers_fail_all_reads_until_a_row_is_free():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        waiting = asyncio.create_task(subscription.next())
        await many_turns()
        subscription.refused(7, PRODUCER, "TooManyReaders", "all rows are taken")
        with pytest.raises(TooManyReaders):
            await waiting
        for read in (subscription.take, lambda: subscription.take_many(3)):
            with pytest.raises(TooManyReaders):
                read()
        with pytest.raises(TooManyReaders):
            await subscription.next_loan()
        subscription.stream_gone(7)
        put(bench.writer(), 1)
        assert numbers([await subscription.next()]) == [1]

    on_loop(claim)


def test_a_stream_without_a_free_row_does_not_disturb_the_others():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        subscription.refused(7, "t2", "TooManyReaders", "all rows are taken")
        put(bench.writer(), 1)
        assert numbers([await subscription.next()]) == [1]
        assert subscription.take() is None

    on_loop(claim)


def test_another_refusal_is_said_and_fails_no_read(capfd: pytest.CaptureFixture[str]):
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        subscription.refused(7, PRODUCER, "SchemaMismatch", "two formats")
        assert subscription.take() is None

    on_loop(claim)
    assert "SchemaMismatch: topic `t` of `t1`: two formats" in capfd.readouterr().err


# --- the shared receiver -----------------------------------------------------------------------------------------


def test_callers_that_wait_together_receive_one_message():
    async def claim(bench: Bench) -> None:
        writer, receiver = bench.writer(), bench.topics.receiver(bench.consumed)
        callers = [asyncio.create_task(receiver.next()) for _ in range(3)]
        await many_turns()
        put(writer, 1)
        put(writer, 2)
        assert numbers([await caller for caller in callers]) == [1, 1, 1]
        assert numbers([await receiver.next()]) == [2]

    on_loop(claim)


def test_a_caller_that_comes_first_to_the_message_hands_it_to_those_who_wait():
    async def claim(bench: Bench) -> None:
        writer, receiver = bench.writer(), bench.topics.receiver(bench.consumed)
        caller = asyncio.create_task(receiver.next())
        await many_turns()
        put(writer, 1)
        assert numbers([await receiver.next(), await caller]) == [1, 1]

    on_loop(claim)


def test_a_cancelled_caller_takes_no_message_with_it():
    async def claim(bench: Bench) -> None:
        writer, receiver = bench.writer(), bench.topics.receiver(bench.consumed)
        caller = asyncio.create_task(receiver.next())
        await many_turns()
        put(writer, 1)
        caller.cancel()
        await asyncio.wait([caller])
        assert numbers([await receiver.next()]) == [1]

    on_loop(claim)


def test_messages_between_two_calls_are_kept():
    async def claim(bench: Bench) -> None:
        writer, receiver = bench.writer(), bench.topics.receiver(bench.consumed)
        for number in range(3):
            put(writer, number)
        assert numbers([await receiver.next() for _ in range(3)]) == [0, 1, 2]

    on_loop(claim)


def test_the_end_raises_in_every_waiting_caller():
    async def claim(bench: Bench) -> None:
        receiver = bench.topics.receiver(bench.consumed)
        callers = [asyncio.create_task(receiver.next()) for _ in range(2)]
        await many_turns()
        bench.topics.close_subscriptions()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert all(isinstance(caller.exception(), SubscriptionClosed) for caller in callers)
        with pytest.raises(SubscriptionClosed):
            await receiver.next()

    on_loop(claim)


def test_a_refusal_raises_in_every_waiting_caller_and_ends_with_a_row():
    async def claim(bench: Bench) -> None:
        receiver = bench.topics.receiver(bench.consumed)
        callers = [asyncio.create_task(receiver.next()) for _ in range(2)]
        await many_turns()
        bench.control.subscriptions[0].refused(7, PRODUCER, "TooManyReaders", "all rows are taken")
        await asyncio.wait(callers)
        assert all(isinstance(caller.exception(), TooManyReaders) for caller in callers)
        put(bench.writer(), 1)
        assert numbers([await receiver.next()]) == [1]

    on_loop(claim)


# --- loans -------------------------------------------------------------------------------------------------------


def pins(bench: Bench) -> int:
    """Messages that readers hold in the ring."""
    stream = bench.control.writers[0]._writer
    assert stream is not None
    return stream.stats().pins


def test_a_released_loan_pins_nothing():
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        put(writer, 1, b"abc")
        loan = await subscription.next_loan()
        assert (bytes(loan.message.data), pins(bench)) == (b"abc", 1)
        loan.release()
        assert pins(bench) == 0

    on_loop(claim, BULK)


def test_a_saved_array_outlives_loan_and_subscription():
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        put(writer, 1, b"abc")
        async with subscription.next_loan() as loan:
            saved = loan.message.data
        subscription.close()
        for number in range(100):
            put(writer, number, b"xyz")
        assert bytes(saved) == b"abc"

    on_loop(claim, BULK)


def test_a_read_that_copies_pins_nothing():
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        put(writer, 1, b"abc")
        kept = await subscription.next()
        assert kept is not None
        assert pins(bench) == 0

    on_loop(claim, BULK)


def test_a_waiting_loan_ends_with_its_subscription():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        waiting = asyncio.ensure_future(subscription.next_loan()._get())
        await many_turns()
        subscription.close()
        with pytest.raises(SubscriptionClosed):
            await waiting

    on_loop(claim, BULK)


def test_a_subscription_after_the_end_is_closed():
    async def claim(bench: Bench) -> None:
        before = descriptors()
        bench.topics.close_subscriptions()
        assert await bench.subscribe().next() is None
        assert descriptors() == before

    on_loop(claim)


def test_a_waiting_task_goes_on_in_the_round_of_the_loop_in_which_its_doorbell_rings() -> None:
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        put(writer, 0)
        assert (await subscription.next()) is not None
        received: list[Any] = []

        async def read() -> None:
            received.append(await subscription.next())

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        put(writer, 1)
        rounds = 0
        while not received:
            await asyncio.sleep(0)
            rounds += 1
        assert rounds <= 2  # in the first another loop comes to look at the doorbell only after this task
        await reading

    on_loop(claim)


def test_a_task_that_is_cancelled_by_the_one_woken_before_it_takes_nothing() -> None:
    async def claim(bench: Bench) -> None:
        writer, subscription = bench.writer(), bench.subscribe()
        put(writer, 0)
        assert (await subscription.next()) is not None

        async def first() -> Any:
            message = await subscription.next()
            second.cancel()
            return message

        reading = asyncio.create_task(first())
        second = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        put(writer, 1)
        put(writer, 2)
        assert (await reading)[1].number == 1
        with pytest.raises(asyncio.CancelledError):
            await second
        assert (await subscription.next())[1].number == 2

    on_loop(claim)
