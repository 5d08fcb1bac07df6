"""What is not served is asyncio's: the same claims hold for its own loop, for ours, and for ours in debug mode."""

import asyncio
import os
import random
import signal
import socket
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from peppy.loop import EventLoop

from .bells import NewBell

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def run_once(loop: AbstractEventLoop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


# --- readers and writers ---------------------------------------------------------------------------------------------


def test_a_reader_is_called_with_its_arguments(any_loop: AbstractEventLoop, new_bell: NewBell):
    calls: list[object] = []
    any_loop.add_reader(new_bell(rung=True).fd, calls.extend, ("a", "b"))
    run_once(any_loop)
    assert calls == ["a", "b"]


def test_a_reader_that_is_replaced_is_not_called(any_loop: AbstractEventLoop, new_bell: NewBell):
    bell, calls = new_bell(rung=True), []
    any_loop.add_reader(bell.fd, calls.append, "old")
    any_loop.add_reader(bell.fd, calls.append, "new")
    run_once(any_loop)
    assert calls == ["new"]


def test_removing_tells_whether_there_was_a_reader(any_loop: AbstractEventLoop, new_bell: NewBell):
    bell = new_bell()
    any_loop.add_reader(bell.fd, print)
    assert [any_loop.remove_reader(bell.fd) for _ in range(2)] == [True, False]


def test_removing_tells_whether_there_was_a_writer(any_loop: AbstractEventLoop, new_bell: NewBell):
    bell = new_bell()
    any_loop.add_writer(bell.fd, print)
    assert [any_loop.remove_writer(bell.fd) for _ in range(2)] == [True, False]


def test_reader_and_writer_of_one_socket_are_called(any_loop: AbstractEventLoop, pair: Pair):
    calls: list[str] = []
    pair[1].send(b"x")
    any_loop.add_reader(pair[0], calls.append, "reader")
    any_loop.add_writer(pair[0], calls.append, "writer")
    run_once(any_loop)
    assert sorted(calls) == ["reader", "writer"]


def test_the_writer_stays_when_the_reader_goes(any_loop: AbstractEventLoop, pair: Pair):
    calls: list[str] = []
    pair[1].send(b"x")
    any_loop.add_reader(pair[0], calls.append, "reader")
    any_loop.add_writer(pair[0], calls.append, "writer")
    any_loop.remove_reader(pair[0])
    run_once(any_loop)
    assert calls == ["writer"]


def test_a_reader_is_told_of_a_hang_up(any_loop: AbstractEventLoop):
    reader, writer = os.pipe()
    os.close(writer)
    any_loop.add_reader(reader, any_loop.stop)
    any_loop.run_forever()
    any_loop.remove_reader(reader)
    os.close(reader)


def test_a_reader_that_fails_goes_to_the_exception_handler(any_loop: AbstractEventLoop, new_bell: NewBell):
    errors: list[object] = []
    any_loop.set_exception_handler(lambda _, context: errors.append(type(context["exception"])))
    any_loop.add_reader(new_bell(rung=True).fd, lambda: 1 / 0)
    run_once(any_loop)
    assert errors == [ZeroDivisionError]


# --- sockets, streams and processes ----------------------------------------------------------------------------------


def test_a_task_that_receives_waits_for_one_that_sends(any_loop: AbstractEventLoop, pair: Pair):
    async def main() -> bytes:
        receiving = any_loop.create_task(any_loop.sock_recv(pair[0], 10))
        await asyncio.sleep(0)
        await any_loop.sock_sendall(pair[1], b"hello")
        return await receiving

    assert any_loop.run_until_complete(main()) == b"hello"


def test_sending_waits_for_room(any_loop: AbstractEventLoop, pair: Pair):
    sent = random.Random(1).randbytes(1 << 20)

    async def receive() -> bytes:
        received = bytearray()
        while len(received) < len(sent):
            received += await any_loop.sock_recv(pair[1], 1 << 16)
        return bytes(received)

    async def main() -> bytes:
        sending = any_loop.create_task(any_loop.sock_sendall(pair[0], sent))
        received = await receive()
        await sending
        return received

    assert any_loop.run_until_complete(main()) == sent


def test_a_receive_that_is_cancelled_leaves_the_bytes_to_the_next(any_loop: AbstractEventLoop, pair: Pair):
    async def main() -> bytes:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(any_loop.sock_recv(pair[0], 10), 0.001)
        await any_loop.sock_sendall(pair[1], b"later")
        return await any_loop.sock_recv(pair[0], 10)

    assert any_loop.run_until_complete(main()) == b"later"


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_server_of_streams_sends_everything_back(any_loop: AbstractEventLoop, tmp_path: Path, kind: str):
    sent = random.Random(2).randbytes(1 << 20)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def ask(path: str, port: int) -> bytes:
        opening: Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.open_unix_connection(path) if kind == "unix" else asyncio.open_connection("127.0.0.1", port)
        )
        reader, writer = await opening
        writer.write(sent)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def main() -> list[bytes]:
        path, port = str(tmp_path / "echo"), 0
        if kind == "unix":
            server = await asyncio.start_unix_server(echo, path)
        else:
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
        async with server:
            return await asyncio.gather(*(ask(path, port) for _ in range(3)))

    assert any_loop.run_until_complete(main()) == [sent] * 3


def test_datagrams_arrive(any_loop: AbstractEventLoop):
    arrived: asyncio.Future[bytes] = any_loop.create_future()

    class Receiver(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002
            arrived.set_result(data)

    async def main() -> bytes:
        receiver, _ = await any_loop.create_datagram_endpoint(Receiver, local_addr=("127.0.0.1", 0))
        with closing(receiver), socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", receiver.get_extra_info("sockname"))
            return await arrived

    assert any_loop.run_until_complete(main()) == b"hello"


PROGRAM = "import sys; text = sys.stdin.read(); print(text.upper()); print('oops', file=sys.stderr); sys.exit(3)"


def test_a_subprocess_reads_writes_and_ends(any_loop: AbstractEventLoop):
    async def main() -> tuple[bytes, bytes, int | None]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-S", "-c", PROGRAM, stdin=pipe, stdout=pipe, stderr=pipe
        )
        out, err = await process.communicate(b"hello")
        return out, err, process.returncode

    assert any_loop.run_until_complete(main()) == (b"HELLO\n", b"oops\n", 3)


def test_a_subprocess_that_is_killed_has_ended(any_loop: AbstractEventLoop):
    async def main() -> int:
        process = await asyncio.create_subprocess_exec("sleep", "1000")
        process.kill()
        return await process.wait()

    assert any_loop.run_until_complete(main()) == -signal.SIGKILL


# --- signals and threads ---------------------------------------------------------------------------------------------


def test_the_handler_of_a_signal_is_called(any_loop: AbstractEventLoop):
    calls: list[str] = []

    def handle(name: str) -> None:
        calls.append(name)
        any_loop.stop()

    any_loop.add_signal_handler(signal.SIGUSR1, handle, "USR1")
    sending = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
    any_loop.call_soon(sending.start)
    any_loop.run_forever()
    sending.join()
    any_loop.remove_signal_handler(signal.SIGUSR1)
    assert calls == ["USR1"]


@pytest.mark.parametrize("factory", [asyncio.SelectorEventLoop, EventLoop])
def test_ctrl_c_cancels_the_main_task_and_ends_the_run(factory: type[AbstractEventLoop]):
    ends: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(os.kill, os.getpid(), signal.SIGINT)
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    with asyncio.Runner(loop_factory=factory) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(main())
    assert ends == ["cancelled"]


def test_another_thread_wakes_the_loop(any_loop: AbstractEventLoop):
    calling = threading.Thread(target=any_loop.call_soon_threadsafe, args=(any_loop.stop,))
    any_loop.call_soon(calling.start)
    any_loop.run_forever()
    calling.join()


def test_an_executor_gives_its_result(any_loop: AbstractEventLoop):
    async def main() -> int:
        return await any_loop.run_in_executor(None, threading.get_ident)

    assert any_loop.run_until_complete(main()) != threading.get_ident()


def test_an_executor_gives_its_error(any_loop: AbstractEventLoop):
    async def main() -> None:
        await any_loop.run_in_executor(None, int, "x")

    with pytest.raises(ValueError, match="invalid literal"):
        any_loop.run_until_complete(main())


# --- timers ----------------------------------------------------------------------------------------------------------


def test_timers_fire_in_their_order(any_loop: AbstractEventLoop):
    order: list[float] = []
    delays = [0.003, 0.001, 0.002, 0.0005, 0.0]
    start = any_loop.time()
    for delay in delays:
        any_loop.call_at(start + delay, order.append, delay)
    any_loop.call_at(start + 0.004, any_loop.stop)
    any_loop.run_forever()
    assert order == sorted(delays)


def test_timers_of_microseconds_never_fire_early(any_loop: AbstractEventLoop):
    early: list[float] = []
    resolution = 1e-9  # what asyncio takes for the resolution of the clock, and forgives

    async def main() -> None:
        numbers = random.Random(3)
        for _ in range(300):
            fired: asyncio.Future[float] = any_loop.create_future()
            delay = numbers.uniform(0, 200e-6)
            timer = any_loop.call_later(delay, lambda future=fired: future.set_result(any_loop.time()))
            if await fired < timer.when() - resolution:
                early.append(timer.when())

    any_loop.run_until_complete(main())
    assert not early


@pytest.mark.parametrize("delay", [0, -1, -1e9, 1e-12])
def test_a_timer_without_delay_fires_at_once(any_loop: AbstractEventLoop, delay: float):
    any_loop.call_later(delay, any_loop.stop)
    any_loop.run_forever()


def test_a_timer_in_a_hundred_years_keeps_nobody_waiting(any_loop: AbstractEventLoop, new_bell: NewBell):
    timer = any_loop.call_later(100 * 365 * 86400, pytest.fail)
    bell = new_bell()
    any_loop.add_reader(bell.fd, any_loop.stop)
    ringing = threading.Thread(target=bell.ring)
    any_loop.call_soon(ringing.start)
    any_loop.run_forever()
    ringing.join()
    timer.cancel()


def test_a_cancelled_timer_does_not_fire(any_loop: AbstractEventLoop):
    any_loop.call_later(0.0005, pytest.fail).cancel()
    any_loop.call_later(0.001, any_loop.stop)
    any_loop.run_forever()


def test_a_limit_of_time_cancels(any_loop: AbstractEventLoop):
    async def main() -> None:
        async with asyncio.timeout(0.001):
            await any_loop.create_future()

    with pytest.raises(asyncio.TimeoutError):
        any_loop.run_until_complete(main())


@pytest.mark.parametrize("factory", [asyncio.SelectorEventLoop, EventLoop])
def test_a_closed_loop_can_be_stopped(factory: type[AbstractEventLoop]):
    loop = factory()
    loop.close()
    loop.stop()


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_program_in_a_task_ends_the_run(any_loop: AbstractEventLoop, end: type[BaseException]):
    async def main() -> None:
        await asyncio.sleep(0)
        raise end

    task = any_loop.create_task(main())
    with pytest.raises(end):
        any_loop.run_until_complete(task)
    assert isinstance(task.exception(), end)
