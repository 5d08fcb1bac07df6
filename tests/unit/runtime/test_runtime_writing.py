"""What writers of a topic are promised, within one process (docs/reference/node_api.md, 6)."""

import os
import resource
import threading
from pathlib import Path
from typing import Any

import pytest
from runtime_topics import BULK, Bench, on_loop, put

from peppy.errors import LoanReleased, PeppyError
from peppy.runtime.config import TopicSettings
from peppy.runtime.publisher import Publisher, TopicWriter
from peppy.runtime.streams import Streams
from peppy.runtime.topics import EmittedTopic
from peppy.runtime.write_loan import WriteLoan


class Loan(WriteLoan):
    """As the generated ones."""

    number: int
    data: Any


def loan(publisher: Publisher, size: int = 3) -> Loan:
    return publisher._loan(Loan, {"data": size}, 64)


# --- one stream --------------------------------------------------------------------------------------------------


def test_threads_that_publish_first_at_once_make_one_stream():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        for _ in range(20):
            writer, start = bench.writer(), threading.Barrier(4)

            def publish(number: int, writer: TopicWriter = writer, start: threading.Barrier = start) -> None:
                publisher = Publisher(writer)
                start.wait()
                publisher._put(writer.plan.encode(number))

            threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert bench.control.writers == [writer]
            assert sorted(message.number for _, message in subscription.take_many(8)) == [0, 1, 2, 3]
            assert writer.stats().published == 4
            writer.close()

    on_loop(claim)


def test_a_slow_registration_holds_up_no_other_thread():
    """The thread that made the stream still registers it; another one publishes meanwhile."""

    async def claim(bench: Bench) -> None:
        writer = bench.writer()
        registering, published = threading.Event(), threading.Event()

        def register(_writer: TopicWriter) -> None:
            registering.set()
            assert published.wait(60)

        bench.control.open_stream = register  # type: ignore[method-assign]
        first = threading.Thread(target=put, args=(writer, 1))
        first.start()
        registering.wait(60)
        put(writer, 2)
        published.set()
        first.join()
        assert writer.stats().published == 2
        writer.close()

    on_loop(claim)


def test_publishers_and_emit_share_the_stream():
    async def claim(bench: Bench) -> None:
        topic = EmittedTopic("t", bench.writer().qos, bench.plan)
        runner: Any = type("Runner", (), {"topics": bench.topics})
        first, second = topic.publisher(runner, Publisher), topic.publisher(runner, Publisher)
        assert await first is first
        first._put(bench.plan.encode(1))
        second._put(bench.plan.encode(2))
        await topic.emit(runner, bench.plan.encode(3))
        assert (first.stats(), second.stats()) == (second.stats(), bench.topics.stats().written["t"])
        assert first.stats().published == 3

    on_loop(claim)


def test_a_closed_publisher_refuses_and_the_others_go_on():
    async def claim(bench: Bench) -> None:
        writer = bench.writer()
        closed, other = bench.publisher(writer), bench.publisher(writer)
        closed.close()
        put(writer, 1, b"")
        with pytest.raises(RuntimeError, match="this publisher of topic `t` is closed"):
            closed._put(writer.plan.encode(2, b""))
        with pytest.raises(RuntimeError, match="this publisher of topic `t` is closed"):
            loan(closed)
        other._put(writer.plan.encode(2, b""))
        assert other.stats().published == 2

    on_loop(claim, BULK)


@pytest.mark.parametrize("published", [0, 2])
def test_after_the_end_nothing_is_published_and_the_counters_stay(published: int):
    async def claim(bench: Bench) -> None:
        writer = bench.writer()
        publisher = bench.publisher(writer)
        for number in range(published):
            put(writer, number)
        writer.close()
        writer.close()
        for put_late in (publisher._put, writer.put, Publisher(writer)._put):
            with pytest.raises(RuntimeError, match="`t` is closed: the node is shutting down"):
                put_late(bench.plan.encode(1))
        assert publisher.stats().published == published
        with writer.kept_open() as fds:
            assert fds is None
        writer.release_row(0, 1)
        writer.forget_doorbell(1)

    on_loop(claim)


def test_a_publisher_declared_after_the_end_refuses():
    async def claim(bench: Bench) -> None:
        topic = EmittedTopic("t", bench.writer().qos, bench.plan)
        bench.topics.close_writers()
        with pytest.raises(RuntimeError, match="the node is shutting down"):
            bench.topics.writer(topic).put(bench.plan.encode(1))

    on_loop(claim)


def test_a_message_over_the_limit_is_refused_before_there_is_a_stream():
    async def claim(bench: Bench) -> None:
        bench.settings = TopicSettings(max_message_bytes=100)
        writer = bench.writer()
        with pytest.raises(ValueError, match="over the limit of `100`"):
            put(writer, 1, bytes(200))
        assert bench.control.writers == []

    on_loop(claim, BULK)


def test_a_full_memory_names_topic_size_and_what_is_free():
    async def claim(bench: Bench) -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = resource.getrlimit(resource.RLIMIT_AS)
        message = bench.plan.encode(1, bytes(8 << 20))  # its stream takes more than a gigabyte of address space
        resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), limit[1]))
        try:
            with pytest.raises(OSError, match=r"message of `\d+` bytes on topic `t`, `\d+` bytes of memory are free"):
                bench.writer().put(message)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limit)

    on_loop(claim, BULK)


def test_a_refused_registration_is_said(capfd: pytest.CaptureFixture[str]):
    async def claim(bench: Bench) -> None:
        bench.writer().registered(PeppyError("the id is in use", kind="ProtocolViolation"))

    on_loop(claim)
    assert "topic `t` reaches nobody: the id is in use" in capfd.readouterr().err


def test_a_forked_child_opens_neither_stream_nor_subscription():
    async def claim(bench: Bench) -> None:
        made_by_parent = Streams.__new__(Streams)
        made_by_parent._process = os.getpid()
        bench.control.check_process = made_by_parent.check_process  # type: ignore[method-assign]
        pid = os.fork()
        if pid == 0:
            try:
                put(bench.writer(), 1)
            except RuntimeError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

    on_loop(claim)


# --- write loans -------------------------------------------------------------------------------------------------


def test_a_loan_is_published_at_the_end_of_its_block():
    async def claim(bench: Bench) -> None:
        subscription = bench.subscribe()
        publisher = bench.publisher()
        with loan(publisher) as message:
            message.number = 5
            message.data[...] = 7
        async with loan(publisher) as message:
            message.number = 6
            message.data[...] = 8
        found = [(message.number, bytes(message.data)) for _, message in subscription.take_many(3)]
        assert found == [(5, bytes([7] * 3)), (6, bytes([8] * 3))]

    on_loop(claim, BULK)


def test_an_exception_discards_the_loan():
    async def claim(bench: Bench) -> None:
        subscription, publisher = bench.subscribe(), bench.publisher()
        with pytest.raises(ZeroDivisionError), loan(publisher):
            _ = 1 / 0
        assert subscription.take() is None

    on_loop(claim, BULK)


def test_a_failed_publish_leaves_the_loan_usable():
    async def claim(bench: Bench) -> None:
        message = loan(bench.publisher())
        with pytest.raises(TypeError):
            message.publish()
        message.number = 1
        message.publish()

    on_loop(claim, BULK)


@pytest.mark.parametrize("end", ["publish", "discard"])
def test_an_ended_loan_cannot_be_used(end: str):
    async def claim(bench: Bench) -> None:
        message = loan(bench.publisher())
        message.number = 1
        getattr(message, end)()
        for use in (message.publish, message.discard, lambda: message.data, lambda: message.number):
            with pytest.raises(LoanReleased):
                use()
        with pytest.raises(LoanReleased):
            message.number = 2

    on_loop(claim, BULK)


def test_a_loan_has_the_fields_of_its_message_only():
    async def claim(bench: Bench) -> None:
        message = loan(bench.publisher())
        with pytest.raises(AttributeError, match="write into it"):
            message.data = [1]
        with pytest.raises(AttributeError, match="no field `speed`"):
            message.speed = 1  # type: ignore[attr-defined]
        with pytest.raises(AttributeError, match="`number` has not been assigned"):
            _ = message.number
        message.discard()

    on_loop(claim, BULK)


def test_four_loans_are_the_limit():
    async def claim(bench: Bench) -> None:
        publisher = bench.publisher()
        loans = [loan(publisher) for _ in range(4)]
        with pytest.raises(RuntimeError, match="limit"):
            loan(publisher)
        loans.pop().discard()
        loan(publisher).discard()

    on_loop(claim, BULK)


def test_a_loan_fits_a_stream_of_fixed_size():
    fixed = '[["number","u64",0],["data",["u8",16],0]]'

    async def claim(bench: Bench) -> None:
        subscription, publisher = bench.subscribe(), bench.publisher()
        publisher._put(bench.plan.encode(1, bytes(16)))
        with publisher._loan(Loan, {}, 4096) as message:
            message.number = 2
            message.data[...] = 1
        assert [message.number for _, message in subscription.take_many(3)] == [1, 2]

    on_loop(claim, fixed)
