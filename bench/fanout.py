"""One writer, several readers: how much all of them receive together (docs/design/performance.md, T8)."""

import os
import socket
from collections.abc import Iterator, Sequence
from struct import Struct
from time import perf_counter_ns

from bench.link import BUDGET, LAST, Receiver, Sender
from bench.measure import Measure, in_several_processes
from bench.results import Case, Sample
from peppy.ring import Claim, History, Reader, Writer
from peppy.ring import plan as plan_geometry

READERS = 4
SIZE = 1 << 20
WINDOW = 8  # messages that the slowest reader may be behind
LEAST = 200

_NUMBER = Struct("<Q")


def plan(quick: bool) -> Iterator[tuple[Case, Measure]]:
    """All readers on the second CPU, then anywhere."""
    for condition in ("awake",) if quick else ("awake", "free"):
        note = f"1 to {READERS}, aggregate, paced by acknowledgements"
        yield Case("fanout", "peppy", "fanout", SIZE, "raw-block", condition, "GB/s", note), measure


def measure(case: Case, seconds: float) -> Sample:
    """One repeat: publish for about `seconds` to readers that sleep between messages."""
    return in_several_processes(_source, _sink, READERS, case, seconds)


def _source(channels: Sequence[socket.socket], case: Case, seconds: float) -> Sample:
    writer = Writer.create(plan_geometry(128, BUDGET, case.size), topic_hash=0, schema_hash=0, mode=1)
    send = Sender(writer, case.size, loan=False).send
    for channel in channels:
        _, (doorbell,), _, _ = socket.recv_fds(channel, 64, 1)
        claim = writer.reserve_row(doorbell, History.ALL)
        socket.send_fds(channel, [" ".join(map(str, claim)).encode()], [writer.data_fd, writer.ctrl_fd])
    for channel in channels:
        channel.recv(64)  # it reads
    acknowledged = [0] * len(channels)

    def wait_until_all_have(number: int) -> None:
        for index, channel in enumerate(channels):
            while acknowledged[index] < number:
                (acknowledged[index],) = _NUMBER.unpack(channel.recv(_NUMBER.size))

    warm_up = 2 * writer.geometry.depth  # after two rounds every chunk has its memory
    number, started, end = 0, 0, 0
    while True:
        number += 1
        wait_until_all_have(number - WINDOW)
        send(number)
        if number == warm_up:
            wait_until_all_have(number)
            started = perf_counter_ns()
            end = started + int(seconds * 1e9)
        if number >= warm_up + LEAST and perf_counter_ns() > end:
            break
    wait_until_all_have(number)
    taken = (number - warm_up) * len(channels)
    rate = taken * case.size / (perf_counter_ns() - started)
    send(LAST)
    for channel in channels:
        channel.recv(64)  # it has ended
    return Sample(n=taken, value=rate)


def _sink(channel: socket.socket, case: Case, _seconds: float) -> None:
    doorbell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    socket.send_fds(channel, [b"doorbell"], [doorbell])
    text, (data_fd, ctrl_fd), _, _ = socket.recv_fds(channel, 4096, 2)
    reader = Reader.open(data_fd, ctrl_fd, Claim(*map(int, text.split())), newest=False)
    receive = Receiver(reader, case.size).receive
    channel.send(b"ready")
    expected = 1
    while True:
        reader.wait(doorbell)
        number = receive()
        if number is None:
            continue
        if number == LAST:
            break
        if number != expected:
            raise RuntimeError(f"message {number} came instead of {expected}")
        expected += 1
        channel.send(_NUMBER.pack(number))
    channel.send(b"end")
