"""Serving requests of a daemon made by the test (docs/reference/services_actions.md, Services)."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic_ns
from typing import Any, NamedTuple

import loops
import msgspec
import pytest
from fake_daemon import LIMIT, WELCOME, FakeDaemon, heard, open_descriptors

from peppy.codec import plan_of
from peppy.model.qos import QoSProfile
from peppy.protocol.blocking import BlockingConnection
from peppy.protocol.calls import (
    Acknowledge,
    Answered,
    Call,
    Decision,
    Deliver,
    Discover,
    Discovered,
    EndpointClose,
    EndpointOpen,
    Reply,
    Withdrawn,
)
from peppy.protocol.frame import Received
from peppy.protocol.frames import Done, Failed, Frame, Probe
from peppy.protocol.payloads import pack, payload_of
from peppy.runtime import endpoints as endpoints_module
from peppy.runtime.accepting import Acceptor, Messages
from peppy.runtime.control import ControlThread
from peppy.runtime.delivery import Delivery
from peppy.runtime.endpoints import Endpoint
from peppy.runtime.goals import Goals
from peppy.runtime.services import ConsumedService, ExposedService

pytestmark = pytest.mark.usefixtures("kind_of_loop")

REQUEST = plan_of("zoom request", '[["factor","u16",0]]', {})
RESPONSE = plan_of("zoom response", '[["text","string",0]]', {})
EMPTY = plan_of("zoom", None, {})
LATER = 60_000_000_000


class Request(NamedTuple):
    instance_id: str
    core_node: str
    data: Any = None


class Response(NamedTuple):
    core_node: str
    instance_id: str
    data: Any


def response(text: Any) -> Any:
    return RESPONSE.classes[""](text)


class Server:
    """A node that serves `zoom`, as far as a service sees it."""

    def __init__(self, control: ControlThread, fake: FakeDaemon, loop: asyncio.AbstractEventLoop) -> None:
        self.calls, self.endpoints = control.calls, control.endpoints
        self.calls.start(loop)
        self.endpoints.start(loop)
        self.fake = fake
        self.service = ExposedService("zoom", REQUEST, RESPONSE, Request)
        self.seen: list[int] = []

    @property
    def peer(self) -> BlockingConnection:
        return self.fake.peers[-1]

    def whom(self, _link_id: str) -> str:
        return "cam:v1"

    def echo(self, request: Request) -> Any:
        self.seen.append(request.data.factor)
        return response(f"{request.data.factor} of {request.instance_id} in {request.core_node}")

    def serve(self, handler: Callable[[Request], Any] | None = None) -> "asyncio.Task[None]":
        node: Any = self
        return asyncio.ensure_future(self.service.handle_next_request(node, handler or self.echo))

    async def registered(self) -> int:
        """The number of the endpoint that the daemon has heard of."""
        received = await asyncio.to_thread(heard, self.peer, EndpointOpen)
        assert isinstance(received.frame, EndpointOpen)
        return received.frame.endpoint_id

    async def hear(self, kind: type[Frame]) -> Received:
        return await asyncio.to_thread(heard, self.peer, kind)

    def deliver(self, number: int, factor: int = 2, deadline_ns: int = 0, endpoint_id: int = 1) -> None:
        deadline = deadline_ns or monotonic_ns() + LATER
        frame = Deliver(number, endpoint_id, "v1", "core", deadline)
        self.peer.send(frame, payload=REQUEST.encode(factor))

    async def reply(self) -> tuple[int, Any]:
        """The next reply: its delivery, and its text or error."""
        received = await self.hear(Reply)
        assert isinstance(received.frame, Reply)
        if received.frame.error is not None:
            return received.frame.delivery, received.frame.error
        return received.frame.delivery, RESPONSE.decode(payload_of(received)).text

    async def served(self) -> None:
        """The control thread has served all that was sent before."""
        self.peer.send(Probe(), 77)
        await self.hear(Done)


def run(control: ControlThread, fake: FakeDaemon, claim: Callable[[Server], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(LIMIT):
            await claim(Server(control, fake, asyncio.get_running_loop()))

    loops.run(bounded())


# --- one request -------------------------------------------------------------------------------------------------


def test_the_first_call_registers_the_service_and_the_next_does_not(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        task = server.serve()
        frame = (await server.hear(EndpointOpen)).frame
        assert frame == EndpointOpen(1, "service", "zoom", None, (REQUEST.schema_hash, RESPONSE.schema_hash))
        server.deliver(5)
        await task
        again = server.serve()
        server.deliver(6)
        await again
        assert [(await server.reply())[0] for _ in range(2)] == [5, 6]

    run(control, fake, claim)


def test_a_request_is_acknowledged_then_handled_then_answered(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        task = server.serve()
        await server.registered()
        server.deliver(5, 3)
        received = [await asyncio.to_thread(server.peer.receive, LIMIT) for _ in range(2)]
        assert [type(found.frame) for found in received] == [Acknowledge, Reply]
        assert RESPONSE.decode(received[1].payload).text == "3 of v1 in core"
        await task

    run(control, fake, claim)


def test_an_async_handler_is_awaited(control: ControlThread, fake: FakeDaemon):
    async def later(request: Request) -> Any:
        await asyncio.sleep(0)
        return response(str(request.data.factor))

    async def claim(server: Server) -> None:
        server.serve(later)
        await server.registered()
        server.deliver(5, 4)
        assert await server.reply() == (5, "4")

    run(control, fake, claim)


def test_a_handler_that_raises_is_the_callers_error_and_the_call_returns(
    control: ControlThread, fake: FakeDaemon, capfd: pytest.CaptureFixture[str]
):
    def fail(_request: Request) -> Any:
        raise KeyError("x")

    async def claim(server: Server) -> None:
        task = server.serve(fail)
        await server.registered()
        server.deliver(5)
        assert await server.reply() == (5, "KeyError: 'x'")
        await task
        server.serve()
        server.deliver(6)
        assert (await server.reply())[0] == 6

    run(control, fake, claim)
    assert "the handler of service `zoom` failed" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, "TypeError: `zoom response`: expected `Zoom response`, got None"),
        ("text", "got `str`"),
        (response(7), "text"),
    ],
)
def test_a_result_of_another_type_is_an_error_that_names_it(
    control: ControlThread, fake: FakeDaemon, result: Any, text: str
):
    async def claim(server: Server) -> None:
        server.serve(lambda _request: result)
        await server.registered()
        server.deliver(5)
        number, error = await server.reply()
        assert number == 5
        assert text.split("expected")[0] in error
        assert "Error: " in error

    run(control, fake, claim)


def test_a_request_that_cannot_be_decoded_never_reaches_the_handler(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        task = server.serve()
        await server.registered()
        server.peer.send(Deliver(5, 1, "v1", "core", monotonic_ns() + LATER), payload=b"nonsense")
        number, error = await server.reply()
        assert (number, error.split(":")[0]) == (5, "DecodeError")
        await task
        assert server.seen == []

    run(control, fake, claim)


def test_large_requests_and_responses_travel_beside_their_frames(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        bulk = plan_of("bulk", '[["data",["u8",0],0]]', {})
        server.service = ExposedService("zoom", bulk, RESPONSE, Request)
        server.serve(lambda request: response("x" * len(request.data.data)))
        await server.registered()
        before = open_descriptors()
        payload = bulk.encode(b"d" * (300 << 10))
        packed = pack(b"".join([payload.head, bytes(payload.parts[0][1] - len(payload.head)), b"d" * (300 << 10)]), "r")
        server.peer.send(Deliver(5, 1, "v1", "core", monotonic_ns() + LATER, beside=packed.beside), 0, packed.fds)
        packed.close()
        while not isinstance((received := await asyncio.to_thread(server.peer.receive, LIMIT)).frame, Reply):
            pass
        assert len(RESPONSE.decode(payload_of(received)).text) == 300 << 10
        del received
        assert open_descriptors() == before

    run(control, fake, claim)


def test_a_service_without_formats_has_no_data_and_an_empty_answer(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        requests: list[Request] = []
        server.service = ExposedService("zoom", EMPTY, EMPTY, Request)
        server.serve(requests.append)
        await server.registered()
        server.peer.send(Deliver(5, 1, "v1", "core", monotonic_ns() + LATER))
        received = await server.hear(Reply)
        assert received.frame == Reply(5)
        assert received.payload == b""
        assert requests == [Request("v1", "core")]

    run(control, fake, claim)


def test_an_error_text_of_any_kind_travels(control: ControlThread, fake: FakeDaemon):
    def fail(_request: Request) -> Any:
        raise ValueError("\udcff" + "x" * 100_000)

    async def claim(server: Server) -> None:
        server.serve(fail)
        await server.registered()
        server.deliver(5)
        error = (await server.reply())[1]
        assert error.startswith("ValueError: \\udcffxxx")
        assert len(error) <= 5000

    run(control, fake, claim)


def test_a_cancelled_handler_tells_its_caller(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        begun = asyncio.Event()

        async def wait(_request: Request) -> Any:
            begun.set()
            await asyncio.Event().wait()

        task = server.serve(wait)
        await server.registered()
        server.deliver(5)
        await begun.wait()
        task.cancel()
        assert await server.reply() == (5, "CancelledError: ")
        with pytest.raises(asyncio.CancelledError):
            await task

    run(control, fake, claim)


# --- many requests -----------------------------------------------------------------------------------------------


def test_requests_between_two_calls_wait_in_their_order(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        task = server.serve()
        await server.registered()
        for number in (5, 6, 7):
            server.deliver(number, number)
        await task
        for _ in range(2):
            await server.serve()
        assert server.seen == [5, 6, 7]

    run(control, fake, claim)


def test_concurrent_calls_are_served_in_the_order_in_which_they_wait(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        order: list[tuple[str, int]] = []

        def note(name: str) -> Callable[[Request], Any]:
            return lambda request: order.append((name, request.data.factor)) or response("")

        cancelled = server.serve(note("cancelled"))
        first, second = server.serve(note("first")), server.serve(note("second"))
        await server.registered()
        cancelled.cancel()
        server.deliver(5, 1)
        server.deliver(6, 2)
        await asyncio.gather(first, second)
        assert order == [("first", 1), ("second", 2)]

    run(control, fake, claim)


def test_a_request_is_acknowledged_while_the_loop_is_blocked(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        task = server.serve()
        await server.registered()
        server.deliver(5)
        assert heard(server.peer, Acknowledge).frame == Acknowledge(5)  # this very thread runs the loop
        assert not task.done()
        await task

    run(control, fake, claim)


def test_the_257th_request_is_refused(control: ControlThread, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoints_module, "QUEUED", 2)

    async def claim(server: Server) -> None:
        server.serve()
        await server.registered()
        for number in (5, 6, 7):
            server.deliver(number)
        received = [server.peer.receive(LIMIT).frame for _ in range(3)]  # the loop is blocked meanwhile
        assert received[:2] == [Acknowledge(5), Acknowledge(6)]
        assert isinstance(received[2], Reply)
        assert received[2].delivery == 7
        assert "is overloaded" in (received[2].error or "")

    run(control, fake, claim)


def test_an_expired_request_makes_room_and_is_never_handled(
    control: ControlThread, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoints_module, "QUEUED", 1)

    async def claim(server: Server) -> None:
        task = server.serve()
        await server.registered()
        server.deliver(5, 1, deadline_ns=monotonic_ns() + 1_000_000)
        heard(server.peer, Acknowledge)
        time.sleep(0.002)
        server.deliver(6, 2)
        assert heard(server.peer, Acknowledge).frame == Acknowledge(6)
        await task
        assert server.seen == [2]

    run(control, fake, claim)


def test_a_withdrawn_request_never_reaches_the_handler(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        task = server.serve()
        await server.registered()
        server.deliver(5, 1)
        server.deliver(6, 2)
        server.peer.send(Withdrawn(5))
        server.peer.send(Withdrawn(99))
        server.peer.send(Probe(), 77)
        heard(server.peer, Done)  # before the loop runs
        await task
        assert server.seen == [2]

    run(control, fake, claim)


def test_a_request_withdrawn_while_its_handler_runs_gets_no_reply(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        began, go_on = asyncio.Event(), asyncio.Event()

        async def wait(_request: Request) -> Any:
            began.set()
            await go_on.wait()
            return response("")

        task = server.serve(wait)
        await server.registered()
        server.deliver(5)
        await began.wait()  # acknowledged is not begun: until then the withdrawal would take it from the queue
        await server.hear(Acknowledge)
        server.peer.send(Withdrawn(5))
        await server.served()
        go_on.set()
        await task
        server.peer.send(Probe(), 78)
        assert isinstance(server.peer.receive(LIMIT).frame, Done)

    run(control, fake, claim)


def test_a_goal_that_finds_the_queue_full_is_rejected_once(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        loop: Any = asyncio.get_running_loop()
        goals = Goals(control.config, control, loop, lambda: False)
        messages = Messages(REQUEST, None, QoSProfile.Standard, Request)
        Acceptor(goals, "dock", None, (1, 2, 3), messages)
        await server.registered()
        for number in range(1, endpoints_module.QUEUED + 2):
            deliver = Deliver(number, 1, "v1", "core", monotonic_ns() + LATER, f"{number:016x}")
            server.peer.send(deliver, payload=REQUEST.encode(2))
        server.peer.send(Probe(), 77)
        decisions: list[Any] = []
        while not isinstance(frame := (await asyncio.to_thread(server.peer.receive, LIMIT)).frame, Done):
            decisions += [frame] if isinstance(frame, Decision) else []
        assert [decision.error_message for decision in decisions] == ["action `dock` is overloaded: 256 requests wait"]
        assert len(control.endpoints._deliveries) == endpoints_module.QUEUED

    run(control, fake, claim)


def test_whoever_serves_answers_a_discovery_and_nobody_else(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        server.serve()
        endpoint_id = await server.registered()
        server.peer.send(Discover(8, endpoint_id + 1))
        server.peer.send(Discover(9, endpoint_id))
        assert (await server.hear(Discovered)).frame == Discovered(9)

    run(control, fake, claim)


def test_a_queue_that_is_never_empty_leaves_the_loop_to_others(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        passes, seen_at = 0, []
        node: Any = server

        def count() -> None:
            nonlocal passes
            passes += 1
            if len(seen_at) < 20:
                asyncio.get_running_loop().call_soon(count)

        async def serve() -> None:
            for _ in range(20):
                await server.service.handle_next_request(node, lambda _request: seen_at.append(passes) or response(""))

        server.serve()
        await server.registered()
        for number in range(21):
            server.deliver(number + 5)
        await server.served()
        count()
        await serve()
        assert len(set(seen_at)) > 10

    run(control, fake, claim)


# --- the end -----------------------------------------------------------------------------------------------------


def test_at_the_shutdown_calls_return_and_the_daemon_hears_what_is_not_served(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        go_on = asyncio.Event()

        async def wait(_request: Request) -> Any:
            await go_on.wait()
            return response("late")

        running = server.serve(wait)
        await server.registered()
        for number in (5, 6, 7):
            server.deliver(number)
        await server.hear(Acknowledge)
        await server.served()
        while control.endpoints.find("service", "zoom", None).queue[0].number == 5:  # type: ignore[union-attr]
            await asyncio.sleep(0)
        control.endpoints.shut_down()
        assert (await server.hear(EndpointClose)).frame == EndpointClose(1, (6, 7))
        await server.serve()
        assert server.seen == []
        go_on.set()
        assert await server.reply() == (5, "late")
        await running

    run(control, fake, claim)


def test_a_loop_that_serves_for_ever_can_be_cancelled_after_the_shutdown(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        node: Any = server

        async def serve_for_ever() -> None:
            while True:
                await server.service.handle_next_request(node, server.echo)

        control.endpoints.shut_down()
        looping = asyncio.ensure_future(serve_for_ever())
        await asyncio.sleep(0)
        looping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looping

    run(control, fake, claim)


def test_a_waiting_call_returns_at_the_shutdown(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        task = server.serve()
        await server.registered()
        control.endpoints.shut_down()
        await task
        assert server.seen == []

    run(control, fake, claim)


# --- the daemon goes ---------------------------------------------------------------------------------------------


async def queued_over_a_reconnect(server: Server, control: ControlThread, epoch: str) -> None:
    """Request 5 is handed out, 6 waits in the queue when the connection ends."""
    go_on = asyncio.Event()

    async def wait(request: Request) -> Any:
        server.seen.append(request.data.factor)
        await go_on.wait()
        return response("")

    task = server.serve(wait)
    await server.registered()
    server.deliver(5, 1)
    await server.served()
    while not server.seen:
        await asyncio.sleep(0)
    server.deliver(6, 2)
    await server.served()
    server.peer.close()
    while control.link.connected:
        await asyncio.sleep(0.01)
    later = server.serve()
    await asyncio.sleep(0)
    assert not later.done()
    await asyncio.to_thread(server.fake.accept, msgspec.structs.replace(WELCOME, epoch=epoch))
    assert await server.registered() == 1
    go_on.set()
    await task
    if epoch != WELCOME.epoch:
        server.deliver(7, 3)
    await later


def test_the_same_daemon_gets_what_was_queued_answered_after_a_reconnect(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        await queued_over_a_reconnect(server, control, WELCOME.epoch)
        assert server.seen == [1, 2]
        assert {(await server.reply())[0] for _ in range(2)} == {5, 6}

    run(control, fake, claim)


def test_another_daemon_brings_requests_anew_and_what_was_queued_is_dropped(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        await queued_over_a_reconnect(server, control, "another")
        assert server.seen == [1, 3]
        assert [(await server.reply())[0] for _ in range(2)] == [5, 7]

    run(control, fake, claim)


def test_a_request_that_comes_again_is_acknowledged_again_and_handled_once(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        task = server.serve()
        await server.registered()
        server.deliver(5, 1)
        server.deliver(5, 1)
        assert [heard(server.peer, Acknowledge).frame for _ in range(2)] == [Acknowledge(5)] * 2
        await task
        assert server.seen == [1]
        assert not control.endpoints.find("service", "zoom", None).queue  # type: ignore[union-attr]

    run(control, fake, claim)


def test_a_registration_that_the_daemon_refuses_is_told(
    control: ControlThread, fake: FakeDaemon, capfd: pytest.CaptureFixture[str]
):
    async def claim(server: Server) -> None:
        server.serve()
        request = await server.hear(EndpointOpen)
        server.peer.send(Failed("Refused", "no"), request.request_id)
        await server.served()

    run(control, fake, claim)
    assert "service `zoom` reaches nobody: no" in capfd.readouterr().err


class Taken(NamedTuple):
    """A call that runs, and whose acknowledgement is lost with the daemon."""

    go_on: asyncio.Event
    task: "asyncio.Task[None]"
    again: Deliver


async def taken_before_the_daemon_ends(server: Server, control: ControlThread, *, answered: bool) -> Taken:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def wait(request: Request) -> Any:
        began.set()
        await go_on.wait()
        return server.echo(request)

    task = server.serve(wait)
    await server.registered()
    deliver = Deliver(5, 1, "v1", "core", monotonic_ns() + LATER, call_id=77)
    server.peer.send(deliver, payload=REQUEST.encode(2))
    await began.wait()
    if answered:
        go_on.set()
        await task
    server.peer.close()
    while control.link.connected:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(server.fake.accept, msgspec.structs.replace(WELCOME, epoch="next"))
    await server.registered()
    return Taken(go_on, task, msgspec.structs.replace(deliver, delivery=900))


def test_a_call_that_comes_again_while_it_runs_is_answered_and_runs_once(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        taken = await taken_before_the_daemon_ends(server, control, answered=False)
        second = server.serve()
        server.peer.send(taken.again, payload=REQUEST.encode(2))
        assert (await server.hear(Acknowledge)).frame == Acknowledge(900)
        taken.go_on.set()
        await taken.task
        assert await server.reply() == (900, "2 of v1 in core")
        assert server.seen == [2]
        assert not second.done()
        second.cancel()

    run(control, fake, claim)


def test_a_call_that_comes_again_after_its_answer_is_said_to_be_answered(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        taken = await taken_before_the_daemon_ends(server, control, answered=True)
        second = server.serve()
        server.peer.send(taken.again, payload=REQUEST.encode(2))
        assert (await server.hear(Acknowledge)).frame == Acknowledge(900, answered=True)
        other = msgspec.structs.replace(taken.again, delivery=901, call_id=78)
        server.peer.send(other, payload=REQUEST.encode(3))
        await second
        assert server.seen == [2, 3]

    run(control, fake, claim)


# --- goals -------------------------------------------------------------------------------------------------------


def refuse(delivery: Delivery, text: str) -> None:
    delivery.endpoint.answer(delivery, Decision(delivery.number, False, text))


def action(control: ControlThread) -> Endpoint:
    return control.endpoints.open("action", "dock", None, (1, 2, 3), refuse)


def goal(server: Server, number: int) -> None:
    server.peer.send(Deliver(number, 1, "v1", "core", monotonic_ns() + LATER, f"{number:016x}"))


def test_goals_in_the_queue_of_an_action_that_closes_are_refused(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        endpoint = action(control)
        goal(server, 5)
        await server.hear(Acknowledge)
        await server.served()
        endpoint.close()
        assert (await server.hear(Decision)).frame == Decision(5, False, "action server closed")
        assert (await server.hear(EndpointClose)).frame == EndpointClose(1)
        assert await endpoint.next() is None
        action(control)

    run(control, fake, claim)


def test_a_goal_withdrawn_before_its_decider_is_refused_for_the_daemon_to_forget(
    control: ControlThread, fake: FakeDaemon
):
    async def claim(server: Server) -> None:
        endpoint = action(control)
        goal(server, 5)
        server.peer.send(Withdrawn(5))
        assert (await server.hear(Decision)).frame == Decision(5, False, "withdrawn")
        goal(server, 6)
        delivery = await endpoint.next()
        assert delivery is not None
        server.peer.send(Withdrawn(6))
        await server.served()
        assert delivery.withdrawn
        assert endpoint.answer(delivery, Decision(6, True))
        assert not endpoint.answer(delivery, Decision(6, True))
        assert (await server.hear(Decision)).frame == Decision(6, True)

    run(control, fake, claim)


def test_an_action_is_served_once_in_a_process(control: ControlThread, fake: FakeDaemon):
    action(control)
    with pytest.raises(RuntimeError, match="action `dock` is served already"):
        action(control)
    control.endpoints.open("action", "dock", "tracker:v1", (1, 2, 3), refuse)
    heard(fake.peers[0], EndpointOpen)
    frame = heard(fake.peers[0], EndpointOpen).frame
    assert isinstance(frame, EndpointOpen)
    assert frame.interface == "tracker:v1"


def test_a_request_given_back_by_a_cancelled_call_is_the_next_ones(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        endpoint = action(control)
        goal(server, 5)
        goal(server, 6)
        await server.hear(Acknowledge)
        await server.served()
        first = await endpoint.next()
        assert first is not None
        waiting = asyncio.ensure_future(endpoint.next())
        control.endpoints.put_back(first)
        assert await waiting is first

    run(control, fake, claim)


@pytest.mark.parametrize("seed", range(3))
def test_requests_reach_one_of_those_who_wait_however_many_are_cancelled(
    control: ControlThread, fake: FakeDaemon, seed: int
):
    async def claim(server: Server) -> None:
        endpoint = control.endpoints.open("service", "zoom", None, (), lambda _delivery, text: pytest.fail(text))
        assert await server.registered() == 1
        numbers, found = random.Random(seed), []

        async def take(index: int) -> None:
            while True:
                with suppress(TimeoutError, asyncio.CancelledError):
                    late = None if index == 0 else numbers.choice([None, 0, 0.0001, 0.001])
                    if (delivery := await asyncio.wait_for(endpoint.next(), late)) is None:
                        return
                    found.append(delivery.number)

        tasks = [asyncio.create_task(take(index)) for index in range(4)]
        await asyncio.sleep(0)
        for number in range(1, 201):
            server.deliver(number)
            if numbers.randrange(3) == 0:
                while len(found) < number:
                    await asyncio.sleep(0)
                    tasks[numbers.randrange(1, 4)].cancel()
        while len(found) < 200:
            await asyncio.sleep(0)
        endpoint.close()
        await asyncio.gather(*tasks)
        assert sorted(found) == list(range(1, 201))

    run(control, fake, claim)


# --- calling -----------------------------------------------------------------------------------------------------


def test_poll_gives_the_answer_and_who_gave_it(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        service = ConsumedService("left", "zoom", REQUEST, RESPONSE, Response)
        node: Any = server
        task = asyncio.ensure_future(service.poll(node, REQUEST.encode(2), 5.0))
        call = (await server.hear(Call)).frame
        assert isinstance(call, Call)
        assert call.hashes == (REQUEST.schema_hash, RESPONSE.schema_hash)
        server.peer.send(Answered(call.call_id, "c1", "core"), payload=RESPONSE.encode("two"))
        assert await task == Response("core", "c1", response("two"))

    run(control, fake, claim)


def test_poll_of_a_service_without_response_is_none(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        service: ConsumedService[None] = ConsumedService("left", "zoom", EMPTY, EMPTY, None)
        node: Any = server
        task = asyncio.ensure_future(service.poll(node, b"", 5.0))
        call = (await server.hear(Call)).frame
        assert isinstance(call, Call)
        server.peer.send(Answered(call.call_id, "c1", "core"))
        assert await task is None

    run(control, fake, claim)


def test_calls_and_services_of_a_node_belong_to_its_loop(control: ControlThread, fake: FakeDaemon):
    async def claim(server: Server) -> None:
        node: Any = server
        service: ConsumedService[None] = ConsumedService("left", "zoom", EMPTY, EMPTY, None)

        def elsewhere(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
            with pytest.raises(RuntimeError, match="different loop"):
                asyncio.run(work())

        await asyncio.to_thread(elsewhere, lambda: service.poll(node, b"", 5.0))
        await asyncio.to_thread(elsewhere, lambda: server.service.handle_next_request(node, server.echo))

    run(control, fake, claim)
