"""The goal table (docs/reference/services_actions.md, Goals; Retention; Abandonment; Loss of the daemon)."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from daemon.plane import CORE, FOREVER_NS, GOAL, HASHES, Peer, Plane, kinds, open_fds, with_plane
from peppy.daemon import calls, goals, parties, retention
from peppy.model.goals import CancelState, ResultStatus
from peppy.protocol import calls as frames
from peppy.protocol.answers import GoalCancelled, GoalEndKept
from peppy.protocol.calls import INSIDE
from peppy.protocol.frame import ProtocolViolation
from peppy.protocol.frames import Failed
from peppy.protocol.payloads import sealed
from peppy.protocol.streams import RowLeft
from peppy.ring import Writer, plan

STREAM = 77
CLAIM = (1, 2, 1, 4, 99, 1)
"""Row 4 with ticket 99."""

OTHER = "00c0ffee00c0ffef"
COMPLETED, CANCELLED, ABANDONED, EXPIRED = ResultStatus


def id_of(number: int) -> str:
    return f"{number:016x}"


def parted(plane: Plane, client_id: str = "pilot", server_id: str = "base") -> tuple[Peer, Peer]:
    """A client whose slot `left` is bound to a server of `track`, and the server."""
    plane.slots.directed["left"] = server_id
    client, server = plane.join(client_id, "pilot:v1"), plane.join(server_id)
    plane.serve(server, "action", "track")
    server.take()
    return client, server


@contextmanager
def stream(messages: int = 0) -> Iterator[tuple[int, int]]:
    """DATA and CTRL of a feedback stream with so many messages, to be given away."""
    writer = Writer.create(plan(8, ring_bytes=1 << 20, capacity=64), topic_hash=1, schema_hash=2, mode=1)
    for _ in range(messages):
        writer.publish_bytes(b"x")
    yield os.dup(writer.data_fd), os.dup(writer.ctrl_fd)
    writer.close()


def live(plane: Plane, client: Peer, server: Peer, goal_id: str = GOAL, call_id: int = 1) -> None:
    """A goal of this client is accepted."""
    plane.fire(client, call_id, goal_id)
    plane.say(server, frames.Decision(plane.acknowledge(server), True))
    assert client.last(frames.Decided).accepted
    client.take()
    server.take()


def live_with_feedback(plane: Plane, client: Peer, server: Peer, messages: int = 0) -> None:
    plane.fire(client)
    with stream(messages) as fds:
        decision = frames.Decision(plane.acknowledge(server), True, stream_id=STREAM, qos=1, claim=CLAIM)
        plane.say(server, decision, fds=fds)
    client.take()
    server.take()


def complete(plane: Plane, server: Peer, payload: bytes = b"result", goal_id: str = GOAL, **more: int) -> None:
    fields = {"outcome": int(COMPLETED), **more}
    assert plane.ask(server, frames.GoalEnded(goal_id, **fields), payload) == GoalEndKept()


def poll(plane: Plane, client: Peer, call_id: int = 2, goal_id: str = GOAL) -> ResultStatus | None:
    """The status of a result that is there at once."""
    before = len(client.of(frames.GoalResult))
    plane.say(client, frames.GetResult(call_id, goal_id, FOREVER_NS))
    results = client.of(frames.GoalResult)[before:]
    return ResultStatus(results[0].status) if results else None


def cancel(plane: Plane, client: Peer, goal_id: str = GOAL) -> CancelState | None:
    """The answer to a cancel that is there at once."""
    answer = plane.ask(client, frames.CancelGoal(goal_id, FOREVER_NS))
    assert answer is None or isinstance(answer, GoalCancelled)
    return CancelState(answer.state) if answer is not None else None


# --- accepting -------------------------------------------------------------------------------------------------------


def test_a_goal_reaches_its_server_with_the_clients_doorbell():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        plane.fire(client, fds=(os.eventfd(0, os.EFD_CLOEXEC),), feedback_qos=2)
        frame, payload, fds = server.carried[-1]
        assert isinstance(frame, frames.Deliver)
        assert (frame.goal_id, frame.feedback_qos, payload, fds) == (GOAL, 2, b"g", 1)

    with_plane(claim)


def test_an_accepted_goal_brings_its_client_the_feedback_stream():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        plane.fire(client)
        with stream() as fds:
            space = os.eventfd(0, os.EFD_CLOEXEC)
            decision = frames.Decision(plane.acknowledge(server), True, stream_id=STREAM, qos=2, claim=CLAIM)
            plane.say(server, decision, fds=(*fds, space))
        assert client.carried[-1] == (frames.Decided(1, "base", CORE, True, None, STREAM, 2, CLAIM), b"", 3)
        assert plane.control.in_flight() == 0

    with_plane(claim)


def test_a_rejected_goal_is_not_stored():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        plane.fire(client)
        plane.say(server, frames.Decision(plane.acknowledge(server), False, "arm 7 is already moving"))
        assert client.last(frames.Decided) == frames.Decided(1, "base", CORE, False, "arm 7 is already moving")
        assert poll(plane, client) is EXPIRED
        assert cancel(plane, client) is CancelState.UNKNOWN
        live(plane, client, server, call_id=3)

    with_plane(claim)


def test_a_reason_is_cut_to_its_limit():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        plane.fire(client)
        plane.say(server, frames.Decision(plane.acknowledge(server), False, "ä" * 30_000))
        assert client.last(frames.Decided).error_message == "ä" * 4096

    with_plane(claim)


@pytest.mark.parametrize("state", ["deciding", "live", "retained", "tombstone"])
def test_a_goal_id_that_is_known_is_rejected(state: str, monkeypatch: pytest.MonkeyPatch):
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        plane.fire(client)
        if state != "deciding":
            plane.say(server, frames.Decision(plane.acknowledge(server), True))
        if state in ("retained", "tombstone"):
            complete(plane, server)
        if state == "tombstone":
            monkeypatch.setattr(retention, "KEPT_BYTES", 0)
            plane.fire(client, 5, OTHER)
            plane.say(server, frames.Decision(plane.acknowledge(server), True))
            complete(plane, server, goal_id=OTHER)
        server.take()
        plane.fire(client, 6)
        decided = client.last(frames.Decided)
        assert (decided.call_id, decided.accepted) == (6, False)
        assert decided.error_message == f"the goal id `{GOAL}` is already in use"
        assert server.sent == []

    with_plane(claim)


def test_a_goal_id_that_becomes_known_while_the_goal_is_decided_is_rejected():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        plane.fire(client)
        delivery = plane.acknowledge(server)
        other = plane.join("other")
        complete(plane, other, b"other")
        plane.say(server, frames.Decision(delivery, True))
        assert "already in use" in (client.last(frames.Decided).error_message or "")
        assert poll(plane, client) is COMPLETED
        assert client.carried[-1][1] == b"other"

    with_plane(claim)


@pytest.mark.parametrize("again", ["before the server tells of it", "afterwards"])
@pytest.mark.parametrize("ended", [False, True])
def test_a_goal_that_comes_again_after_a_restart_is_not_decided_twice(again: str, ended: bool):
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        if again == "afterwards":
            tell_of(plane, server, ended=ended)
            plane.fire(client)
        else:
            plane.fire(client)
            delivery = plane.acknowledge(server)
            tell_of(plane, server, ended=ended)
            plane.say(server, frames.Decision(delivery, False, "already in use"))
        failed = client.last(frames.CallFailed)
        assert failed.kind == "ServiceTimeout"
        assert "`base` took the goal" in failed.message
        assert server.of(frames.SignalGoal) == ([] if ended else [frames.SignalGoal(GOAL)])
        assert client.of(frames.Decided) == []

    with_plane(claim)


def tell_of(plane: Plane, server: Peer, *, ended: bool) -> None:
    """The server says what it has of a goal that an earlier daemon let in."""
    if ended:
        complete(plane, server)
    else:
        plane.say(server, frames.GoalKept(GOAL, 1, "pilot"))


def test_more_live_goals_than_an_endpoint_may_have_are_rejected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calls, "LIVE_GOALS", 2)

    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server, id_of(1), 1)
        plane.fire(client, 2, id_of(2))
        plane.fire(client, 3, id_of(3))
        assert "too many goals" in (client.last(frames.Decided).error_message or "")
        plane.say(server, frames.Decision(plane.acknowledge(server), False, "no"))
        live(plane, client, server, id_of(4), 4)
        complete(plane, server, goal_id=id_of(1))
        live(plane, client, server, id_of(5), 5)

    with_plane(claim)


def test_a_goal_id_that_is_no_16_hexadecimal_digits_is_a_violation():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        for goal_id in ("", "00C0FFEE00C0FFEE", GOAL + "0", "g" * 16):
            with pytest.raises(ProtocolViolation):
                plane.fire(client, 1, goal_id)
            with pytest.raises(ProtocolViolation):
                plane.say(server, frames.GoalEnded(goal_id, 0))
            with pytest.raises(ProtocolViolation):
                plane.say(server, frames.GoalKept(goal_id, 1, "pilot"))

    with_plane(claim)


def test_feedback_that_is_no_stream_is_a_violation():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        plane.fire(client)
        decision = frames.Decision(plane.acknowledge(server), True, stream_id=STREAM, claim=CLAIM)
        with pytest.raises(ProtocolViolation):
            plane.say(server, decision, fds=(os.dup(0), os.dup(0)))

    with_plane(claim)


# --- giving up -------------------------------------------------------------------------------------------------------


def test_a_goal_that_is_accepted_after_its_client_gave_up_is_cancelled_from_the_start():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        plane.fire(client)
        delivery = plane.acknowledge(server)
        plane.say(client, frames.Withdraw(1))
        assert server.last(frames.Withdrawn).delivery == delivery
        server.take()
        client.take()
        with stream() as fds:
            plane.say(server, frames.Decision(delivery, True, stream_id=STREAM, qos=1, claim=CLAIM), fds=fds)
        assert server.take() == [frames.SignalGoal(GOAL), RowLeft(STREAM, 4, 99)]
        complete(plane, server, outcome=int(CANCELLED))
        assert client.sent == []
        assert poll(plane, client) is CANCELLED

    with_plane(claim)


def test_a_client_that_gives_up_while_it_is_told_of_its_goal_cancels_it():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live_with_feedback(plane, client, server)
        plane.say(client, frames.Withdraw(1))
        plane.say(client, frames.Withdraw(1))
        assert server.take() == [frames.SignalGoal(GOAL), RowLeft(STREAM, 4, 99)]
        complete(plane, server)
        assert client.sent == []
        plane.fire(client, 2, OTHER)
        plane.say(server, frames.Decision(plane.acknowledge(server), True))
        complete(plane, server, goal_id=OTHER)
        server.take()
        plane.say(client, frames.Withdraw(2))
        assert server.sent == []

    with_plane(claim)


def test_a_goal_that_nobody_wants_hears_so_when_its_server_has_a_connection_again():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live_with_feedback(plane, client, server)
        plane.lose(server)
        plane.say(client, frames.Withdraw(1))
        back = plane.rejoin(server)
        plane.serve(back, "action", "track")
        back.take()
        with stream() as fds:
            plane.say(back, frames.GoalKept(GOAL, 1, "pilot", STREAM, 4, 99), fds=fds)
        assert back.take() == [frames.SignalGoal(GOAL), RowLeft(STREAM, 4, 99)]

    with_plane(claim)


def test_a_row_whose_client_ended_while_the_server_had_no_connection_is_given_back_later():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live_with_feedback(plane, client, server)
        plane.lose(server)
        plane.end(client)
        back = plane.rejoin(server)
        with stream() as fds:
            plane.say(back, frames.GoalKept(GOAL, 1, "pilot", STREAM, 4, 99), fds=fds)
        assert back.take() == [RowLeft(STREAM, 4, 99)]

    with_plane(claim)


def test_a_goal_whose_decision_got_lost_is_cancelled_when_its_client_gives_up():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        plane.fire(client)
        plane.acknowledge(server)
        plane.lose(server)
        back = plane.rejoin(server)
        with stream() as fds:
            plane.say(back, frames.GoalKept(GOAL, 1, "pilot", STREAM, 4, 99), fds=fds)
        plane.say(client, frames.Withdraw(1))
        assert frames.SignalGoal(GOAL) in back.take()
        assert plane.control.party(back).deliveries == {}

    with_plane(claim)


def test_only_so_many_accepted_goals_are_remembered_for_who_gives_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(goals, "ACCEPTED", 2)

    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        for number in (1, 2, 3):
            live(plane, client, server, id_of(number), number)
        for number in (1, 2, 3):
            plane.say(client, frames.Withdraw(number))
        assert server.sent == [frames.SignalGoal(id_of(2)), frames.SignalGoal(id_of(3))]

    with_plane(claim)


def test_a_goal_that_is_rejected_after_its_client_gave_up_is_forgotten():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        plane.fire(client)
        delivery = plane.acknowledge(server)
        plane.say(client, frames.Withdraw(1))
        client.take()
        plane.say(server, frames.Decision(delivery, False, "withdrawn"))
        assert client.sent == []
        live(plane, client, server, call_id=2)

    with_plane(claim)


def test_goals_that_nobody_waits_for_and_nobody_decides_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calls, "OPEN_QUESTIONS", 5)

    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        for number in range(1, 50):
            plane.fire(client, number, id_of(number))
            plane.acknowledge(server)
            plane.say(client, frames.Withdraw(number))
        assert len(plane.control.party(server).deliveries) <= 10
        live(plane, client, server, id_of(1), 50)

    with_plane(claim)


def test_a_queued_goal_times_out_when_its_server_ends():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        plane.fire(client)
        plane.acknowledge(server)
        plane.end(server)
        failed = client.last(frames.CallFailed)
        assert failed.kind == "ServiceTimeout"
        assert "action `track`" in failed.message
        assert poll(plane, client) is EXPIRED

    with_plane(claim)


def test_a_goal_goes_on_when_its_client_ends_and_the_row_is_given_back():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live_with_feedback(plane, client, server)
        plane.end(client)
        assert server.take() == [RowLeft(STREAM, 4, 99)]
        complete(plane, server)
        other = plane.join("second", "pilot:v1")
        assert poll(plane, other) is COMPLETED

    with_plane(claim)


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_a_cancel_is_answered_when_the_servers_runtime_has_it():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        other = plane.join("other", "pilot:v1")
        requests = [plane.say(peer, frames.CancelGoal(GOAL, FOREVER_NS)) for peer in (client, other, client)]
        assert server.take() == [frames.SignalGoal(GOAL)]
        assert client.answers == other.answers == {}
        plane.say(server, frames.GoalSignalled(GOAL))
        answers = {**client.answers, **other.answers}
        assert answers == dict.fromkeys(requests, GoalCancelled(int(CancelState.SIGNALLED), "base", CORE))
        assert cancel(plane, client) is None
        assert server.take() == [frames.SignalGoal(GOAL)]

    with_plane(claim)


def test_a_cancel_wakes_no_poll():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        assert poll(plane, client) is None
        cancel(plane, client)
        plane.say(server, frames.GoalSignalled(GOAL))
        assert client.of(frames.GoalResult) == []

    with_plane(claim)


def test_a_cancel_of_a_terminal_goal_comes_too_late():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        complete(plane, server)
        server.take()
        assert cancel(plane, client) is CancelState.ALREADY_TERMINAL
        assert server.sent == []

    with_plane(claim)


def test_a_goal_that_ends_while_a_cancel_is_under_way_answers_it():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        request_id = plane.say(client, frames.CancelGoal(GOAL, FOREVER_NS))
        complete(plane, server)
        assert client.answers[request_id] == GoalCancelled(int(CancelState.ALREADY_TERMINAL), "base", CORE)
        plane.say(server, frames.GoalSignalled(GOAL))

    with_plane(claim)


def test_a_cancel_that_the_server_does_not_confirm_times_out_at_its_deadline():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        request_id = plane.say(client, frames.CancelGoal(GOAL, time.monotonic_ns() + 50_000_000))
        started = time.monotonic()
        await plane.until(lambda: request_id in client.answers)
        assert time.monotonic() - started >= 0.045
        answer = client.answers[request_id]
        assert isinstance(answer, Failed)
        assert answer.kind == "ServiceTimeout"
        plane.say(server, frames.GoalSignalled(GOAL))
        assert client.answers[request_id] is answer

    with_plane(claim)


def test_nobody_confirms_the_cancel_of_anothers_goal():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        liar = plane.join("liar")
        cancel(plane, client)
        plane.say(liar, frames.GoalSignalled(GOAL))
        assert client.answers == {}

    with_plane(claim)


# --- the end and the result ------------------------------------------------------------------------------------------


def test_the_end_stores_then_wakes_every_poll_then_ends_the_feedback_then_confirms():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live_with_feedback(plane, client, server)
        assert poll(plane, client, 2) is None
        assert poll(plane, client, 3) is None
        complete(plane, server, b"r", last_position=5)
        assert client.take() == [
            frames.GoalResult(2, "base", CORE, int(COMPLETED)),
            frames.GoalResult(3, "base", CORE, int(COMPLETED)),
            frames.FeedbackEnd(GOAL, 5),
        ]
        assert [payload for _, payload, _ in client.carried[-3:]] == [b"r", b"r", b""]
        assert poll(plane, client, 4) is COMPLETED
        assert poll(plane, client, 4) is COMPLETED

    with_plane(claim)


def test_the_first_terminal_event_wins():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        complete(plane, server, b"first")
        complete(plane, server, b"second", outcome=int(CANCELLED))
        plane.end(server)
        assert poll(plane, client) is COMPLETED
        assert client.carried[-1][1] == b"first"

    with_plane(claim)


def test_a_result_beside_its_frame_is_kept_in_its_memfd():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        memfd = sealed(((b"large", 0),), 5)
        assert plane.ask(server, frames.GoalEnded(GOAL, 0, beside=5), fds=(memfd,)) == GoalEndKept()
        plane.end(server)
        for call_id in (2, 3):
            assert poll(plane, client, call_id) is COMPLETED
        assert client.last(frames.GoalResult).beside == 5
        assert client.contents == [b"large", b"large"]

    with_plane(claim)


def test_a_result_beside_its_frame_must_be_sealed_and_as_long_as_it_says():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        for make in (
            lambda: os.memfd_create("open"),
            lambda: sealed(((b"longer", 0),), 6),
            lambda: os.dup(0),
        ):
            with pytest.raises(ProtocolViolation):
                plane.say(server, frames.GoalEnded(GOAL, 0, beside=5), fds=(make(),))
        with pytest.raises(ProtocolViolation):
            plane.say(server, frames.GoalEnded(GOAL, int(EXPIRED)))
        assert poll(plane, client) is None

    with_plane(claim)


def test_a_goal_whose_server_ends_is_abandoned_with_the_last_position_of_its_stream():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live_with_feedback(plane, client, server, messages=3)
        poll(plane, client)
        plane.end(server)
        assert client.take() == [
            frames.GoalResult(2, "base", CORE, int(ABANDONED)),
            frames.FeedbackEnd(GOAL, 3),
        ]

    with_plane(claim)


def test_nobody_ends_the_goal_of_another():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        liar = plane.join("liar")
        answer = plane.ask(liar, frames.GoalEnded(GOAL, 0), b"lie")
        assert isinstance(answer, Failed)
        assert answer.kind == "NotFound"
        assert poll(plane, client) is None

    with_plane(claim)


def test_more_polls_of_one_goal_than_may_wait_fail(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(goals, "POLLS", 2)

    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        for call_id in (2, 3, 4):
            poll(plane, client, call_id)
        failed = client.last(frames.CallFailed)
        assert (failed.call_id, failed.kind) == (4, "ServiceError")
        assert "too many result polls" in failed.message
        plane.say(client, frames.Withdraw(2))
        poll(plane, client, 5)
        complete(plane, server)
        assert [result.call_id for result in client.of(frames.GoalResult)] == [3, 5]

    with_plane(claim)


def test_polls_that_are_overdue_or_whose_caller_ended_are_forgotten():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        other = plane.join("other", "pilot:v1")
        poll(plane, other, 1)
        plane.say(client, frames.GetResult(2, GOAL, time.monotonic_ns() - 60_000_000_000))
        plane.control.tick()
        plane.end(other)
        complete(plane, server)
        assert client.of(frames.GoalResult) == other.of(frames.GoalResult) == []

    with_plane(claim)


def test_polls_count_among_what_a_caller_has_open(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parties, "OPEN_QUESTIONS", 2)

    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        poll(plane, client, 2)
        plane.say(client, frames.CancelGoal(GOAL, FOREVER_NS))
        with pytest.raises(ProtocolViolation):
            poll(plane, client, 3)
        with pytest.raises(ProtocolViolation):
            plane.say(client, frames.CancelGoal(GOAL, FOREVER_NS))

    with_plane(claim)


def test_the_end_of_the_client_drops_its_cancels():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        cancel(plane, client)
        client.take()
        plane.end(client)
        plane.say(server, frames.GoalSignalled(GOAL))
        assert client.sent == []

    with_plane(claim)


# --- retention -------------------------------------------------------------------------------------------------------


def test_an_outcome_expires_after_its_time_and_not_before():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        ended = time.monotonic()
        complete(plane, server)
        call_id = 2
        while poll(plane, client, call_id) is COMPLETED:
            assert time.monotonic() - ended < 10
            call_id += 1
            await asyncio.sleep(0.005)
        assert time.monotonic() - ended >= 0.2
        assert client.last(frames.GoalResult) == frames.GoalResult(call_id, "base", CORE, int(EXPIRED))
        assert cancel(plane, client) is CancelState.UNKNOWN

    with_plane(claim, retention_secs=0.2)


def test_outcomes_expire_one_after_the_other_by_one_timer():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        for number in (1, 2, 3):
            live(plane, client, server, id_of(number), number)
            complete(plane, server, goal_id=id_of(number))
            await asyncio.sleep(0.06)
        await plane.until(lambda: poll(plane, client, 9, id_of(1)) is EXPIRED)
        assert poll(plane, client, 9, id_of(3)) is COMPLETED
        await plane.until(lambda: poll(plane, client, 9, id_of(3)) is EXPIRED)
        assert poll(plane, client, 9, id_of(2)) is EXPIRED

    with_plane(claim, retention_secs=0.3)


def test_the_eldest_outcomes_go_when_too_much_is_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "KEPT_BYTES", 2 * retention.ENTRY_BYTES + 100)

    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        for number, payload in ((1, bytes(60)), (2, bytes(30)), (3, bytes(60))):
            live(plane, client, server, id_of(number), number)
            complete(plane, server, payload, id_of(number))
        assert [poll(plane, client, 9, id_of(number)) for number in (1, 2, 3)] == [EXPIRED, COMPLETED, COMPLETED]

    with_plane(claim)


def test_an_outcome_beside_its_frame_counts_as_much_as_the_largest_inside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "KEPT_BYTES", 2 * (retention.ENTRY_BYTES + INSIDE))

    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        for number in (1, 2, 3):
            live(plane, client, server, id_of(number), number)
            ended = frames.GoalEnded(id_of(number), int(COMPLETED), beside=1)
            plane.say(server, ended, fds=(sealed(((b"x", 0),), 1),))
        assert [poll(plane, client, 9, id_of(number)) for number in (1, 2, 3)] == [EXPIRED, COMPLETED, COMPLETED]

    with_plane(claim)


def test_as_many_tombstones_as_there_may_be_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "KEPT_BYTES", 0)
    monkeypatch.setattr(retention, "TOMBSTONES", 2)

    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        for number in range(1, 6):
            live(plane, client, server, id_of(number), number)
            complete(plane, server, goal_id=id_of(number))
        for number, known in ((1, False), (2, False), (3, True), (4, True)):
            poll(plane, client, 9, id_of(number))
            assert client.last(frames.GoalResult).instance_id == ("base" if known else "")

    with_plane(claim)


# --- lost connections and daemons ------------------------------------------------------------------------------------


def test_a_live_goal_goes_on_over_a_lost_connection_of_its_server():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live_with_feedback(plane, client, server)
        plane.lose(server)
        request_id = plane.say(client, frames.CancelGoal(GOAL, FOREVER_NS))
        back = plane.rejoin(server)
        plane.serve(back, "action", "track")
        with stream() as fds:
            plane.say(back, frames.GoalKept(GOAL, 1, "pilot", STREAM, 4, 99), fds=fds)
        assert back.of(frames.SignalGoal) == [frames.SignalGoal(GOAL)]
        plane.say(back, frames.GoalSignalled(GOAL))
        assert isinstance(client.answers[request_id], GoalCancelled)
        complete(plane, back)
        assert client.last(frames.FeedbackEnd).goal_id == GOAL

    with_plane(claim)


def test_the_end_of_feedback_is_told_again_to_a_client_that_comes_back():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live_with_feedback(plane, client, server)
        plane.lose(client)
        complete(plane, server, last_position=8)
        back = plane.rejoin(client)
        plane.say(back, frames.FollowGoal(GOAL))
        assert back.sent == [frames.FeedbackEnd(GOAL, 8)]

    with_plane(claim)


def test_a_poll_that_is_asked_again_after_a_reconnect_is_answered_once():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        live(plane, client, server)
        poll(plane, client)
        plane.lose(client)
        back = plane.rejoin(client)
        assert poll(plane, back) is None
        complete(plane, server)
        assert len(back.of(frames.GoalResult)) == 1

    with_plane(claim)


def restarted(plane: Plane) -> tuple[Peer, Peer]:
    """A client that asks everything about a goal of the daemon before this one, and its server."""
    plane.control.start()
    client, server = parted(plane)
    assert poll(plane, client) is None
    plane.say(client, frames.FollowGoal(GOAL))
    assert cancel(plane, client) is None
    assert client.sent == []
    return client, server


def test_a_live_goal_is_adopted_after_a_restart_with_all_who_ask_about_it():
    async def claim(plane: Plane) -> None:
        client, server = restarted(plane)
        with stream(2) as fds:
            plane.say(server, frames.GoalKept(GOAL, 1, "pilot", STREAM, 4, 99), fds=fds)
        assert server.take() == [frames.SignalGoal(GOAL)]
        plane.say(server, frames.GoalSignalled(GOAL))
        assert [answer.state for answer in client.answers.values() if isinstance(answer, GoalCancelled)] == [0]
        client.take()
        complete(plane, server, last_position=2)
        assert kinds(client.take()) == ["GoalResult", "FeedbackEnd"]

    with_plane(claim)


def test_an_adopted_goal_gives_its_row_back_when_the_client_ends_and_ends_with_its_server():
    async def claim(plane: Plane) -> None:
        client, server = restarted(plane)
        with stream(2) as fds:
            plane.say(server, frames.GoalKept(GOAL, 1, "pilot", STREAM, 4, 99), fds=fds)
        second = plane.join("second", "pilot:v1")
        plane.say(second, frames.FollowGoal(GOAL))
        plane.end(client)
        assert server.of(RowLeft) == [RowLeft(STREAM, 4, 99)]
        plane.end(server)
        assert second.sent == [frames.FeedbackEnd(GOAL, 2)]

    with_plane(claim)


def test_an_outcome_that_the_server_kept_over_a_restart_reaches_who_asks():
    async def claim(plane: Plane) -> None:
        client, server = restarted(plane)
        complete(plane, server, b"kept", last_position=6)
        assert kinds(client.sent[:2]) == ["GoalResult", "FeedbackEnd"]
        assert client.last(frames.FeedbackEnd).last_position == 6
        assert [answer.state for answer in client.answers.values() if isinstance(answer, GoalCancelled)] == [1]
        assert poll(plane, client, 5) is COMPLETED

    with_plane(claim)


def test_goals_whose_servers_do_not_come_back_are_gone_when_the_window_closes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(goals, "WINDOW_SECS", 0.05)

    async def claim(plane: Plane) -> None:
        client, _ = restarted(plane)
        await plane.until(lambda: client.sent)
        assert client.of(frames.GoalResult) == [frames.GoalResult(2, "", CORE, int(EXPIRED))]
        assert client.of(frames.FeedbackEnd) == [frames.FeedbackEnd(GOAL, -1)]
        assert list(client.answers.values())[-1] == GoalCancelled(int(CancelState.UNKNOWN), "", "")
        assert poll(plane, client, 7, OTHER) is EXPIRED
        plane.say(client, frames.FollowGoal(OTHER))
        assert client.last(frames.FeedbackEnd) == frames.FeedbackEnd(OTHER, -1)
        assert cancel(plane, client, OTHER) is CancelState.UNKNOWN

    with_plane(claim)


def test_questions_about_unknown_goals_are_dropped_with_those_who_asked():
    async def claim(plane: Plane) -> None:
        client, server = restarted(plane)
        plane.end(client)
        complete(plane, server)
        assert client.sent == []

    with_plane(claim)


def test_a_goal_that_nobody_knows_is_kept_when_it_ends_and_only_once():
    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        complete(plane, server, b"kept")
        complete(plane, server, b"again")
        assert poll(plane, client) is COMPLETED
        assert client.carried[-1][1] == b"kept"

    with_plane(claim)


def test_a_process_has_no_more_live_goals_than_anybody_needs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parties, "SERVED_GOALS", 2)

    async def claim(plane: Plane) -> None:
        client, server = parted(plane)
        for number in (1, 2):
            plane.say(server, frames.GoalKept(id_of(number), 1, "pilot"))
        with pytest.raises(ProtocolViolation):
            plane.say(server, frames.GoalKept(id_of(3), 1, "pilot"))
        plane.fire(client)
        assert "too many goals" in (client.last(frames.Decided).error_message or "")
        complete(plane, server, goal_id=id_of(1))
        plane.say(server, frames.GoalKept(id_of(3), 1, "pilot"))

    with_plane(claim)


def test_goals_come_back_with_descriptors_that_suit():
    async def claim(plane: Plane) -> None:
        _, server = parted(plane)
        with pytest.raises(ProtocolViolation):
            plane.say(server, frames.GoalKept(GOAL, 1, "pilot", STREAM, 4, 99))
        with pytest.raises(ProtocolViolation):
            plane.say(server, frames.GoalKept(GOAL, 1, "pilot"), fds=(os.dup(0),))

    with_plane(claim)


def test_a_command_line_that_goes_gives_its_row_back_when_its_process_has_ended():
    async def claim(plane: Plane) -> None:
        _, server = parted(plane)
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        cli = Peer("peppy-cli-9", "peppy:cli", child, cli=True)
        plane.fire(cli, instance_id="base", hashes=HASHES)
        with stream() as fds:
            decision = frames.Decision(plane.acknowledge(server), True, stream_id=STREAM, qos=1, claim=CLAIM)
            plane.say(server, decision, fds=fds)
        server.take()
        plane.lose(cli)
        assert server.sent == []
        os.kill(child, 9)
        await plane.until(lambda: server.sent)
        assert server.sent == [RowLeft(STREAM, 4, 99)]
        os.waitpid(child, 0)

    with_plane(claim)


def test_a_command_line_without_connection_is_forgotten_with_the_last_goal_that_it_followed():
    async def claim(plane: Plane) -> None:
        _, server = parted(plane)
        cli = Peer("peppy-cli-9", "peppy:cli", cli=True)
        plane.fire(cli, instance_id="base", hashes=HASHES)
        with stream() as fds:
            decision = frames.Decision(plane.acknowledge(server), True, stream_id=STREAM, qos=1, claim=CLAIM)
            plane.say(server, decision, fds=fds)
        plane.lose(cli)
        open_before = open_fds()
        plane.control.tick()
        assert open_fds() == open_before
        complete(plane, server)
        plane.control.tick()
        assert open_fds() < open_before

    with_plane(claim)
