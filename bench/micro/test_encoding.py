"""Micro-costs of messages and frames: values to bytes and back, with nothing else around it."""

import numpy
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from peppy.codec import (
    F32,
    U64,
    Annotated,
    Array,
    ArrayPayload,
    Gathered,
    Length,
    Payload,
    Plan,
    Time,
    U8Array,
    plan_of,
)
from peppy.protocol.frame import Parser, Received, encode
from peppy.protocol.streams import Attach


class Attitude(Payload):
    number: U64
    stamp: Time
    orientation: Annotated[Array[F32], Length(4)]


class Picture(ArrayPayload):
    number: U64
    data: U8Array


ATTITUDE: Plan[Attitude] = plan_of(
    "attitude", '[["number","u64",0],["stamp","time",0],["orientation",["f32",4],0]]', {"": Attitude}
)
PICTURE: Plan[Picture] = plan_of("picture", '[["number","u64",0],["data",["u8",0],0]]', {"": Picture})
FIELDS = (7, 1.0e9, [1.0, 0.0, 0.0, 7.0])


def picture(size: int) -> bytes:
    """The whole payload in one piece, as it lies in the ring."""
    gathered = PICTURE.encode(7, numpy.zeros(size, "u1"))
    assert isinstance(gathered, Gathered)
    payload = bytearray(gathered.length)
    for data, offset in [(gathered.head, 0), *gathered.parts]:
        part = memoryview(data).cast("B")
        payload[offset : offset + len(part)] = part
    return bytes(payload)


@pytest.fixture(autouse=True, scope="module")
def prepared() -> None:
    for plan in (ATTITUDE, PICTURE):
        plan.prepare_encode()
        plan.prepare_decode()


def test_encode_an_imu_message(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(ATTITUDE.encode, *FIELDS)) == 56


def test_decode_an_imu_message(benchmark: BenchmarkFixture) -> None:
    assert benchmark(ATTITUDE.decode, ATTITUDE.encode(*FIELDS)) == Attitude(*FIELDS)


@pytest.mark.parametrize("size", [1 << 20])
def test_encode_a_picture(benchmark: BenchmarkFixture, size: int) -> None:
    assert benchmark(PICTURE.encode, 7, numpy.zeros(size, "u1")).length > size


@pytest.mark.parametrize("size", [1 << 20])
def test_decode_a_picture_in_place(benchmark: BenchmarkFixture, size: int) -> None:
    assert len(benchmark(PICTURE.decode, picture(size), owned=False).data) == size


@pytest.mark.parametrize("size", [1 << 20])
def test_decode_a_picture_by_copy(benchmark: BenchmarkFixture, size: int) -> None:
    assert len(benchmark(PICTURE.decode, picture(size)).data) == size


def test_plan_and_draft_a_loan(benchmark: BenchmarkFixture) -> None:
    buffer = bytearray(8192)
    assert benchmark(lambda: PICTURE.room({"data": 1024}).draft(buffer)).attributes == ("number", "data")


ATTACH = Attach(1, 2, 0)


def test_encode_a_frame(benchmark: BenchmarkFixture) -> None:
    assert benchmark(encode, ATTACH, 7)


def test_decode_a_frame(benchmark: BenchmarkFixture) -> None:
    parser, data = Parser(), encode(ATTACH, 7)

    def decode() -> Received | None:
        parser.feed(data)
        return parser.next()

    assert benchmark(decode) == Received(ATTACH, 7)
