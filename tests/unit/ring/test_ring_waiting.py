"""Sleeping and waking: a sleeping reader is woken once, a busy one costs nothing, no wake-up is lost."""

import asyncio
import os
import signal
import threading
import time

import pytest
from ring_stream import Stream

from peppy.ring import Outcome, Reader, ReceiveBuffer, StreamClosed


def rung(doorbell: int) -> int:
    """How often the doorbell was rung since the last look."""
    try:
        return os.eventfd_read(doorbell)
    except BlockingIOError:
        return 0


def test_a_write_rings_only_readers_that_sleep(stream: Stream) -> None:
    asleep, awake = stream.doorbell(), stream.doorbell()
    sleeper = stream.reader(doorbell=asleep)
    stream.reader(doorbell=awake)
    assert sleeper.arm() is Outcome.EMPTY
    stream.writer.publish_bytes(b"x")
    assert (rung(asleep), rung(awake)) == (1, 0)


def test_one_ring_serves_a_whole_burst(stream: Stream) -> None:
    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)
    reader.arm()
    for _ in range(5):
        stream.writer.publish_bytes(b"x")
    assert rung(doorbell) == 1


def test_arming_beside_a_message_says_so(stream: Stream) -> None:
    reader = stream.reader(doorbell=stream.doorbell())
    stream.writer.publish_bytes(b"x")
    assert reader.arm() is Outcome.OK


def test_closing_wakes_those_who_sleep(stream: Stream) -> None:
    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)
    reader.arm()
    stream.writer.close()
    assert rung(doorbell) == 1
    assert reader.arm() is Outcome.CLOSED


def test_a_forgotten_doorbell_is_silent(stream: Stream) -> None:
    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)
    reader.arm()
    stream.writer.forget_doorbell(doorbell)
    stream.writer.publish_bytes(b"x")
    assert rung(doorbell) == 0


def test_a_wait_that_nobody_ends_takes_at_least_its_timeout(stream: Stream) -> None:
    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)
    started = time.monotonic()
    assert reader.wait(doorbell, 0.05) is Outcome.EMPTY
    assert time.monotonic() - started >= 0.05


def test_a_timeout_of_zero_is_a_look(stream: Stream) -> None:
    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)
    assert reader.wait(doorbell, 0.0) is Outcome.EMPTY
    stream.writer.publish_bytes(b"x")
    assert reader.wait(doorbell, 0.0) is Outcome.OK


@pytest.mark.parametrize("spin_us", [0.0, 50.0])
def test_a_waiting_thread_gets_every_message(stream: Stream, spin_us: float) -> None:
    doorbell = stream.doorbell()
    reader, found = stream.reader(doorbell=doorbell), []

    def consume() -> None:
        buffer = ReceiveBuffer(8)
        while reader.wait(doorbell, 30, spin_us) is Outcome.OK:
            while isinstance(taken := reader.take_into(buffer), tuple):
                found.append(taken[1])

    consumer = threading.Thread(target=consume)
    consumer.start()
    for number in range(500):
        while number - len(found) > 4:  # stay inside the depth: the wait is what is tested
            time.sleep(0)
        stream.writer.publish_bytes(b"x")
    stream.writer.close()
    consumer.join(30)
    assert found == list(range(1, 501))


def test_a_waiting_thread_lets_others_run(stream: Stream) -> None:
    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)
    waiting = threading.Thread(target=reader.wait, args=(doorbell, 30))
    waiting.start()
    stream.writer.publish_bytes(b"x")  # would never run if the wait kept the interpreter lock
    waiting.join(30)
    assert not waiting.is_alive()


def test_a_signal_handler_runs_during_a_wait_and_its_exception_ends_it(stream: Stream) -> None:
    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)

    def interrupt(*_: object) -> None:
        raise InterruptedError("from the handler")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(InterruptedError, match="from the handler"):
            reader.wait(doorbell, 30)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_signal_does_not_shorten_a_wait(stream: Stream) -> None:
    doorbell, seen = stream.doorbell(), []
    reader = stream.reader(doorbell=doorbell)
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(time.monotonic()))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    started = time.monotonic()
    try:
        assert reader.wait(doorbell, 0.1) is Outcome.EMPTY
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen
    assert time.monotonic() - started >= 0.1


class LoopReader:
    """The smallest consumer under asyncio: one eventfd watched by the loop, read before every look at the ring."""

    def __init__(self, reader: Reader, doorbell: int) -> None:
        self._reader, self._doorbell, self._buffer = reader, doorbell, ReceiveBuffer(8)
        self._woken = asyncio.Event()

    async def next(self) -> int | None:
        while True:
            taken = self._reader.take_into(self._buffer)
            if isinstance(taken, tuple):
                return taken[1]
            if taken is Outcome.CLOSED:
                return None
            await self._sleep()

    async def _sleep(self) -> None:
        self._woken.clear()
        if self._reader.arm() is Outcome.EMPTY:
            await self._woken.wait()

    def ring(self) -> None:
        rung(self._doorbell)
        self._woken.set()


async def consume_under_asyncio(stream: Stream, messages: int, cancel_every: int) -> list[int]:
    doorbell = stream.doorbell()
    consumer = LoopReader(stream.reader(doorbell=doorbell), doorbell)
    loop = asyncio.get_running_loop()
    loop.add_reader(doorbell, consumer.ring)
    found: list[int] = []
    written = 0
    while len(found) < messages:
        task = asyncio.create_task(consumer.next())
        await asyncio.sleep(0)
        if cancel_every and written % cancel_every == 0:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled():
                found.append(task.result())
            task = asyncio.create_task(consumer.next())
        if written < messages:
            stream.writer.publish_bytes(b"x")
            written += 1
        found.append(await task)
    loop.remove_reader(doorbell)
    return found


@pytest.mark.parametrize("cancel_every", [0, 3])
def test_an_event_loop_gets_every_message_also_when_reads_are_cancelled(stream: Stream, cancel_every: int) -> None:
    found = asyncio.run(asyncio.wait_for(consume_under_asyncio(stream, 200, cancel_every), 60))
    assert found == list(range(1, 201))


@pytest.mark.parametrize("spin_us", [0, 60e6])
def test_receiving_brings_the_message_that_comes_with_the_interpreter_lock_free(stream: Stream, spin_us: float) -> None:
    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)
    received: list[object] = []
    thread = threading.Thread(target=lambda: received.append(reader.receive_bytes(doorbell, spin_us=spin_us)))
    thread.start()
    stream.writer.publish_bytes(b"message")
    thread.join(60)
    (result,) = received
    assert isinstance(result, tuple)
    assert result[:2] == (b"message", 1)


def test_spinning_leaves_the_interpreter_to_others_and_takes_nothing(stream: Stream) -> None:
    reader, found = stream.reader(), list[Outcome]()
    assert reader.spin(10) is Outcome.EMPTY
    thread = threading.Thread(target=lambda: found.append(reader.spin(60e6)))
    thread.start()
    stream.writer.publish_bytes(b"x")
    thread.join(60)
    assert found == [Outcome.OK]
    assert reader.take_bytes()[0] == b"x"


def test_receiving_is_empty_at_its_time_and_closed_at_the_end(stream: Stream) -> None:
    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)
    assert reader.receive_bytes(doorbell, timeout=0) is Outcome.EMPTY
    assert reader.receive_bytes(doorbell, timeout=0.001, spin_us=100) is Outcome.EMPTY
    stream.writer.publish_bytes(b"last")
    stream.writer.close()
    assert reader.receive_bytes(doorbell)[0] == b"last"
    assert reader.receive_bytes(doorbell) is Outcome.CLOSED


def test_a_signal_handlers_exception_ends_receiving(stream: Stream) -> None:
    def interrupt(*_: object) -> None:
        raise InterruptedError("enough")

    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)
    before = signal.signal(signal.SIGUSR1, interrupt)
    sender = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        sender.start()
        with pytest.raises(InterruptedError, match="enough"):
            reader.receive_bytes(doorbell)
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_closed_reader_receives_nothing(stream: Stream) -> None:
    doorbell = stream.doorbell()
    reader = stream.reader(doorbell=doorbell)
    reader.close()
    for read in (lambda: reader.take_bytes(), lambda: reader.receive_bytes(doorbell)):
        with pytest.raises(StreamClosed):
            read()
