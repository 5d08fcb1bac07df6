"""Calls of a process against a daemon made by the test (docs/reference/services_actions.md, Timeouts)."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic, monotonic_ns
from typing import Any

import loops
import msgspec
import pytest
from fake_daemon import LIMIT, WELCOME, FakeDaemon, heard, open_descriptors

from peppy.errors import PeppyError, SchemaMismatch, ServiceError, ServiceTimeout, ServiceUnreachable
from peppy.protocol.answers import GoalCancelled
from peppy.protocol.blocking import BlockingConnection
from peppy.protocol.calls import (
    Acknowledged,
    Answered,
    Call,
    CallFailed,
    CancelGoal,
    GetResult,
    GoalResult,
    Withdraw,
)
from peppy.protocol.frame import Received, close_all
from peppy.protocol.frames import Done, Failed, Frame, Probe
from peppy.protocol.payloads import pack
from peppy.runtime import calls as calls_module
from peppy.runtime.calls import Calls
from peppy.runtime.control import ControlThread
from peppy.runtime.subject import Subject

pytestmark = pytest.mark.usefixtures("kind_of_loop")

NEXT_DAEMON = msgspec.structs.replace(WELCOME, epoch="next")


class Caller:
    """Calls service `zoom` of `cam:v1` with the control thread of a node."""

    def __init__(self, control: ControlThread, loop: asyncio.AbstractEventLoop) -> None:
        self.calls: Calls = control.calls
        self.calls.start(loop)

    def start(self, timeout: float = LIMIT, payload: bytes = b"", frame: Any = None) -> "asyncio.Task[Received]":
        return asyncio.ensure_future(self.call(timeout, payload, frame))

    async def call(self, timeout: float = LIMIT, payload: bytes = b"", frame: Any = None) -> Received:
        subject = Subject("service", "zoom", "cam:v1", timeout)
        call = frame or Call(0, "left", "zoom", (1, 2), 0)
        deadline = self.calls.deadline(timeout)
        return await self.calls.exchange(call, subject, deadline, pack(payload, "request"))


async def hear(peer: BlockingConnection, kind: type[Frame]) -> Any:
    return (await asyncio.to_thread(heard, peer, kind)).frame


def run(control: ControlThread, claim: Callable[[Caller], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(LIMIT):
            await claim(Caller(control, asyncio.get_running_loop()))

    loops.run(bounded())


async def failure(work: Awaitable[Any], kind: type[PeppyError]) -> str:
    with pytest.raises(kind) as caught:
        await work
    assert type(caught.value) is kind
    return str(caught.value)


async def everything_served(peer: BlockingConnection) -> None:
    """The control thread has served all that was sent before."""
    peer.send(Probe(), 77)
    await hear(peer, Done)


def test_a_call_says_what_it_wants_and_gets_its_answer(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        began = monotonic_ns()
        task = caller.start(5.0, b"question")
        received = await asyncio.to_thread(heard, fake.peers[0], Call)
        call = received.frame
        assert isinstance(call, Call)
        assert (call.link_id, call.name, call.hashes, received.payload) == ("left", "zoom", (1, 2), b"question")
        assert abs(call.deadline_ns - began - 5_000_000_000) < 1_000_000_000
        fake.peers[0].send(Acknowledged(call.call_id, "c1"))
        fake.peers[0].send(Answered(call.call_id, "c1", "core"), payload=b"answer")
        assert (await task).payload == b"answer"

    run(control, claim)


def test_calls_under_way_at_the_same_time_get_their_own_answers(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        tasks = [caller.start(payload=bytes([number])) for number in range(20)]
        received = [await asyncio.to_thread(heard, fake.peers[0], Call) for _ in tasks]
        for call in reversed(received):
            assert isinstance(call.frame, Call)
            fake.peers[0].send(Answered(call.frame.call_id, "c1", "core"), payload=call.payload)
        assert [(await task).payload for task in tasks] == [bytes([number]) for number in range(20)]

    run(control, claim)


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), float("inf")])
def test_a_timeout_that_is_no_time_is_refused_and_nothing_is_sent(
    control: ControlThread, fake: FakeDaemon, timeout: float
):
    async def claim(caller: Caller) -> None:
        with pytest.raises(ValueError, match="`timeout` is"):
            await caller.call(timeout)
        fake.peers[0].send(Probe(), 9)
        assert isinstance(fake.peers[0].receive(LIMIT).frame, Done)

    run(control, claim)


def test_a_timeout_of_longer_than_anybody_lives_travels_as_one_that_fits(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        task = caller.start(1e300)
        call = await hear(fake.peers[0], Call)
        assert monotonic_ns() < call.deadline_ns < 1 << 63
        fake.peers[0].send(Answered(call.call_id, "v1", "core"))
        await task

    run(control, claim)


def test_without_an_acknowledgement_the_budget_ends_in_unreachable(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        began = monotonic()
        text = await failure(caller.call(0.1), ServiceUnreachable)
        assert monotonic() - began >= 0.1
        assert "service `zoom` of `cam:v1` was not reached within 0.1 s" in text
        assert "daemon" not in text
        call = await hear(fake.peers[0], Call)
        assert (await hear(fake.peers[0], Withdraw)).call_id == call.call_id

    run(control, claim)


def test_after_an_acknowledgement_it_ends_in_a_timeout_and_a_late_answer_is_dropped(
    control: ControlThread, fake: FakeDaemon
):
    async def claim(caller: Caller) -> None:
        task = caller.start(0.1)
        call = await hear(fake.peers[0], Call)
        fake.peers[0].send(Acknowledged(call.call_id, "c1"))
        assert "service `zoom` of `c1` took the request" in await failure(task, ServiceTimeout)
        assert (await hear(fake.peers[0], Withdraw)).call_id == call.call_id
        before = open_descriptors()
        late = pack(b"x" * (300 << 10), "response")
        fake.peers[0].send(Answered(call.call_id, "c1", "core", None, late.beside), 0, late.fds)
        late.close()
        await everything_served(fake.peers[0])
        assert open_descriptors() == before

    run(control, claim)


def test_a_cancelled_call_is_withdrawn(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        task = caller.start()
        call = await hear(fake.peers[0], Call)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await hear(fake.peers[0], Withdraw)).call_id == call.call_id

    run(control, claim)


def test_an_answered_call_is_not_withdrawn(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        task = caller.start()
        call = await hear(fake.peers[0], Call)
        fake.peers[0].send(Answered(call.call_id, "c1", "core"))
        await task
        fake.peers[0].send(Probe(), 9)
        assert isinstance(fake.peers[0].receive(LIMIT).frame, Done)

    run(control, claim)


def test_an_error_of_the_other_side_is_told_with_its_text(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        task = caller.start()
        call = await hear(fake.peers[0], Call)
        fake.peers[0].send(Answered(call.call_id, "c1", "core", "KeyError: 'x'"))
        text = await failure(task, ServiceError)
        assert text == "service `zoom` of `c1` returned error: KeyError: 'x'"

    run(control, claim)


@pytest.mark.parametrize("kind", [ServiceUnreachable, ServiceTimeout, SchemaMismatch, ServiceError])
def test_a_call_that_the_daemon_ends_raises_what_it_says(
    control: ControlThread, fake: FakeDaemon, kind: type[PeppyError]
):
    async def claim(caller: Caller) -> None:
        task = caller.start()
        call = await hear(fake.peers[0], Call)
        fake.peers[0].send(CallFailed(call.call_id, kind.__name__, "the producer stopped"))
        assert await failure(task, kind) == "the producer stopped"

    run(control, claim)


# --- the daemon goes ---------------------------------------------------------------------------------------------


def test_a_call_that_nobody_has_taken_is_sent_again_to_the_next_daemon(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        task = caller.start(payload=b"question")
        first = await hear(fake.peers[0], Call)
        fake.peers[0].close()
        peer = await asyncio.to_thread(fake.accept, NEXT_DAEMON)
        again = await asyncio.to_thread(heard, peer, Call)
        assert again.frame == first
        assert again.payload == b"question"
        peer.send(Answered(first.call_id, "c1", "core"))
        await task

    run(control, claim)


def test_a_large_payload_is_sent_again_too(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        task = caller.start(payload=b"q" * (300 << 10))
        await hear(fake.peers[0], Call)
        fake.peers[0].close()
        peer = await asyncio.to_thread(fake.accept, NEXT_DAEMON)
        again = await asyncio.to_thread(peer.receive, LIMIT)
        assert isinstance(again.frame, Call)
        assert (again.frame.beside, os.fstat(again.fds[0]).st_size) == (300 << 10, 300 << 10)
        close_all(again.fds)
        peer.send(Answered(again.frame.call_id, "c1", "core"))
        await task

    run(control, claim)


def test_a_call_that_was_taken_fails_at_once_when_the_daemon_goes(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        task = caller.start()
        call = await hear(fake.peers[0], Call)
        fake.peers[0].send(Acknowledged(call.call_id, "c1"))
        fake.peers[0].close()
        text = await failure(task, ServiceTimeout)
        assert text == "service `zoom` of `c1` took the request, then the connection to the daemon was lost"

    run(control, claim)


def test_a_daemon_that_is_back_hears_what_was_given_up_meanwhile(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        taken, waiting = caller.start(), caller.start()
        calls = [await hear(fake.peers[0], Call) for _ in range(2)]
        fake.peers[0].send(Acknowledged(calls[0].call_id, "c1"))
        fake.peers[0].close()
        await failure(taken, ServiceTimeout)
        waiting.cancel()
        await asyncio.wait([waiting])
        peer = await asyncio.to_thread(fake.accept)
        withdrawn = [await hear(peer, Withdraw) for _ in range(2)]
        assert {frame.call_id for frame in withdrawn} == {call.call_id for call in calls}

    run(control, claim)


def test_without_a_daemon_for_the_whole_budget_the_text_says_so(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        fake.close()
        while control.link.connected:
            await asyncio.sleep(0.01)
        assert "no connection to the daemon" in await failure(caller.call(0.1), ServiceUnreachable)

    run(control, claim)


def test_a_call_begun_without_a_daemon_is_sent_when_there_is_one(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        fake.peers[0].close()
        while control.link.connected:
            await asyncio.sleep(0.01)
        task = caller.start()
        await asyncio.sleep(0)
        peer = await asyncio.to_thread(fake.accept, NEXT_DAEMON)
        call = await hear(peer, Call)
        peer.send(Answered(call.call_id, "c1", "core"))
        await task
        peer.send(Probe(), 9)
        assert isinstance(peer.receive(LIMIT).frame, Done)  # it was sent once

    run(control, claim)


def test_a_question_for_a_result_is_asked_again_and_its_end_is_always_a_timeout(
    control: ControlThread, fake: FakeDaemon
):
    async def claim(caller: Caller) -> None:
        parked = caller.start(frame=GetResult(0, "0" * 16, 0))
        short = caller.start(0.2, frame=GetResult(0, "0" * 16, 0))
        await hear(fake.peers[0], GetResult)
        assert "had no result within 0.2 s" in await failure(short, ServiceTimeout)
        fake.peers[0].close()
        peer = await asyncio.to_thread(fake.accept, NEXT_DAEMON)
        question = await hear(peer, GetResult)
        peer.send(GoalResult(question.call_id, "b1", "core", 0))
        assert isinstance((await parked).frame, GoalResult)

    run(control, claim)


# --- requests ----------------------------------------------------------------------------------------------------


def cancel(caller: Caller, timeout: float = LIMIT) -> "asyncio.Task[GoalCancelled]":
    subject = Subject("action", "dock", "b1", timeout)
    frame = CancelGoal("0" * 16, 0)
    return asyncio.ensure_future(caller.calls.ask(frame, GoalCancelled, subject, caller.calls.deadline(timeout)))


def test_a_request_is_answered_and_asked_again_after_a_reconnect(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        task = cancel(caller)
        await hear(fake.peers[0], CancelGoal)
        fake.peers[0].close()
        peer = await asyncio.to_thread(fake.accept, NEXT_DAEMON)
        request = await asyncio.to_thread(heard, peer, CancelGoal)
        answer = msgspec.msgpack.encode(GoalCancelled(0, "b1", "core"))
        peer.send(Done(msgspec.Raw(answer)), request.request_id)
        assert await task == GoalCancelled(0, "b1", "core")

    run(control, claim)


def test_a_request_whose_answer_is_nonsense_fails_at_once(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        task = cancel(caller)
        request = await asyncio.to_thread(heard, fake.peers[0], CancelGoal)
        fake.peers[0].send(Done(msgspec.Raw(msgspec.msgpack.encode("nonsense"))), request.request_id)
        assert "the answer of the daemon to `CancelGoal` cannot be read" in await failure(task, PeppyError)

    run(control, claim)


def test_a_refused_request_raises_and_a_late_one_times_out(control: ControlThread, fake: FakeDaemon):
    async def claim(caller: Caller) -> None:
        refused = cancel(caller)
        request = await asyncio.to_thread(heard, fake.peers[0], CancelGoal)
        fake.peers[0].send(Failed("Refused", "no"), request.request_id)
        assert await failure(refused, PeppyError) == "no"
        assert "action `dock` of `b1` did not confirm" in await failure(cancel(caller, 0.1), ServiceTimeout)
        fake.close()
        while control.link.connected:
            await asyncio.sleep(0.01)
        assert "daemon" in await failure(cancel(caller, 0.1), ServiceUnreachable)

    run(control, claim)


# --- how many ----------------------------------------------------------------------------------------------------


def test_one_call_too_many_waits_for_its_turn_inside_its_budget(
    control: ControlThread, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(calls_module, "IN_FLIGHT", 2)

    async def claim(caller: Caller) -> None:
        first, second = caller.start(), caller.start()
        numbers = [(await hear(fake.peers[0], Call)).call_id for _ in range(2)]
        assert "2 other calls are in flight" in await failure(caller.call(0.1), ServiceUnreachable)
        given_up, third, fourth = caller.start(), caller.start(), caller.start()
        await asyncio.sleep(0)
        given_up.cancel()
        for number in numbers:
            fake.peers[0].send(Answered(number, "c1", "core"))
        await asyncio.gather(first, second)
        for _ in range(2):
            fake.peers[0].send(Answered((await hear(fake.peers[0], Call)).call_id, "c1", "core"))
        await asyncio.gather(third, fourth)
        assert caller.calls._in_flight == 0

    run(control, claim)
