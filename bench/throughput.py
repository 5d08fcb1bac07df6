"""How much flows: messages per second of 64 bytes, bytes per second of camera frames, one reader, in order."""

import socket
from collections.abc import Callable, Iterator
from struct import Struct
from time import perf_counter_ns

from bench.link import LAST, Link, Sender
from bench.measure import Measure, in_two_processes
from bench.results import Case, Sample
from peppy.ring import Outcome, ReceiveBuffer

FRAME = 6_220_800  # bytes of one 1920 x 1080 RGB frame
SMALL = 64
BATCH = 64  # small messages that one take_many brings, and that one acknowledgement covers
SMALL_DEPTH = 1024
WINDOW = {SMALL: SMALL_DEPTH // 2, FRAME: 2}  # messages that may be unacknowledged
PACED, FLOODING = "paced by acknowledgements", "flooding"

_NUMBER = Struct("<Q")


def plan(_quick: bool) -> Iterator[tuple[Case, Measure]]:
    """Paced: the reader acknowledges on a second stream, nothing is lost. Flooding: as fast as the writer can."""
    for note in (PACED, FLOODING):
        yield Case("throughput", "peppy", "throughput", SMALL, "raw-poll", "awake", "msg/s", note), measure
    yield Case("throughput", "peppy", "throughput", FRAME, "raw-poll", "awake", "GB/s", PACED), measure


def measure(case: Case, seconds: float) -> Sample:
    """One repeat: publish for about `seconds`, and count what came."""
    return in_two_processes(_sink, _source, case, seconds)


def _open(channel: socket.socket, case: Case) -> Link:
    return Link.open(channel, case.size, SMALL_DEPTH if case.size == SMALL else 128)


def _source(channel: socket.socket, case: Case, seconds: float) -> None:
    link = _open(channel, case)
    send = Sender(link.writer, case.size, loan=False).send
    acknowledged = _Acknowledged(link)
    window = WINDOW[case.size] if case.note == PACED else LAST
    end = perf_counter_ns() + int(seconds * 1e9)
    number = 0
    while True:
        if number & 15 == 0 and perf_counter_ns() > end:
            break
        while number - acknowledged.number >= window:
            acknowledged.look()
        number += 1
        send(number)
    link.writer.publish_bytes(_NUMBER.pack(LAST))
    channel.recv(64)  # the sink has seen the end


class _Acknowledged:
    """The highest number that the other end has acknowledged."""

    def __init__(self, link: Link) -> None:
        self.number = 0
        self._reader, self._buffer = link.reader, ReceiveBuffer(SMALL)

    def look(self) -> None:
        while isinstance(self._reader.take_into(self._buffer), tuple):
            (self.number,) = _NUMBER.unpack_from(self._buffer.data)


def _sink(channel: socket.socket, case: Case, seconds: float) -> Sample:
    del seconds
    link = _open(channel, case)
    take = _take_small(link) if case.size == SMALL else _take_frame(link, case.size)
    received = last = 0
    warm_up = 2 * link.reader.config.depth  # after two rounds every chunk has its memory
    started, first = perf_counter_ns(), 0
    while True:
        numbers = take()
        if not numbers:
            continue
        if not first and received > warm_up:
            started, first = perf_counter_ns(), received
        ended = numbers[-1] == LAST
        if ended:
            numbers.pop()
        if numbers:
            if numbers[0] <= last or numbers != sorted(numbers):
                raise RuntimeError(f"message {numbers[0]} came after {last}")
            received, last = received + len(numbers), numbers[-1]
        if ended:
            break
        link.writer.publish_bytes(_NUMBER.pack(last))
    rate = (received - first) / (perf_counter_ns() - started) * 1e9
    channel.send(b"end")
    return Sample(n=received, value=rate if case.unit == "msg/s" else rate * case.size / 1e9, lost=last - received)


def _take_small(link: Link) -> Callable[[], list[int]]:
    """Many messages in one call; the number, first and last byte of each are read."""
    reader, buffer = link.reader, ReceiveBuffer(BATCH * SMALL, messages=BATCH)
    unpack, data = _NUMBER.unpack_from, buffer.data

    def take() -> list[int]:
        taken = reader.take_many(buffer, BATCH)
        if taken.__class__ is Outcome:
            return []
        numbers = [unpack(data, offset)[0] for offset, _, _, _ in taken]
        for (offset, length, _, _), number in zip(taken, numbers, strict=True):
            if length == SMALL and data[offset + SMALL - 1] != number & 0xFF:
                raise RuntimeError(f"message {number} is torn")
        return numbers

    return take


def _take_frame(link: Link, size: int) -> Callable[[], list[int]]:
    reader = link.reader

    def take() -> list[int]:
        view = reader.take_view()
        if view.__class__ is Outcome:
            return []
        (number,) = _NUMBER.unpack_from(view.data)
        if len(view.data) == size and view.data[-1] != number & 0xFF:
            raise RuntimeError(f"message {number} is torn")
        return [number]

    return take
