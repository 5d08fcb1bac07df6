"""Micro-costs under pytest-benchmark: what one call costs when nothing else happens (`make bench` runs them)."""

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from peppy.ring import History, Reader, ReceiveBuffer, SendBuffer, Writer, plan


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer.create(plan(128, 64 << 20, 8192), topic_hash=0, schema_hash=0, mode=1)
    yield writer
    writer.close()


@pytest.fixture
def reader(writer: Writer) -> Iterator[Reader]:
    claim = writer.reserve_row(-1, History.NONE)
    reader = Reader.open(writer.data_fd, writer.ctrl_fd, claim, newest=False)
    yield reader
    reader.close()


@pytest.mark.parametrize("size", [64, 1024, 8192])
def test_publish_a_buffer(benchmark: BenchmarkFixture, writer: Writer, size: int) -> None:
    benchmark(writer.publish, SendBuffer(size), size)


@pytest.mark.parametrize("size", [64, 1024])
def test_publish_bytes(benchmark: BenchmarkFixture, writer: Writer, size: int) -> None:
    benchmark(writer.publish_bytes, bytes(size))


def test_publish_three_parts(benchmark: BenchmarkFixture, writer: Writer) -> None:
    benchmark(writer.publish_parts, [(bytes(32), 0), (bytes(1024), 64), (bytes(512), 1088)], 1600)


def test_publish_a_loan(benchmark: BenchmarkFixture, writer: Writer) -> None:
    benchmark(lambda: writer.loan(64).publish())


def test_look_at_an_empty_ring(benchmark: BenchmarkFixture, reader: Reader) -> None:
    benchmark(reader.take_into, ReceiveBuffer(64))


def test_arm(benchmark: BenchmarkFixture, reader: Reader) -> None:
    benchmark(reader.arm)


def test_publish_and_take_a_copy(benchmark: BenchmarkFixture, writer: Writer, reader: Reader) -> None:
    outgoing, incoming = SendBuffer(64), ReceiveBuffer(64)

    def both() -> object:
        writer.publish(outgoing, 64)
        return reader.take_into(incoming)

    assert isinstance(benchmark(both), tuple)


def test_publish_and_take_a_view(benchmark: BenchmarkFixture, writer: Writer, reader: Reader) -> None:
    outgoing = SendBuffer(64)

    def both() -> object:
        writer.publish(outgoing, 64)
        return reader.take_view()

    assert isinstance(benchmark(both), tuple)


def test_publish_and_take_sixty_four(benchmark: BenchmarkFixture, writer: Writer, reader: Reader) -> None:
    outgoing, incoming = SendBuffer(64), ReceiveBuffer(64 * 64, messages=64)

    def both() -> object:
        for _ in range(64):
            writer.publish(outgoing, 64)
        return reader.take_many(incoming, 64)

    assert isinstance(benchmark(both), list)
