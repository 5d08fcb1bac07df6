"""Whatever a peer sends, a connection gives frames or ends, and no descriptor is left (docs/design/protocol.md)."""

import asyncio
import os
import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peppy.protocol import frames, streams
from peppy.protocol.blocking import BlockingConnection
from peppy.protocol.calls import INSIDE, LARGEST_PAYLOAD
from peppy.protocol.connection import Connection
from peppy.protocol.frame import (
    MAX_FRAME,
    PREFIX,
    ConnectionClosed,
    Parser,
    ProtocolViolation,
    close_all,
    encode,
    numbered,
)
from peppy.protocol.frames import FRAMES, Frame
from peppy.protocol.wire import READ_SIZE

CASES = 10_000
IDLE_PEERS = 300
SEED = 20261121
VALID: tuple[Frame, ...] = (
    frames.Hello(1, "0.1.0", 5, "node", 9, "cam", "v1", "front"),
    frames.Info(),
    frames.NodeSync("/home/ada/cam", 600.0),
    frames.NodeRun("cam:v1", None, (("a", "1"),), (("left", "c1"),), {"LANG": "C"}, 60.0),
    streams.StreamOpen(2**64 - 1, "frames", 0, 9, 1),
    streams.Subscribe(1, "left", "frames", 9, ((1, 2, 3),)),
    streams.StreamClose(4),
    frames.Failed("BadName", "`*`", None, (frames.Problem("BadName", "`*`"),)),
)


def open_fds() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(autouse=True)
def no_descriptor_left() -> Iterator[None]:
    before = open_fds()
    yield
    assert open_fds() == before


# --- frames in, the same frames out ---------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    chosen=st.lists(st.sampled_from(VALID), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, 60), max_size=40),
)
def test_frames_come_out_as_they_went_in_however_they_are_cut(chosen: list[Frame], cuts: list[int]) -> None:
    plain = [frame for frame in chosen if type(frame).descriptors.start == 0]
    data = b"".join(encode(frame, int(numbered(type(frame)))) for frame in plain)
    parser = Parser()
    found: list[Frame] = []
    while data:
        cut = cuts.pop() if cuts else len(data)
        parser.feed(data[:cut])
        data = data[cut:]
        while (received := parser.next()) is not None:
            found.append(received.frame)
    assert found == plain
    assert parser.incomplete_since is None


@settings(max_examples=100, deadline=None)
@given(chosen=st.lists(st.sampled_from(VALID), min_size=1, max_size=20))
def test_descriptors_come_out_with_their_frames_over_a_real_socket(chosen: list[Frame]) -> None:
    left, right = socket.socketpair()
    sender, receiver = BlockingConnection(left), BlockingConnection(right)
    for frame in chosen:
        sender.send(frame, int(numbered(type(frame))), (0,) * type(frame).descriptors.start)
    for frame in chosen:
        received = receiver.receive(10)
        assert (received.frame, len(received.fds)) == (frame, type(frame).descriptors.start)
        close_all(received.fds)
    sender.close()
    receiver.close()


PLAIN = [kind for kind in FRAMES.values() if kind is not frames.Done and not kind.carries]
CARRIERS = [kind for kind in FRAMES.values() if kind.carries]


class Sample(NamedTuple):
    """A frame with what travels in and beside it."""

    frame: Frame
    payload: bytes = b""
    fds: int = 0


def plain(kind: type[Frame]) -> st.SearchStrategy[Sample]:
    return st.from_type(kind).map(lambda frame: Sample(frame, fds=kind.descriptors.start))


def inside(kind: type[Frame]) -> st.SearchStrategy[Sample]:
    sizes = st.one_of(st.integers(0, 300), st.just(INSIDE))
    payloads = sizes.map(lambda size: bytes(number % 251 for number in range(size)))
    frames_of_kind = st.builds(kind, beside=st.integers(-(2**31), -1))
    return st.builds(Sample, frames_of_kind, payloads, st.sampled_from(kind.descriptors))


def beside(kind: type[Frame]) -> st.SearchStrategy[Sample]:
    frames_of_kind = st.builds(kind, beside=st.integers(0, LARGEST_PAYLOAD))
    return st.builds(Sample, frames_of_kind, st.just(b""), st.sampled_from(kind.descriptors[1:]))


SAMPLES = st.one_of(
    st.sampled_from(PLAIN).flatmap(plain),
    st.sampled_from(CARRIERS).flatmap(inside),
    st.sampled_from(CARRIERS).flatmap(beside),
)


@settings(max_examples=500, deadline=None)
@given(sample=SAMPLES)
def test_every_frame_decodes_as_it_was_encoded(sample: Sample) -> None:
    frame, kind = sample.frame, type(sample.frame)
    try:
        data = encode(frame, int(numbered(kind)), sample.fds, sample.payload)
    except OverflowError:  # an integer that no field of the protocol holds
        return
    parser = Parser()
    parser.feed(data, tuple(os.dup(0) for _ in range(sample.fds)))
    received = parser.next()
    assert received is not None
    close_all(received.fds)
    assert (received.payload, len(received.fds)) == (sample.payload, sample.fds)
    assert repr(received.frame) == repr(frame)  # NaN is not equal to itself


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(CARRIERS),
    payload=st.sampled_from([b"", b"x", bytes(INSIDE + 1)]),
    length=st.one_of(st.integers(-5, 5), st.just(LARGEST_PAYLOAD + 1)),
)
def test_a_payload_is_either_inside_or_beside_its_frame(kind: type[Frame], payload: bytes, length: int) -> None:
    """A peer that says otherwise breaks the protocol, whatever `encode` on this side would have refused."""
    template = _filled(kind, -1)
    header = msgspec.msgpack.encode(_filled(kind, length))
    number = next(number for number, found in FRAMES.items() if found is kind)
    request_id = int(numbered(kind))
    size = PREFIX.size - 4 + len(header) + len(payload)
    parser = Parser()
    parser.feed(PREFIX.pack(size, len(header), number, 0, request_id) + header + payload)
    if length < 0 and len(payload) <= INSIDE:
        received = parser.next()
        assert received is not None
        assert (type(received.frame), received.payload) == (type(template), payload)
        return
    with pytest.raises(ProtocolViolation):
        parser.next()


def _filled(kind: type[Frame], length: int) -> Frame:
    """A frame of this type with the simplest values and `beside` as asked."""
    simple: dict[object, object] = {int: 1, str: "a"}
    fields = {
        field.name: simple.get(field.type, ())
        for field in msgspec.structs.fields(kind)
        if field.required and field.name != "beside"
    }
    return kind(**fields, beside=length)


# --- hostile peers --------------------------------------------------------------------------------------------------


class Peer:
    """Makes one hostile conversation: writes of bytes with a number of descriptors."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def writes(self) -> list[tuple[bytes, int]]:
        choose = self._random
        stream = [self._frame() for _ in range(choose.randint(1, 4))]
        spoil = choose.choice([self._noise, self._flip, self._truncate, self._length, self._fds, self._cut, self._join])
        return spoil(stream)

    def _frame(self) -> tuple[bytes, int]:
        frame = self._random.choice(VALID)
        fds = type(frame).descriptors.start
        return encode(frame, int(numbered(type(frame))), fds), fds

    def _noise(self, stream: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        return [*stream, (self._random.randbytes(self._random.randint(1, 300)), 0), *stream]

    def _flip(self, stream: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        data, fds = stream[-1]
        place = self._random.randrange(len(data))
        flipped = data[:place] + bytes([data[place] ^ (1 << self._random.randrange(8))]) + data[place + 1 :]
        return [*stream[:-1], (flipped, fds), *stream]

    def _truncate(self, stream: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        data, fds = stream[-1]
        return [*stream[:-1], (data[: self._random.randint(1, len(data) - 1)], fds)]

    def _length(self, stream: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        length = self._random.choice([0, 11, 12, MAX_FRAME, MAX_FRAME + 1, 2**31, 2**32 - 1])
        data, fds = stream[-1]
        return [*stream[:-1], (struct.pack("<I", length) + data[4:], fds), (bytes(2000), 0)]

    def _fds(self, stream: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        place = self._random.randrange(len(stream))
        return [
            (data, self._random.randint(0, 8) if number == place else fds) for number, (data, fds) in enumerate(stream)
        ]

    def _cut(self, stream: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        """Slow frames: in pieces, some with descriptors that belong nowhere."""
        pieces: list[tuple[bytes, int]] = []
        for data, fds in stream:
            at = self._random.randint(1, len(data) - 1)
            pieces += [(data[:at], fds), (data[at:], self._random.choice([0, 0, 0, 1]))]
        return pieces

    def _join(self, stream: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        """All in one write, with the descriptors of all at its start."""
        return [(b"".join(data for data, _ in stream), sum(fds for _, fds in stream))]


async def survive(peer: Peer) -> int:
    """Send a hostile conversation to a connection and take what it gives; the number of frames."""
    left, right = socket.socketpair()
    connection = Connection(right)
    taken = 0
    with left:
        left.setblocking(False)
        for data, fds in peer.writes():
            try:
                socket.send_fds(left, [data], [0] * fds) if fds else left.send(data)
            except OSError:
                break
        left.shutdown(socket.SHUT_WR)
        try:
            while True:
                received = await connection.receive()
                close_all(received.fds)
                taken += 1
        except ConnectionClosed:
            pass
    return taken


def test_no_hostile_peer_harms_a_connection() -> None:
    async def main() -> int:
        before = open_fds()
        taken = 0
        for case in range(CASES):
            taken += await survive(Peer(SEED + case))
            if case % 500 == 0:
                assert open_fds() == before, f"case {case} left descriptors"
        return taken

    taken = asyncio.run(main())
    assert CASES / 2 < taken < CASES * 4, "the conversations are neither all valid nor all broken from the start"


def test_a_peer_that_announces_much_and_sends_it_slowly_costs_one_frame_of_memory() -> None:
    parser = Parser()
    parser.feed(PREFIX.pack(MAX_FRAME, 0, 20, 0, 1))
    held = 0
    while held < MAX_FRAME - READ_SIZE:
        parser.feed(bytes(READ_SIZE))
        held += READ_SIZE
        assert parser.next() is None
    parser.feed(bytes(READ_SIZE))
    with pytest.raises(ConnectionClosed):
        parser.next()
    parser.close()


def test_hundreds_of_peers_that_never_finish_a_frame_do_not_hold_up_the_one_that_asks() -> None:
    async def main() -> None:
        pairs = [socket.socketpair() for _ in range(IDLE_PEERS)]
        idle = [Connection(right) for _, right in pairs]
        waiting = [asyncio.ensure_future(connection.receive()) for connection in idle]
        for left, _ in pairs:
            left.send(b"\x40")  # the beginning of a frame that never ends
        left, right = socket.socketpair()
        asker, server = Connection(left), Connection(right)
        started = time.monotonic()
        for number in range(1, 101):
            asker.send(frames.Info(), number)
            assert (await server.receive()).request_id == number
        assert time.monotonic() - started < 10
        for connection in (*idle, asker, server):
            connection.close()
        await asyncio.gather(*waiting, return_exceptions=True)
        for left, _ in pairs:
            left.close()

    asyncio.run(main())
