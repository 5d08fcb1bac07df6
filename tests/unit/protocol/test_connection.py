"""Frames and descriptors over a real socket pair, in an event loop and in threads (docs/design/protocol.md)."""

import asyncio
import os
import random
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from peppy.errors import PeppyError
from peppy.loop import EventLoop
from peppy.protocol import blocking, wire
from peppy.protocol.answers import Attached, Subscribed
from peppy.protocol.blocking import BlockingConnection
from peppy.protocol.connection import Connection
from peppy.protocol.frame import PREFIX, ConnectionClosed, ProtocolViolation, close_all, encode
from peppy.protocol.frames import (
    FROM_CLI,
    NUMBERS,
    Cancel,
    Done,
    Frame,
    Healthy,
    Hello,
    Info,
    NodeSync,
    Output,
    Ready,
)
from peppy.protocol.streams import (
    Attach,
    Attachment,
    StreamClose,
    StreamOpen,
    Subscribe,
)

OPEN = StreamOpen(7, "frames", 0, 9, 1)
SUBSCRIBE = Subscribe(1, "left", "frames", 9)


def open_fds() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture(autouse=True)
def no_descriptor_left() -> Iterator[None]:
    before = open_fds()
    yield
    assert open_fds() == before


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[int, ...]]:
    fds = tuple(os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("a", "b", "c", "d", "e"))
    yield fds
    close_all(fds)


def same_file(one: int, other: int) -> bool:
    return os.path.sameopenfile(one, other)


LOOP: Callable[[], asyncio.AbstractEventLoop] = EventLoop


@pytest.fixture(params=[EventLoop, asyncio.SelectorEventLoop], ids=["peppy", "asyncio"])
def any_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's loop, and one of a program that has its own."""
    monkeypatch.setitem(globals(), "LOOP", request.param)


on_any_loop = pytest.mark.usefixtures("any_loop")


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine in a loop without debug, closing the loop before descriptors are counted."""
    with asyncio.Runner(loop_factory=LOOP) as runner:
        runner.run(asyncio.wait_for(main(), 30))


# --- both kinds -----------------------------------------------------------------------------------------------------


def test_frames_arrive_in_the_order_in_which_they_were_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    async def main() -> None:
        sender, receiver = Connection(pair[0]), Connection(pair[1])
        for number in range(1, 100):
            sender.send(Info(), number)
        assert [(await receiver.receive()).request_id for _ in range(1, 100)] == list(range(1, 100))
        sender.close()
        receiver.close()

    run(main)


def test_the_two_kinds_understand_each_other(pair: tuple[socket.socket, socket.socket]) -> None:
    async def main() -> None:
        loop_side, thread_side = Connection(pair[0]), BlockingConnection(pair[1])
        thread_side.send(Hello(1, "0.1.0", 0, "cli", os.getpid()))
        assert (await loop_side.receive()).frame == Hello(1, "0.1.0", 0, "cli", os.getpid())
        loop_side.send(StreamClose(2**64 - 1))
        assert thread_side.receive(5).frame == StreamClose(2**64 - 1)
        loop_side.close()
        thread_side.close()

    run(main)


def test_descriptors_arrive_with_their_frame_and_are_closed_on_exec(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...]
) -> None:
    sender, receiver = BlockingConnection(pair[0]), BlockingConnection(pair[1])
    sender.send(Ready())
    sender.send(OPEN, 1, files[:2])
    sender.send(Ready())
    sender.send(SUBSCRIBE, 2, files[2:3])
    received = [receiver.receive(5) for _ in range(4)]
    assert [len(frame.fds) for frame in received] == [0, 2, 0, 1]
    arrived = received[1].fds + received[3].fds
    assert all(same_file(mine, theirs) for mine, theirs in zip(files, arrived, strict=False))
    assert not any(os.get_inheritable(fd) for fd in arrived)
    close_all(arrived)
    sender.close()
    receiver.close()


@on_any_loop
def test_a_frame_longer_than_the_socket_buffer_arrives_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    async def main() -> None:
        sender, receiver = Connection(pair[0]), Connection(pair[1])
        frame = NodeSync("/" + "x" * 1_000_000, 1.0)
        sender.send(frame, 1)
        sender.send(Info(), 2)
        assert (await receiver.receive()).frame == frame
        assert (await receiver.receive()).request_id == 2
        sender.close()
        receiver.close()

    run(main)


@pytest.mark.parametrize(("size", "header_length"), [(65_535, 65_535), (65_536, 0)])
def test_an_array_too_long_for_the_header_is_the_payload(
    pair: tuple[socket.socket, socket.socket], size: int, header_length: int
) -> None:
    frame = NodeSync("x" * (size - 13), 1.0)  # array 1, text 3, float 9
    data = encode(frame, 1)
    assert PREFIX.unpack_from(data)[:2] == (12 + size, header_length)
    sender, receiver = BlockingConnection(pair[0]), BlockingConnection(pair[1])
    sender.send(frame, 1)
    assert receiver.receive(5).frame == frame
    sender.close()
    receiver.close()


def test_a_frame_over_one_mebibyte_is_refused_before_it_is_sent() -> None:
    with pytest.raises(PeppyError, match="`NodeSync` of 1048566 bytes is larger than a frame") as raised:
        encode(NodeSync("x" * ((1 << 20) - 25), 1.0), 1)
    assert raised.value.kind == "Refused"
    assert len(encode(NodeSync("x" * ((1 << 20) - 27), 1.0), 1)) == 4 + (1 << 20)


def test_text_that_is_no_utf8_is_refused_before_it_is_sent() -> None:
    with pytest.raises(PeppyError, match=r"`/home/\\udcff` in `NodeSync` is no valid UTF-8"):
        encode(NodeSync(os.fsdecode(b"/home/\xff"), 1.0), 1)


@pytest.mark.parametrize(
    ("frame", "request_id", "fds"), [(Info(), 0, 0), (Ready(), 1, 0), (Info(), 1, 1), (OPEN, 1, 0)]
)
def test_a_frame_is_sent_only_as_its_type_allows(frame: Frame, request_id: int, fds: int) -> None:
    with pytest.raises(ValueError, match="does not travel"):
        encode(frame, request_id, fds)


def test_threads_do_not_load_asyncio() -> None:
    program = "import sys, peppy.client, peppy.protocol.blocking; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_descriptors_that_wait_may_be_closed_by_the_sender(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...]
) -> None:
    async def main() -> None:
        sender, receiver = Connection(pair[0]), Connection(pair[1])
        sender.send(NodeSync("/" + "x" * 1_000_000, 1.0), 1)  # fills the socket, so the next one has to wait
        copies = wire.duplicates(files[:2])
        sender.send(OPEN, 2, copies)
        close_all(copies)
        await receiver.receive()
        received = await receiver.receive()
        assert [same_file(one, other) for one, other in zip(files, received.fds, strict=False)] == [True, True]
        close_all(received.fds)
        sender.close()
        receiver.close()

    run(main)


@on_any_loop
def test_descriptors_that_wait_are_closed_with_the_connection(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...]
) -> None:
    async def main() -> None:
        sender = Connection(pair[0])
        sender.send(NodeSync("/" + "x" * 1_000_000, 1.0), 1)
        sender.send(OPEN, 2, files[:2])
        sender.close()

    run(main)


@on_any_loop
def test_a_peer_that_does_not_read_is_cut_off(pair: tuple[socket.socket, socket.socket]) -> None:
    async def main() -> None:
        sender = Connection(pair[0])
        frame = NodeSync("/" + "x" * 1_000_000, 1.0)
        for number in range(1, 9):
            sender.send(frame, number)
        with pytest.raises(ConnectionClosed, match="does not read"):
            sender.send(frame, 9)
        with pytest.raises(ConnectionClosed, match="does not read"):
            await sender.receive()

    run(main)


def test_a_thread_that_sends_to_a_peer_that_does_not_read_gives_up(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "SEND_SECS", 0.05)
    sender = BlockingConnection(pair[0])
    with pytest.raises(ConnectionClosed, match="read nothing"):
        sender.send(NodeSync("/" + "x" * 1_000_000, 1.0), 1)


def test_a_post_never_waits_and_the_thread_that_receives_writes_the_rest(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...]
) -> None:
    sender, receiver = BlockingConnection(pair[0]), BlockingConnection(pair[1])
    receiving = threading.Thread(target=lambda: sender.receive(60))
    receiving.start()
    posted = 40
    for number in range(1, posted):
        sender.post(Output("log", str(number) + "x" * 100_000), number)
    own = tuple(os.dup(fd) for fd in files[:2])
    sender.post(OPEN, posted, own)
    for fd in own:
        os.close(fd)  # they are the sender's: what waits has copies
    last = threading.Thread(target=lambda: sender.send(Output("log", "last"), posted + 1))
    last.start()
    for number in range(1, posted):
        frame = receiver.receive(60).frame
        assert isinstance(frame, Output)
        assert frame.text.rstrip("x") == str(number)
    opened = receiver.receive(60)
    assert all(same_file(mine, theirs) for mine, theirs in zip(files, opened.fds, strict=False))
    for fd in opened.fds:
        os.close(fd)
    assert receiver.receive(60).frame == Output("log", "last")
    receiver.send(Ready())
    last.join()
    receiving.join()
    sender.close()
    receiver.close()


def test_what_was_posted_to_a_peer_that_does_not_read_ends_the_connection(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "SEND_SECS", 0.05)
    sender = BlockingConnection(pair[0])
    for number in range(1, 5):
        sender.post(Output("log", "x" * 100_000), number)
    sender.post(OPEN, 5, files[:2])
    with pytest.raises(ConnectionClosed, match=r"has read nothing for 0.05 s"):
        sender.receive(60)
    with pytest.raises(ConnectionClosed):
        sender.post(Ready())


@on_any_loop
def test_the_end_of_the_peer_ends_receiving(pair: tuple[socket.socket, socket.socket]) -> None:
    async def main() -> None:
        one, other = Connection(pair[0]), Connection(pair[1])
        waiting = asyncio.ensure_future(one.receive())
        await asyncio.sleep(0)
        other.close()
        with pytest.raises(ConnectionClosed, match="peer has closed"):
            await waiting
        with pytest.raises(ConnectionClosed):
            one.send(Ready())

    run(main)


@on_any_loop
def test_closing_wakes_the_task_that_receives(pair: tuple[socket.socket, socket.socket]) -> None:
    async def main() -> None:
        one = Connection(pair[0])
        waiting = asyncio.ensure_future(one.receive())
        await asyncio.sleep(0)
        one.close()
        with pytest.raises(ConnectionClosed, match="this side"):
            await waiting

    run(main)


def test_frames_sent_before_the_end_still_arrive(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = BlockingConnection(pair[0]), BlockingConnection(pair[1])
    sender.send(Ready())
    sender.send(Healthy())
    sender.close()
    assert [receiver.receive(5).frame for _ in range(2)] == [Ready(), Healthy()]
    with pytest.raises(ConnectionClosed):
        receiver.receive(5)


def test_closing_from_another_thread_wakes_the_one_that_receives(pair: tuple[socket.socket, socket.socket]) -> None:
    receiver = BlockingConnection(pair[0])
    reasons: list[str] = []

    def receive() -> None:
        try:
            receiver.receive(30)
        except ConnectionClosed as error:
            reasons.append(error.message)

    thread = threading.Thread(target=receive)
    thread.start()
    receiver.close()
    thread.join(30)
    assert reasons == ["this side has closed the connection"]


def test_threads_send_whole_frames(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = BlockingConnection(pair[0]), BlockingConnection(pair[1])

    def send(first: int) -> None:
        for number in range(first, first + 50):
            sender.send(NodeSync("/" + "x" * 20_000, 1.0), number)

    threads = [threading.Thread(target=send, args=(first,)) for first in (1, 101, 201)]
    for thread in threads:
        thread.start()
    numbers = sorted(receiver.receive(30).request_id for _ in range(150))
    for thread in threads:
        thread.join(30)
    assert numbers == [*range(1, 51), *range(101, 151), *range(201, 251)]
    sender.close()
    receiver.close()


def test_receive_ends_at_its_timeout(pair: tuple[socket.socket, socket.socket]) -> None:
    receiver = BlockingConnection(pair[0])
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        receiver.receive(0.05)
    assert time.monotonic() - started >= 0.05
    receiver.close()


def test_the_peer_is_known_by_process_and_user(pair: tuple[socket.socket, socket.socket]) -> None:
    receiver = BlockingConnection(pair[0])
    assert receiver.peer == (os.getpid(), os.getuid(), os.getgid())
    receiver.close()


# --- violations -----------------------------------------------------------------------------------------------------


def refused(
    pair: tuple[socket.socket, socket.socket],
    data: bytes,
    fds: tuple[int, ...] = (),
    allowed: frozenset[type] | None = None,
) -> str:
    """Send raw bytes to both kinds of connection, which end; the message of the violation."""
    messages: list[str] = []

    def send(peer: socket.socket) -> None:
        if fds:
            socket.send_fds(peer, [data], fds)
        else:
            peer.sendall(data)

    async def main() -> None:
        left, right = socket.socketpair()
        with left:
            receiver = Connection(right, allowed)
            send(left)
            with pytest.raises(ProtocolViolation) as raised:
                await receiver.receive()
            assert left.recv(1) == b""
            messages.append(raised.value.message)

    run(main)
    receiver = BlockingConnection(pair[1], allowed)
    send(pair[0])
    with pytest.raises(ProtocolViolation) as raised:
        receiver.receive(5)
    assert pair[0].recv(1) == b""
    assert [raised.value.message] == messages
    return messages[0]


def prefix(kind: type = Info, **fields: int) -> bytes:
    values = {"length": 13, "header_length": 1, "type": NUMBERS[kind], "fds": 0, "request_id": 1} | fields
    return PREFIX.pack(*values.values()) + b"\x90"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (prefix(length=12), "length 12 with header length 1"),
        (prefix(length=(1 << 20) + 1), "length 1048577"),
        (prefix(length=2**32 - 1), "length 4294967295"),
        (prefix(length=0, header_length=0), "length 0"),
        (prefix(length=14) + b"\x90", "has a payload"),
        (prefix(type=0), "unknown type 0"),
        (prefix(type=255), "unknown type 255"),
        (prefix(request_id=0), "has the request id 0"),
        (prefix(Ready, request_id=4), "has the request id 4"),
        (prefix(fds=1), "says 1 descriptors"),
        (prefix(StreamOpen, fds=1), "says 1 descriptors"),
        (prefix()[:-1] + b"\xc1", "cannot be decoded"),
        (prefix()[:-1] + b"\x80", "cannot be decoded"),
        (prefix(NodeSync), "cannot be decoded"),
        (prefix(length=14, header_length=2) + b"\x90", "cannot be decoded"),
        (prefix(header_length=0, length=12)[:-1], "has no header"),
        (prefix(header_length=0), "has no header"),
    ],
)
def test_a_frame_against_the_rules_ends_the_connection(
    pair: tuple[socket.socket, socket.socket], data: bytes, message: str
) -> None:
    assert message in refused(pair, data)


def test_a_frame_that_the_role_may_not_send_ends_the_connection(pair: tuple[socket.socket, socket.socket]) -> None:
    assert refused(pair, encode(Ready()), allowed=FROM_CLI) == "`Ready` is not allowed here"


def test_the_allowed_frames_can_be_changed_once_the_role_is_known(pair: tuple[socket.socket, socket.socket]) -> None:
    async def main() -> None:
        receiver = Connection(pair[0], frozenset({Hello}))
        pair[1].sendall(encode(Hello(1, "0.1.0", 0, "cli", 1)) + encode(Info(), 1) + encode(Ready()))
        await receiver.receive()
        receiver.restrict(FROM_CLI)
        assert (await receiver.receive()).frame == Info()
        with pytest.raises(ProtocolViolation):
            await receiver.receive()

    run(main)


def test_missing_descriptors_end_the_connection(pair: tuple[socket.socket, socket.socket]) -> None:
    assert "without its 2 descriptors" in refused(pair, encode(OPEN, 1, 2))


def test_too_few_descriptors_end_the_connection(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...]
) -> None:
    assert "1 of its 2 descriptors" in refused(pair, encode(OPEN, 1, 2), files[:1])


def test_too_many_descriptors_end_the_connection(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...]
) -> None:
    assert "3 of its 2 descriptors" in refused(pair, encode(OPEN, 1, 2), files[:3])


def test_more_descriptors_than_any_frame_has_end_the_connection(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...]
) -> None:
    assert "4 of its 2 descriptors" in refused(pair, encode(OPEN, 1, 2), files[:5])


def test_descriptors_on_a_frame_without_any_end_the_connection(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...]
) -> None:
    async def main() -> None:
        receiver = Connection(pair[1])
        socket.send_fds(pair[0], [encode(Ready())], files[:2])
        with pytest.raises(ProtocolViolation, match="2 descriptors came without a frame"):
            await receiver.receive()

    run(main)


def test_descriptors_inside_a_frame_end_the_connection(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...]
) -> None:
    data = encode(OPEN, 1, 2)
    receiver = BlockingConnection(pair[1])
    pair[0].sendall(data[:1])
    with pytest.raises(TimeoutError):
        receiver.receive(0)
    socket.send_fds(pair[0], [data[1:]], files[:2])
    with pytest.raises(ProtocolViolation, match="2 descriptors came without a frame"):
        receiver.receive(5)


def test_descriptors_on_every_byte_of_a_frame_end_the_connection(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...]
) -> None:
    receiver = BlockingConnection(pair[1])
    socket.send_fds(pair[0], [b"\x40"], files[:2])
    socket.send_fds(pair[0], [b"\x00"], files[:2])
    with pytest.raises(ProtocolViolation, match="2 descriptors came without a frame"):
        receiver.receive(5)


def test_a_frame_that_stays_incomplete_ends_the_connection(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "FRAME_SECS", 0.05)
    assert "stayed incomplete" in refused(pair, encode(Ready())[:-1])


def test_an_idle_connection_is_never_late(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "FRAME_SECS", 0.02)

    async def main() -> None:
        receiver = Connection(pair[0])
        pair[1].sendall(encode(Ready()))
        await receiver.receive()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receiver.receive(), 0.1)
        pair[1].sendall(encode(Healthy()))
        assert (await receiver.receive()).frame == Healthy()
        receiver.close()

    run(main)


# --- serving --------------------------------------------------------------------------------------------------------


@on_any_loop
def test_whoever_serves_gets_every_frame_in_order_without_starving_others(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    async def main() -> None:
        sender, receiver = Connection(pair[0]), Connection(pair[1])
        heard: list[int] = []
        passes: list[int] = []

        def count() -> None:
            passes.append(len(heard))
            if len(heard) < 300:
                asyncio.get_running_loop().call_soon(count)

        serving = asyncio.ensure_future(receiver.serve(lambda received: heard.append(received.request_id)))
        for number in range(1, 301):
            sender.send(Info(), number)
        asyncio.get_running_loop().call_soon(count)
        while len(heard) < 300:
            await asyncio.sleep(0)
        assert heard == list(range(1, 301))
        assert len({seen for seen in passes if 0 < seen < 300}) >= 3
        sender.close()
        with pytest.raises(ConnectionClosed, match="peer has closed"):
            await serving

    run(main)


@on_any_loop
def test_serving_begins_with_what_was_read_before(pair: tuple[socket.socket, socket.socket]) -> None:
    async def main() -> None:
        sender, receiver = Connection(pair[0]), Connection(pair[1])
        for number in (1, 2, 3):
            sender.send(Info(), number)
        assert (await receiver.receive()).request_id == 1
        heard: list[int] = []
        serving = asyncio.ensure_future(receiver.serve(lambda received: heard.append(received.request_id)))
        await asyncio.sleep(0)
        assert heard == [2, 3]
        receiver.close()
        with pytest.raises(ConnectionClosed, match="this side"):
            await serving
        sender.close()

    run(main)


@on_any_loop
def test_what_the_handler_raises_ends_serving_and_not_the_connection(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    def fail(_received: Any) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        sender, receiver = Connection(pair[0]), Connection(pair[1])
        serving = asyncio.ensure_future(receiver.serve(fail))
        sender.send(Info(), 1)
        with pytest.raises(ZeroDivisionError):
            await serving
        sender.send(Info(), 2)
        assert (await receiver.receive()).request_id == 2
        sender.close()
        receiver.close()

    run(main)


@on_any_loop
def test_a_frame_that_stays_incomplete_ends_serving(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "FRAME_SECS", 0.05)

    async def main() -> None:
        receiver = Connection(pair[1])
        serving = asyncio.ensure_future(receiver.serve(lambda _received: None))
        pair[0].sendall(encode(Ready())[:-1])
        with pytest.raises(ProtocolViolation, match="stayed incomplete"):
            await serving

    run(main)


@on_any_loop
def test_the_end_of_frames_that_came_together_is_told_also_when_one_of_them_fails(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    async def main() -> None:
        sender, receiver = Connection(pair[0]), Connection(pair[1])
        heard: list[int | str] = []

        def take(received: Any) -> None:
            heard.append(received.request_id)
            if received.request_id == 4:
                raise ZeroDivisionError

        sender.send(Info(), 1)
        sender.send(Info(), 2)
        serving = asyncio.ensure_future(receiver.serve(take, lambda: heard.append("rest")))
        await asyncio.sleep(0)
        assert heard == [1, 2, "rest"]
        heard.clear()
        sender.send(Info(), 3)
        sender.send(Info(), 4)
        with pytest.raises(ZeroDivisionError):
            await serving
        assert heard == [3, 4, "rest"]
        sender.close()
        receiver.close()

    run(main)


@on_any_loop
def test_cancelled_serving_can_be_taken_up_again(pair: tuple[socket.socket, socket.socket]) -> None:
    async def main() -> None:
        sender, receiver = Connection(pair[0]), Connection(pair[1])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receiver.serve(lambda _received: None), 0.01)
        sender.send(Info(), 7)
        assert (await receiver.receive()).request_id == 7
        sender.close()
        receiver.close()

    run(main)


# --- a peer that does not read --------------------------------------------------------------------------------------


def shrink(*ends: socket.socket) -> None:
    """Few frames fill a socket."""
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


@on_any_loop
def test_whoever_serves_hears_a_peer_that_does_not_read(pair: tuple[socket.socket, socket.socket]) -> None:
    shrink(*pair)

    async def main() -> None:
        deaf, server = Connection(pair[0]), Connection(pair[1])
        heard: list[int] = []
        serving = asyncio.ensure_future(server.serve(lambda received: heard.append(received.request_id)))
        await asyncio.sleep(0)
        for number in range(1, 41):
            server.send(Output("stdout", "x" * 1000), number)
        assert server.unsent
        for number in range(1, 4):
            deaf.send(Info(), number)
            while len(heard) < number:
                await asyncio.sleep(0)
        assert server.unsent
        answers = [(await deaf.receive()).request_id for _ in range(40)]
        while server.unsent:
            await asyncio.sleep(0)
        deaf.send(Info(), 4)
        while len(heard) < 4:
            await asyncio.sleep(0)
        assert (heard, answers) == ([1, 2, 3, 4], list(range(1, 41)))
        deaf.close()
        with pytest.raises(ConnectionClosed, match="peer has closed"):
            await serving

    run(main)


@on_any_loop
def test_a_handler_may_send_more_than_the_peer_takes(pair: tuple[socket.socket, socket.socket]) -> None:
    shrink(*pair)

    async def main() -> None:
        asker, server = Connection(pair[0]), Connection(pair[1])

        def answer(received: Any) -> None:
            for _ in range(20):
                server.send(Output("stdout", "x" * 1000), received.request_id)

        serving = asyncio.ensure_future(server.serve(answer))
        for number in range(1, 11):
            asker.send(Info(), number)
        answers = [(await asker.receive()).request_id for _ in range(200)]
        assert answers == [number for number in range(1, 11) for _ in range(20)]
        asker.close()
        with pytest.raises(ConnectionClosed, match="peer has closed"):
            await serving

    run(main)


@on_any_loop
def test_serving_begins_while_frames_wait_for_the_peer(pair: tuple[socket.socket, socket.socket]) -> None:
    shrink(*pair)

    async def main() -> None:
        deaf, server = Connection(pair[0]), Connection(pair[1])
        while not server.unsent:
            server.send(Output("stdout", "x" * 1000), 1)
        heard: list[int] = []
        serving = asyncio.ensure_future(server.serve(lambda received: heard.append(received.request_id)))
        deaf.send(Info(), 1)
        while not heard:
            await asyncio.sleep(0)
        while server.unsent:
            await deaf.receive()
        deaf.send(Info(), 2)
        while len(heard) < 2:
            await asyncio.sleep(0)
        server.close()
        with pytest.raises(ConnectionClosed, match="this side"):
            await serving
        deaf.close()

    run(main)


@on_any_loop
@pytest.mark.parametrize("how", ["the peer ends", "too much waits"])
def test_a_connection_that_ends_while_frames_wait_ends_serving(
    pair: tuple[socket.socket, socket.socket], how: str
) -> None:
    async def main() -> None:
        deaf, server = Connection(pair[0]), Connection(pair[1])
        serving = asyncio.ensure_future(server.serve(lambda _received: None))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionClosed, match="does not read") if how == "too much waits" else nullcontext():
            while how == "too much waits" or not server.unsent:
                server.send(Output("stdout", "x" * 500_000), 1)
        deaf.close()
        with pytest.raises(ConnectionClosed):
            await serving
        with pytest.raises(ConnectionClosed):
            server.send(Info(), 2)

    run(main)


@on_any_loop
@pytest.mark.parametrize("seed", range(3))
def test_two_that_serve_and_rest_and_send_at_random_get_every_frame_in_order(
    pair: tuple[socket.socket, socket.socket], seed: int
) -> None:
    shrink(*pair)
    numbers = random.Random(seed)

    async def serve_and_rest(connection: Connection, heard: list[int], last: int) -> None:
        """Is cancelled in between, when it may be served, or have readers and writers."""
        while len(heard) < last:
            serving = asyncio.ensure_future(connection.serve(lambda received: heard.append(received.request_id)))
            for _ in range(numbers.randrange(1, 30)):
                await asyncio.sleep(0)
            serving.cancel()
            await asyncio.wait([serving])
            if numbers.randrange(2) and len(heard) < last:
                heard.append((await connection.receive()).request_id)

    async def send(connection: Connection, last: int) -> None:
        for number in range(1, last + 1):
            connection.send(Output("stdout", "x" * numbers.choice([0, 10, 3000])), number)
            while connection.unsent > 100_000 or numbers.randrange(8) == 0:
                await asyncio.sleep(0)

    async def main() -> None:
        left, right = Connection(pair[0]), Connection(pair[1])
        by_left: list[int] = []
        by_right: list[int] = []
        await asyncio.gather(
            send(left, 300), send(right, 300), serve_and_rest(left, by_left, 300), serve_and_rest(right, by_right, 300)
        )
        assert by_left == by_right == list(range(1, 301))
        left.close()
        right.close()

    run(main)


# --- a full descriptor table ----------------------------------------------------------------------------------------


@pytest.fixture
def no_room() -> Iterator[Callable[[], None]]:
    """Call it to leave the process no free descriptor; room comes back after the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers: list[int] = []

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, open_fds())) + 8, hard))
        try:
            while True:
                fillers.append(os.dup(0))
        except OSError:
            pass

    yield fill
    close_all(tuple(fillers))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("frame", "request_id", "fds"),
    [(Attach(7, 3, 0), 1, 1), (Attachment(1, 7, "cam", 0, (0, 0, 0, 0, 0, 0)), 0, 2)],
)
def test_an_attach_without_room_for_its_descriptors_arrives_truncated(
    pair: tuple[socket.socket, socket.socket],
    files: tuple[int, ...],
    no_room: Callable[[], None],
    frame: Attach | Attachment,
    request_id: int,
    fds: int,
) -> None:
    sender, receiver = BlockingConnection(pair[0]), BlockingConnection(pair[1])
    sender.send(frame, request_id, files[:fds])
    sender.send(Cancel(), 3)
    no_room()
    first, second = receiver.receive(5), receiver.receive(5)
    assert (first.frame, first.fds, first.truncated) == (frame, (), True)
    assert (second.frame, second.truncated) == (Cancel(), False)
    sender.close()
    receiver.close()


def test_any_other_frame_without_room_for_its_descriptors_ends_the_connection(
    pair: tuple[socket.socket, socket.socket], files: tuple[int, ...], no_room: Callable[[], None]
) -> None:
    receiver = BlockingConnection(pair[1])
    socket.send_fds(pair[0], [encode(OPEN, 1, 2)], files[:2])
    no_room()
    with pytest.raises(ProtocolViolation, match="0 of its 2 descriptors"):
        receiver.receive(5)


def test_an_answer_carries_its_result_untouched(pair: tuple[socket.socket, socket.socket]) -> None:
    import msgspec

    sender, receiver = BlockingConnection(pair[0]), BlockingConnection(pair[1])
    sender.send(Done(msgspec.Raw(msgspec.msgpack.encode(Subscribed(3)))), 9)
    received = receiver.receive(5)
    assert isinstance(received.frame, Done)
    assert msgspec.msgpack.decode(received.frame.result, type=Subscribed) == Subscribed(3)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(received.frame.result, type=Attached)
    sender.close()
    receiver.close()


def test_prefix_is_sixteen_bytes() -> None:
    assert PREFIX.size == struct.calcsize("<IHBBQ") == 16
