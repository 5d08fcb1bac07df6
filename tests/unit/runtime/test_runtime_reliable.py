"""What writers of `reliable` and `critical` topics are promised (docs/reference/qos.md, Back-pressure)."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from runtime_topics import BULK, READER, Bench, Ran, on_loop, put
from test_runtime_writing import loan

from peppy.errors import PublishTimeout
from peppy.model.qos import QoSProfile
from peppy.ring import History, StreamClosed, WouldBlock, Writer, plan
from peppy.runtime.publisher import Publisher
from peppy.runtime.reliable import WaitingTopicWriter
from peppy.runtime.space import SpaceQueue
from peppy.runtime.subscription import Subscription

DEPTH = 8


def emit(writer: WaitingTopicWriter, number: int) -> asyncio.Task[None]:
    return asyncio.create_task(writer.put_async(writer.plan.encode(number)))


async def fill(writer: WaitingTopicWriter, count: int = DEPTH) -> None:
    for number in range(count):
        await writer.put_async(writer.plan.encode(number))


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.001)


async def numbers(subscription: Subscription[Any], count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count and (message := await subscription.next()) is not None:
        found.append(message[1].number)
    return found


# --- waiting -----------------------------------------------------------------------------------------------------


def test_a_full_ring_suspends_the_task_and_the_loop_runs_on():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        await fill(writer)
        waiting = emit(writer, DEPTH)
        await until(lambda: writer.stats().waits == 1)
        assert not waiting.done()
        assert await numbers(subscription, 1) == [0]
        await waiting
        assert await numbers(subscription, DEPTH) == list(range(1, DEPTH + 1))
        assert subscription.stats().lost == 0
        assert writer.stats()[2:] == (1, 0)

    on_loop(claim)


def test_many_messages_arrive_in_order_through_a_small_ring():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        writing = asyncio.create_task(fill(writer, 3000))
        assert await numbers(subscription, 3000) == list(range(3000))
        await writing
        assert subscription.stats().lost == 0

    on_loop(claim, depth=4)


def test_a_thread_waits_with_the_interpreter_free():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        writing = Ran(lambda: [put(writer, number) for number in range(500)])
        assert await numbers(subscription, 500) == list(range(500))
        await writing.result()
        assert writer.stats().waits > 0

    on_loop(claim, depth=4)


def test_without_readers_nobody_waits():
    async def claim(bench: Bench) -> None:
        writer = bench.waiting_writer()
        await fill(writer, 100)
        put(writer, 100)
        assert writer.stats() == (101, 0, 0, 0)

    on_loop(claim)


def test_tasks_and_threads_are_served_in_the_order_of_their_calls():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        await fill(writer)
        calls: list[Any] = []
        for number in range(DEPTH, DEPTH + 10):
            if number % 2:
                calls.append(emit(writer, number))
            else:
                ran = Ran(lambda number=number: put(writer, number))
                calls.append(asyncio.create_task(ran.result()))
            await until(lambda number=number: writer.stats().waits == number - DEPTH + 1)
        assert await numbers(subscription, DEPTH + 10) == list(range(DEPTH + 10))
        await asyncio.gather(*calls)

    on_loop(claim)


def test_one_that_could_write_waits_behind_one_that_waits():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        await fill(writer)
        first = emit(writer, DEPTH)
        await until(lambda: writer.stats().waits == 1)
        second = emit(writer, DEPTH + 1)
        assert subscription.take() is not None
        assert subscription.take() is not None
        assert writer.stats().published == DEPTH  # the loop has not run: there is room, and still
        with pytest.raises(RuntimeError, match="emit"):
            put(writer, 99)
        await asyncio.gather(first, second)
        assert await numbers(subscription, DEPTH) == list(range(2, DEPTH + 2))

    on_loop(claim)


def test_a_cancelled_emit_has_written_nothing_and_lets_the_next_go_on():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        await fill(writer)
        first, second = emit(writer, 100), emit(writer, 200)
        await until(lambda: writer.stats().waits == 2)
        first.cancel()
        assert await numbers(subscription, 1) == [0]
        await second
        assert first.cancelled()
        assert await numbers(subscription, DEPTH) == [*range(1, DEPTH), 200]

    on_loop(claim)


# --- the bound ---------------------------------------------------------------------------------------------------


def test_the_bound_names_topic_reader_and_lag_and_nothing_is_written():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        await fill(writer)
        begun = monotonic()
        with pytest.raises(
            PublishTimeout, match=f"topic `t`: reader `{READER}` is `{DEPTH}` messages behind"
        ) as caught:
            await emit(writer, 99)
        assert monotonic() - begun >= 0.1
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.hint is not None
        with pytest.raises(PublishTimeout):
            await asyncio.to_thread(put, writer, 99)
        assert writer.stats() == (DEPTH, 1, 2, 2)
        assert await numbers(subscription, 1) == [0]
        await emit(writer, DEPTH)  # the reader is still attached
        assert await numbers(subscription, DEPTH) == list(range(1, DEPTH + 1))

    on_loop(claim, bound=0.1)


def test_on_the_event_loop_publish_names_emit_instead_of_waiting():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        publisher = Publisher(writer)
        for number in range(DEPTH):
            publisher._put(writer.plan.encode(number))
        with pytest.raises(RuntimeError, match=r"(?s)topic `t`.*await emit"):
            publisher._put(writer.plan.encode(99))
        assert subscription.take() is not None
        publisher._put(writer.plan.encode(DEPTH))

    on_loop(claim)


def test_a_writer_that_closes_refuses_those_that_wait():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        await fill(writer)
        task, thread = emit(writer, 99), Ran(lambda: _error(lambda: put(writer, 99)))
        await until(lambda: writer.stats().waits == 2)
        writer.close()
        with pytest.raises(RuntimeError, match="closed"):
            await task
        assert "closed" in str(await thread.result())
        assert await numbers(subscription, DEPTH) == list(range(DEPTH))

    before = len(list(Path("/proc/self/fd").iterdir()))
    on_loop(claim)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_fork_child_is_refused_whatever_its_parents_threads_were_doing():
    async def claim(bench: Bench) -> None:
        writer = bench.waiting_writer()
        put(writer, 1)
        assert writer._queue is not None
        holding, release = threading.Event(), threading.Event()

        def hold() -> None:
            assert writer._queue is not None
            with writer._queue.nobody_writes():
                holding.set()
                release.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        holding.wait(60)
        child = os.fork()
        if child == 0:
            error = _error(lambda: put(writer, 2))
            os._exit(0 if isinstance(error, RuntimeError) and "fork" in str(error) else 1)
        _, status = os.waitpid(child, 0)
        release.set()
        thread.join()
        assert status == 0
        put(writer, 2)
        assert writer.stats().published == 2

    on_loop(claim)


def _error(call: Callable[[], Any]) -> Exception | None:
    try:
        call()
    except Exception as error:
        return error
    return None


# --- who holds the writer ----------------------------------------------------------------------------------------


def test_a_subscription_that_closes_lets_the_writer_go_on():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        await fill(writer)
        waiting = emit(writer, DEPTH)
        await until(lambda: writer.stats().waits == 1)
        subscription.close()
        await waiting

    on_loop(claim)


def test_a_reader_that_never_came_lets_the_writer_go_on_when_the_daemon_says_so():
    async def claim(bench: Bench) -> None:
        writer = bench.waiting_writer()
        await fill(writer, 1)
        row = writer.reserve_row(-1, History.NONE, "late")
        await fill(writer)
        waiting = emit(writer, 99)
        await until(lambda: writer.stats().waits == 1)
        writer.release_row(row.row, row.ticket)
        await waiting

    on_loop(claim)


def test_a_reader_that_only_watches_holds_nobody():
    async def claim(bench: Bench) -> None:
        writer = bench.waiting_writer()
        await fill(writer, 1)
        writer.reserve_row(-1, History.NONE, "command line", overwriting=True)
        await fill(writer, 5 * DEPTH)
        assert writer.stats().waits == 0

    on_loop(claim)


class NobodyAnswers:
    """A daemon that knows the stream only when a test says so."""

    def __init__(self) -> None:
        self.opened: list[WaitingTopicWriter] = []

    def check_process(self) -> None:
        """Nobody forks here."""

    def open_stream(self, writer: WaitingTopicWriter) -> None:
        self.opened.append(writer)

    def close_stream(self, writer: WaitingTopicWriter) -> None:
        """Nobody was told of it."""


def queued(writer: WaitingTopicWriter) -> int:
    """Messages that have come to wait, for whatever reason."""
    return 0 if writer._queue is None else writer._queue.waits


def test_the_first_message_waits_until_the_readers_before_it_have_their_rows():
    async def claim(bench: Bench) -> None:
        writer = bench.waiting_writer()
        first, second = emit(writer, 1), emit(writer, 2)
        await until(lambda: bench.control.opened == [writer] and queued(writer) == 2)
        writer.opened(2)
        writer.reserve_row(-1, History.ALL, "a")
        await asyncio.sleep(0)
        assert writer.stats().published == 0
        claim_of_second = writer.reserve_row(-1, History.ALL, "b")
        await asyncio.gather(first, second)
        assert claim_of_second.start_seq == 1
        assert writer.stats() == (2, 0, 0, 0)  # nobody was slow

    on_loop(claim, control=NobodyAnswers())


def test_the_first_message_does_not_wait_for_a_reader_that_left_meanwhile():
    async def claim(bench: Bench) -> None:
        writer = bench.waiting_writer()
        waiting = emit(writer, 1)
        await until(lambda: queued(writer) == 1)
        writer.opened(1)
        writer.release_row(0, 0)
        await waiting

    on_loop(claim, control=NobodyAnswers())


def test_without_a_daemon_the_first_message_ends_at_the_bound():
    async def claim(bench: Bench) -> None:
        writer = bench.waiting_writer()
        with pytest.raises(PublishTimeout, match="its readers have not been attached"):
            await emit(writer, 1)
        assert writer.stats().published == 0
        writer.opened(0)
        await emit(writer, 1)

    on_loop(claim, control=NobodyAnswers(), bound=0.05)


def test_the_first_publish_on_the_event_loop_waits_for_the_daemons_answer():
    async def claim(bench: Bench) -> None:
        writer = bench.waiting_writer()
        answer = threading.Timer(0.02, writer.opened, (0,))
        answer.start()
        put(writer, 1)
        answer.join()
        assert writer.stats().published == 1

    on_loop(claim, control=NobodyAnswers())


# --- loans -------------------------------------------------------------------------------------------------------


def test_a_loan_waits_for_room_on_its_thread_and_is_refused_on_the_loop():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        publisher = Publisher(writer)
        for number in range(DEPTH):
            await writer.put_async(writer.plan.encode(number, b"abc"))
        with pytest.raises(RuntimeError, match="emit"):
            loan(publisher)

        def in_place() -> None:
            with loan(publisher) as mine:
                mine.number = DEPTH
                mine.data[:] = 7

        ran = Ran(in_place)
        await until(lambda: writer.stats().waits == 1)
        assert await numbers(subscription, DEPTH + 1) == list(range(DEPTH + 1))
        await ran.result()

    on_loop(claim, BULK)


def test_a_loan_taken_before_others_filled_the_ring_waits_when_it_is_published():
    async def claim(bench: Bench) -> None:
        subscription, writer = bench.subscribe(), bench.waiting_writer()
        publisher = Publisher(writer)
        await writer.put_async(writer.plan.encode(0, b"abc"))
        async with loan(publisher) as mine:
            mine.number = 99
            mine.data[:] = 7
            for number in range(1, DEPTH):
                await writer.put_async(writer.plan.encode(number, b"abc"))
            with pytest.raises(RuntimeError, match="emit"):
                mine.publish()
            assert bytes(mine.data) == b"\7\7\7"  # it stays usable
            reading = asyncio.create_task(numbers(subscription, DEPTH + 1))
        assert await reading == [*range(DEPTH), 99]

    on_loop(claim, BULK)


# --- critical ----------------------------------------------------------------------------------------------------


def test_a_late_reader_of_a_critical_topic_gets_the_last_message_once():
    async def claim(bench: Bench) -> None:
        writer = bench.waiting_writer(QoSProfile.Critical)
        await fill(writer, 3)
        subscription = bench.subscribe()
        await emit(writer, 3)
        assert await numbers(subscription, 2) == [2, 3]
        assert subscription.take() is None
        assert subscription.stats()[:3] == (2, 0, 0)

    on_loop(claim)


def test_ready_critical_messages_are_handed_to_the_loop_first():
    async def claim(bench: Bench) -> None:
        order: list[str] = []

        async def read(name: str, subscription: Subscription[Any]) -> None:
            await subscription.next()
            order.append(name)

        plain, critical = bench.writer(), bench.waiting_writer(QoSProfile.Critical)
        ordinary, urgent = bench.subscribe(), bench.subscribe()
        bench.control.attach_only(plain, [ordinary])
        bench.control.attach_only(critical, [urgent])
        for round_number in range(20):
            tasks = [asyncio.create_task(read("ordinary", ordinary)), asyncio.create_task(read("urgent", urgent))]
            await asyncio.sleep(0)  # both sleep
            put(plain, round_number)
            put(critical, round_number)
            await asyncio.gather(*tasks)
        assert order == ["urgent", "ordinary"] * 20

    on_loop(claim)


def test_a_queue_that_is_closed_while_a_write_is_about_to_wait_closes_its_eventfd_once():
    writer = Writer.create(plan(8, 1 << 20, 64), topic_hash=1, schema_hash=1, mode=2, reliable=True)
    queue = SpaceQueue(writer)
    foreign: list[int] = []

    def write() -> None:
        if foreign:
            raise StreamClosed("closed")
        queue.close()
        foreign.append(os.eventfd(0))  # it gets the number that has just become free
        raise WouldBlock

    with pytest.raises(StreamClosed):
        queue.put_on_thread(write, 1.0)
    os.close(foreign[0])
    writer.close()
