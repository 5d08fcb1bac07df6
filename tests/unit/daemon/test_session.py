"""Sessions and the dispatcher over a real socket pair (docs/design/protocol.md)."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from peppy.daemon.dispatch import OPEN_REQUESTS, Dispatcher, Handler
from peppy.daemon.operation import Operation, in_thread
from peppy.daemon.session import SPILLED, NodeSession, Session
from peppy.errors import InvalidInput, PeppyError, Problem
from peppy.model.names import Reference
from peppy.protocol.answers import ProbeAnswer, Pruned
from peppy.protocol.calls import INSIDE, Answered, Deliver
from peppy.protocol.connection import MAX_QUEUED, MAX_QUEUED_FDS, Connection
from peppy.protocol.frame import ConnectionClosed, ProtocolViolation
from peppy.protocol.frames import Done, Failed, Frame, Info, NodePrune, Output, Probe
from peppy.protocol.payloads import payload_of

LOG = "/logs/daemon.log"


@dataclass
class Pair:
    """A session of the daemon and the peer's end of its connection."""

    session: NodeSession
    connection: Connection
    peer: Connection

    async def answer(self) -> Frame:
        return (await self.peer.receive()).frame


def with_pair(claim: Callable[[Pair], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        connection = Connection(ours)
        session = NodeSession(connection, Reference("wheels", "v1"), "one", None)
        pair = Pair(session, connection, Connection(theirs))
        try:
            async with asyncio.timeout(30):
                await claim(pair)
        finally:
            session.close()
            pair.peer.close()

    asyncio.run(run())


def dispatcher(handler: Handler) -> Dispatcher:
    return Dispatcher({NodePrune: handler, Info: handler}, LOG)


async def for_ever(_request: NodePrune, _operation: Operation) -> Pruned:
    await asyncio.Event().wait()
    return Pruned(())


# --- requests of the peer --------------------------------------------------------------------------------------------


def test_a_result_is_answered_as_done():
    async def handler(request: NodePrune, _: Operation) -> Pruned:
        return Pruned((request.node or "",))

    async def claim(pair: Pair) -> None:
        dispatcher(handler).start(pair.session, NodePrune("a:b"), 5)
        received = await pair.peer.receive()
        assert isinstance(received.frame, Done)
        assert received.request_id == 5
        assert msgspec.msgpack.decode(received.frame.result, type=Pruned) == Pruned(("a:b",))

    with_pair(claim)


def test_an_error_is_answered_with_all_its_parts():
    problem = Problem("BadName", "wrong", "f", 1, 2, "a.b", "write it")

    async def handler(*_: object) -> Pruned:
        raise InvalidInput([problem])

    async def claim(pair: Pair) -> None:
        dispatcher(handler).start(pair.session, NodePrune(None), 1)
        answer = await pair.answer()
        assert isinstance(answer, Failed)
        assert (answer.kind, answer.hint) == ("BadName", "write it")
        assert [msgspec.structs.astuple(found) for found in answer.details] == [
            ("BadName", "wrong", "f", 1, 2, "a.b", "write it")
        ]

    with_pair(claim)


def test_a_defect_is_answered_without_its_traceback():
    async def handler(*_: object) -> Pruned:
        raise ZeroDivisionError("secret detail")

    async def claim(pair: Pair) -> None:
        dispatcher(handler).start(pair.session, NodePrune(None), 1)
        answer = await pair.answer()
        assert isinstance(answer, Failed)
        assert (answer.kind, answer.hint) == ("Internal", f"see {LOG}")
        assert "secret" not in answer.message

    with_pair(claim)


def test_a_request_that_is_cancelled_at_once_is_answered():
    async def claim(pair: Pair) -> None:
        made = dispatcher(for_ever)
        made.start(pair.session, NodePrune(None), 1)
        made.cancel(pair.session, 1)
        answer = await pair.answer()
        assert isinstance(answer, Failed)
        assert (answer.kind, answer.message) == ("Aborted", "aborted by user")

    with_pair(claim)


def test_cancelling_what_has_been_answered_does_nothing():
    async def claim(pair: Pair) -> None:
        dispatcher(for_ever).cancel(pair.session, 9)

    with_pair(claim)


def test_an_id_in_use_is_a_violation():
    async def claim(pair: Pair) -> None:
        made = dispatcher(for_ever)
        made.start(pair.session, NodePrune(None), 1)
        with pytest.raises(ProtocolViolation):
            made.start(pair.session, NodePrune(None), 1)
        await made.end(None)

    with_pair(claim)


def test_too_many_open_requests_are_a_violation():
    async def claim(pair: Pair) -> None:
        made = dispatcher(for_ever)
        for number in range(OPEN_REQUESTS):
            made.start(pair.session, NodePrune(None), number + 1)
        with pytest.raises(ProtocolViolation):
            made.start(pair.session, NodePrune(None), OPEN_REQUESTS + 1)
        await made.end(None)

    with_pair(claim)


def test_at_the_end_everything_is_answered_and_only_questions_are_served():
    async def handler(request: Frame, operation: Operation) -> Pruned:
        return Pruned(("told",)) if isinstance(request, Info) else await for_ever(NodePrune(None), operation)

    async def claim(pair: Pair) -> None:
        made = dispatcher(handler)
        made.start(pair.session, NodePrune(None), 1)
        await asyncio.sleep(0)  # it has begun: it is cancelled, not refused
        await made.end(None)
        made.start(pair.session, NodePrune(None), 2)
        made.start(pair.session, Info(), 3)
        answers = [await pair.answer() for _ in range(3)]
        kinds = [answer.kind if isinstance(answer, Failed) else "Done" for answer in answers]
        assert kinds == ["Aborted", "Refused", "Done"]
        await made.finished()

    with_pair(claim)


def test_output_carries_the_id_of_its_request():
    async def handler(_: NodePrune, operation: Operation) -> Pruned:
        operation.output("info", "hello")
        return Pruned(())

    async def claim(pair: Pair) -> None:
        dispatcher(handler).start(pair.session, NodePrune(None), 7)
        received = await pair.peer.receive()
        assert (received.frame, received.request_id) == (Output("info", "hello"), 7)

    with_pair(claim)


def test_a_peer_that_has_gone_does_not_disturb_its_request():
    done = asyncio.Event()

    async def handler(_: NodePrune, operation: Operation) -> Pruned:
        operation.output("info", "hello")
        done.set()
        return Pruned(())

    async def claim(pair: Pair) -> None:
        pair.session.close()
        made = dispatcher(handler)
        made.start(pair.session, NodePrune(None), 1)
        await made.finished()
        assert done.is_set()

    with_pair(claim)


# --- requests of the daemon ------------------------------------------------------------------------------------------


def test_an_answer_reaches_whoever_asked():
    async def claim(pair: Pair) -> None:
        asked = asyncio.create_task(pair.session.request(Probe()))
        received = await pair.peer.receive()
        assert isinstance(received.frame, Probe)
        pair.session.settle(Done(msgspec.Raw(msgspec.msgpack.encode(ProbeAnswer(3)))), received.request_id)
        assert await asked == ProbeAnswer(3)

    with_pair(claim)


def test_a_refusal_of_the_peer_is_raised():
    async def claim(pair: Pair) -> None:
        asked = asyncio.create_task(pair.session.request(Probe()))
        received = await pair.peer.receive()
        pair.session.settle(Failed("TooManyReaders", "full"), received.request_id)
        with pytest.raises(PeppyError) as raised:
            await asked
        assert raised.value.kind == "TooManyReaders"

    with_pair(claim)


def test_an_answer_that_is_none_is_a_violation():
    async def claim(pair: Pair) -> None:
        asked = asyncio.create_task(pair.session.request(Probe()))
        received = await pair.peer.receive()
        with pytest.raises(ProtocolViolation):
            pair.session.settle(Done(msgspec.Raw(b"\xc0")), received.request_id)
        asked.cancel()

    with_pair(claim)


def test_a_late_answer_is_dropped():
    async def claim(pair: Pair) -> None:
        with pytest.raises(PeppyError) as raised:
            await pair.session.request(Probe(), timeout=0)
        assert raised.value.kind == "Timeout"
        pair.session.settle(Failed("x", "y"), 1)

    with_pair(claim)


def test_who_waits_for_a_peer_that_goes_is_told():
    async def claim(pair: Pair) -> None:
        asked = asyncio.create_task(pair.session.request(Probe()))
        await pair.peer.receive()
        pair.session.close()
        assert pair.session.closed
        with pytest.raises(ConnectionClosed):
            await asked

    with_pair(claim)


# --- payloads ------------------------------------------------------------------------------------------------------


def test_payloads_for_a_peer_that_is_slow_to_read_wait_beside_their_frames_and_all_arrive():
    total = MAX_QUEUED // INSIDE * 3

    async def claim(pair: Pair) -> None:
        for number in range(total):
            pair.session.carry(Answered(number, "one", "core"), number.to_bytes(4) * (INSIDE // 4))
        beside = 0
        for number in range(total):
            received = await pair.peer.receive()
            assert isinstance(received.frame, Answered)
            assert received.frame.call_id == number
            beside += received.frame.beside == INSIDE
            assert bytes(payload_of(received)) == number.to_bytes(4) * (INSIDE // 4)
        assert 0 < beside < total

    with_pair(claim)


def test_a_peer_that_does_not_read_at_all_loses_its_connection():
    async def claim(pair: Pair) -> None:
        for number in range(MAX_QUEUED):
            pair.session.carry(Answered(number, "one", "core"), bytes(SPILLED - 1))
            if pair.connection.closed:
                break
        assert pair.connection.closed
        assert pair.connection.unsent <= MAX_QUEUED

    with_pair(claim)


def test_a_peer_that_does_not_read_is_kept_only_so_many_descriptors():
    async def claim(pair: Pair) -> None:
        doorbell = os.eventfd(0)
        for number in range(2 * MAX_QUEUED_FDS):
            pair.session.send(Deliver(number, 1, "view", "core", 0), (doorbell,))
            if pair.connection.closed:
                break
        os.close(doorbell)
        assert pair.connection.closed
        assert pair.connection.unsent < MAX_QUEUED

    with_pair(claim)


# --- limits ----------------------------------------------------------------------------------------------------------


def limited(session: Session, total: float, idle: float, work: Callable[[Operation], Coroutine[Any, Any, None]]):
    async def run() -> None:
        operation = Operation(session, 1, lambda: None)
        async with operation.limits("build", total, idle):
            await work(operation)

    return run()


def test_the_total_limit_names_its_flag():
    async def claim(pair: Pair) -> None:
        with pytest.raises(PeppyError) as raised:
            await limited(pair.session, 0.01, 60, lambda _: asyncio.sleep(60))
        assert (raised.value.kind, raised.value.message) == ("Timeout", "build took longer than `0.01` s")
        assert "`--timeout`" in (raised.value.hint or "")

    with_pair(claim)


def test_the_idle_limit_names_its_setting():
    async def claim(pair: Pair) -> None:
        with pytest.raises(PeppyError) as raised:
            await limited(pair.session, 60, 0.01, lambda _: asyncio.sleep(60))
        assert raised.value.message == "build printed nothing for `0.01` s"
        assert "operations.idle_timeout_secs" in (raised.value.hint or "")

    with_pair(claim)


def test_output_restarts_the_idle_limit():
    async def talk(operation: Operation) -> None:
        for _ in range(20):
            operation.output("stdout", "x")
            await asyncio.sleep(0.05)

    with_pair(lambda pair: limited(pair.session, 60, 0.5, talk))


def test_a_cancelled_caller_waits_for_the_work_in_its_thread():
    events: list[str] = []

    async def run() -> None:
        import threading

        begun, gate = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def work() -> None:
            loop.call_soon_threadsafe(begun.set)
            gate.wait(30)
            events.append("done")

        task = asyncio.create_task(in_thread(work))
        await begun.wait()
        task.cancel()
        loop.call_later(0.05, gate.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        events.append("cancelled")

    asyncio.run(run())
    assert events == ["done", "cancelled"]
