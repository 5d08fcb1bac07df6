"""Calls through the daemon (docs/reference/services_actions.md, Control-plane sequence; Timeouts, retry, discovery)."""

import os
import time
from typing import Any

import pytest

from daemon.plane import CORE, FOREVER_NS, GOAL, HASHES, Peer, Plane, kinds, with_plane
from peppy.daemon import calls, discovery, parties
from peppy.protocol import calls as frames
from peppy.protocol.answers import EndpointOpened
from peppy.protocol.frame import ConnectionClosed, ProtocolViolation
from peppy.protocol.frames import Failed


def pinned(plane: Plane, instance_id: str = "c1") -> tuple[Peer, Peer]:
    """A caller whose slot `left` is bound to one producer, and that producer, which serves `zoom` and `track`."""
    plane.slots.directed["left"] = instance_id
    caller, producer = plane.join("view", "view:v1"), plane.join(instance_id)
    serve_both(plane, producer)
    return caller, producer


def serve_both(plane: Plane, producer: Peer) -> None:
    plane.serve(producer, number=1)
    plane.serve(producer, "action", "track", number=2)
    producer.take()


def discovered(plane: Plane, *instance_ids: str) -> tuple[Peer, list[Peer]]:
    """A caller with a slot that everybody passes, and some producers."""
    producers = [plane.join(instance_id) for instance_id in instance_ids]
    for producer in producers:
        serve_both(plane, producer)
    return plane.join("view", "view:v1"), producers


def failure(caller: Peer) -> tuple[str, str]:
    failed = caller.last(frames.CallFailed)
    return failed.kind, failed.message


# --- direct ----------------------------------------------------------------------------------------------------------


def test_a_pinned_call_goes_to_its_producer_without_a_probe_and_its_answer_comes_back():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller, 7)
        assert plane.control.in_flight() == 1
        assert kinds(producer.sent) == ["Deliver"]
        deliver = producer.last(frames.Deliver)
        assert (deliver.endpoint_id, deliver.caller_instance_id, deliver.caller_core_node) == (1, "view", CORE)
        assert deliver.deadline_ns == FOREVER_NS
        assert producer.carried[-1][1] == b"q"
        delivery = plane.acknowledge(producer)
        assert caller.take() == [frames.Acknowledged(7, "c1")]
        plane.say(producer, frames.Reply(delivery), b"answer")
        assert caller.take() == [frames.Answered(7, "c1", CORE)]
        assert caller.carried[-1][1] == b"answer"
        assert plane.control.in_flight() == 0

    with_plane(claim)


def test_the_error_of_a_handler_reaches_the_caller_cut_to_its_limit():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        plane.say(producer, frames.Reply(plane.acknowledge(producer), "KeyError: " + "x" * 60_000))
        error = caller.last(frames.Answered).error
        assert error is not None
        assert error.startswith("KeyError: xx")
        assert len(error) == calls.REASON

    with_plane(claim)


def test_payloads_beside_their_frames_are_handed_on_as_descriptors():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        request, response = os.memfd_create("request"), os.memfd_create("response")
        os.write(request, b"large")
        os.write(response, b"larger")
        plane.say(caller, frames.Call(1, "left", "zoom", HASHES, FOREVER_NS, beside=5), fds=(request,))
        assert producer.last(frames.Deliver).beside == 5
        assert producer.contents == [b"large"]
        plane.say(producer, frames.Reply(plane.acknowledge(producer), beside=6), fds=(response,))
        assert caller.last(frames.Answered).beside == 6
        assert caller.contents == [b"larger"]

    with_plane(claim)


def test_a_call_waits_for_its_producer_and_is_delivered_when_it_serves():
    async def claim(plane: Plane) -> None:
        plane.slots.directed["left"] = "c1"
        caller = plane.join("view", "view:v1")
        plane.call(caller)
        producer = plane.join("c1")
        assert producer.sent == []
        plane.serve(producer, name="other", number=3)
        assert producer.of(frames.Deliver) == []
        plane.serve(producer)
        assert producer.carried[-1] == (producer.last(frames.Deliver), b"q", 0)

    with_plane(claim)


def test_waiting_calls_are_delivered_in_the_order_in_which_they_came():
    async def claim(plane: Plane) -> None:
        plane.slots.directed["left"] = "c1"
        caller = plane.join("view", "view:v1")
        for call_id in range(1, 6):
            plane.call(caller, call_id, payload=b"%d" % call_id)
        producer = plane.join("c1")
        plane.serve(producer)
        delivered = [payload for frame, payload, _ in producer.carried if isinstance(frame, frames.Deliver)]
        assert delivered == [b"1", b"2", b"3", b"4", b"5"]

    with_plane(claim)


def test_an_id_that_belongs_to_another_node_now_does_not_get_the_call():
    async def claim(plane: Plane) -> None:
        plane.slots.directed["left"] = "c1"
        caller = plane.join("view", "view:v1")
        plane.call(caller)
        producer = plane.join("c1", "mic:v1")
        plane.serve(producer)
        assert producer.of(frames.Deliver) == []
        plane.call(caller, 2)
        assert producer.of(frames.Deliver) == []
        assert caller.sent == []

    with_plane(claim)


def test_a_command_line_calls_the_instance_that_it_names():
    async def claim(plane: Plane) -> None:
        producers = [plane.join(instance_id) for instance_id in ("c1", "c2")]
        for producer in producers:
            plane.serve(producer)
        cli = Peer("peppy-cli-1", "peppy:cli", cli=True)
        plane.call(cli, instance_id="c2")
        assert [len(producer.of(frames.Deliver)) for producer in producers] == [0, 1]
        assert producers[1].last(frames.Deliver).caller_instance_id == "peppy-cli-1"

    with_plane(claim)


@pytest.mark.parametrize("interface", [None, "image_source:v1"])
def test_native_and_inherited_members_of_one_name_do_not_cross(interface: str | None):
    async def claim(plane: Plane) -> None:
        plane.slots.directed["left"] = "c1"
        caller, producer = plane.join("view", "view:v1"), plane.join("c1")
        plane.serve(producer, number=1)
        plane.serve(producer, number=2, interface="image_source:v1")
        plane.call(caller, interface=interface)
        assert producer.last(frames.Deliver).endpoint_id == (2 if interface else 1)

    with_plane(claim)


def test_a_service_and_an_action_of_one_name_do_not_cross():
    async def claim(plane: Plane) -> None:
        plane.slots.directed["left"] = "c1"
        caller, producer = plane.join("view", "view:v1"), plane.join("c1")
        plane.serve(producer, "action", "zoom")
        plane.call(caller)
        assert producer.of(frames.Deliver) == []

    with_plane(claim)


def test_another_format_fails_the_call_at_once_naming_both_nodes():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller, hashes=(1, 3))
        kind, message = failure(caller)
        assert kind == "SchemaMismatch"
        for part in ("service `zoom`", "`view` of `view:v1`", "`c1` of `cam:v1`", f"{3:016x}"):
            assert part in message
        assert producer.sent == []

    with_plane(claim)


# --- discovery -------------------------------------------------------------------------------------------------------


def test_of_several_producers_the_first_that_answers_gets_the_call_and_the_others_nothing():
    async def claim(plane: Plane) -> None:
        caller, (one, two, three) = discovered(plane, "c1", "c2", "c3")
        plane.call(caller)
        asked = [producer.take() for producer in (one, two, three)]
        number = asked[0][0].number  # pyright: ignore[reportAttributeAccessIssue]
        assert asked == [[frames.Discover(number, 1)]] * 3
        plane.say(two, frames.Discovered(number))
        plane.say(one, frames.Discovered(number))
        assert [kinds(producer.sent) for producer in (one, two, three)] == [[], ["Deliver"], []]

    with_plane(claim)


def test_only_producers_that_the_slot_admits_and_that_serve_the_member_are_asked():
    async def claim(plane: Plane) -> None:
        caller, (one, two) = discovered(plane, "c1", "c2")
        other = plane.join("c3")
        plane.serve(other, name="focus")
        other.take()
        plane.slots.admitted = {"c1", "c3"}
        plane.call(caller)
        assert [kinds(producer.sent) for producer in (one, two, other)] == [["Discover"], [], []]

    with_plane(claim)


def test_nobody_calls_itself_through_a_wildcard():
    async def claim(plane: Plane) -> None:
        _, (one, two) = discovered(plane, "c1", "c2")
        plane.call(one)
        assert [kinds(producer.sent) for producer in (one, two)] == [[], ["Discover"]]

    with_plane(claim)


def test_a_producer_that_appears_meanwhile_can_win():
    async def claim(plane: Plane) -> None:
        caller, (hung,) = discovered(plane, "c1")
        plane.call(caller)
        number = hung.last(frames.Discover).number
        late = plane.join("c2")
        plane.serve(late)
        assert late.last(frames.Discover).number == number
        plane.say(late, frames.Discovered(number))
        assert kinds(late.sent)[-1] == "Deliver"
        plane.say(hung, frames.Discovered(number))
        assert hung.of(frames.Deliver) == []

    with_plane(claim)


def test_a_round_without_answer_is_followed_by_another_and_its_late_answers_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
):
    async def claim(plane: Plane) -> None:
        caller, (producer,) = discovered(plane, "c1")
        plane.call(caller)
        first = producer.last(frames.Discover).number
        plane.control.tick()
        assert len(producer.of(frames.Discover)) == 1
        monkeypatch.setattr(discovery, "ROUND_SECS", 0)
        plane.control.tick()
        second = producer.last(frames.Discover).number
        assert second != first
        plane.say(producer, frames.Discovered(first))
        assert producer.of(frames.Deliver) == []
        plane.say(producer, frames.Discovered(second))
        assert len(producer.of(frames.Deliver)) == 1

    with_plane(claim)


def test_producers_of_another_format_are_passed_over_while_others_are_there():
    async def claim(plane: Plane) -> None:
        caller, (good,) = discovered(plane, "c1")
        old = plane.join("c2")
        plane.serve(old, hashes=(8, 9))
        old.take()
        plane.call(caller)
        assert (kinds(good.sent), kinds(old.sent)) == (["Discover"], [])

    with_plane(claim)


@pytest.mark.parametrize("serves_first", [True, False])
def test_a_discovered_call_fails_when_only_producers_of_another_format_are_there(serves_first: bool):
    async def claim(plane: Plane) -> None:
        caller, old = plane.join("view", "view:v1"), plane.join("c1")
        if serves_first:
            plane.serve(old, hashes=(8, 9))
        plane.call(caller)
        if not serves_first:
            plane.serve(old, hashes=(8, 9))
        assert failure(caller)[0] == "SchemaMismatch"
        assert plane.control.in_flight() == 0

    with_plane(claim)


# --- withdrawal ------------------------------------------------------------------------------------------------------


def test_a_withdrawn_call_is_not_delivered():
    async def claim(plane: Plane) -> None:
        plane.slots.directed["left"] = "c1"
        caller = plane.join("view", "view:v1")
        plane.call(caller)
        plane.say(caller, frames.Withdraw(1))
        producer = plane.join("c1")
        plane.serve(producer)
        assert producer.of(frames.Deliver) == []
        assert plane.control.in_flight() == 0

    with_plane(claim)


def test_a_call_that_was_answered_to_an_earlier_daemon_ends_in_a_timeout_at_once():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        deliver = producer.last(frames.Deliver)
        assert deliver.call_id == 1
        plane.say(producer, frames.Acknowledge(deliver.delivery, answered=True))
        failed = caller.last(frames.CallFailed)
        assert (failed.call_id, failed.kind) == (1, "ServiceTimeout")
        assert plane.control.in_flight() == 0

    with_plane(claim)


@pytest.mark.parametrize("acknowledged", [True, False])
def test_the_producer_hears_that_the_caller_has_given_up_and_its_late_reply_is_dropped(acknowledged: bool):
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        delivery = producer.last(frames.Deliver).delivery
        if acknowledged:
            plane.acknowledge(producer)
        plane.say(caller, frames.Withdraw(1))
        caller.take()
        assert producer.last(frames.Withdrawn).delivery == delivery
        memfd = os.memfd_create("late")
        plane.say(producer, frames.Acknowledge(delivery))
        plane.say(producer, frames.Reply(delivery, beside=0), fds=(memfd,))
        assert caller.sent == []
        plane.call(caller)
        assert producer.last(frames.Deliver).delivery != delivery

    with_plane(claim)


def test_a_withdrawn_discovery_is_over():
    async def claim(plane: Plane) -> None:
        caller, (producer,) = discovered(plane, "c1")
        plane.call(caller)
        plane.say(caller, frames.Withdraw(1))
        plane.say(producer, frames.Discovered(producer.last(frames.Discover).number))
        assert producer.of(frames.Deliver) == []

    with_plane(claim)


def test_calls_of_a_caller_that_has_ended_are_withdrawn():
    async def claim(plane: Plane) -> None:
        plane.slots.directed["left"] = "c1"
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        caller, producer = plane.join("view", "view:v1", child), plane.join("c1")
        serve_both(plane, producer)
        plane.call(caller)
        plane.lose(caller)
        assert producer.of(frames.Withdrawn) == []
        os.kill(child, 9)
        await plane.until(lambda: producer.of(frames.Withdrawn))
        os.waitpid(child, 0)
        assert plane.control.in_flight() == 0

    with_plane(claim)


def test_calls_whose_deadline_passed_long_ago_are_forgotten():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        now = time.monotonic_ns()
        plane.call(caller, 1, deadline_ns=now - 60_000_000_000)
        plane.call(caller, 2, deadline_ns=now)
        plane.control.tick()
        assert [frame.delivery for frame in producer.of(frames.Withdrawn)] == [producer.of(frames.Deliver)[0].delivery]
        assert plane.control.in_flight() == 1

    with_plane(claim)


# --- producers that end ----------------------------------------------------------------------------------------------


def test_an_acknowledged_call_times_out_at_once_when_its_producer_stops():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        plane.acknowledge(producer)
        plane.end(producer)
        kind, message = failure(caller)
        assert kind == "ServiceTimeout"
        assert "service `zoom`: the producer stopped (`c1` of `cam:v1`)" in message

    with_plane(claim)


def test_a_direct_call_without_acknowledgement_waits_for_the_next_process_of_its_producer():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        first = producer.last(frames.Deliver).delivery
        plane.end(producer)
        assert caller.sent == []
        again = plane.join("c1")
        plane.serve(again)
        assert again.carried[-1][1] == b"q"
        assert again.last(frames.Deliver).delivery != first

    with_plane(claim)


def test_a_call_whose_discovered_producer_ends_before_it_takes_it_is_unreachable_at_once():
    async def claim(plane: Plane) -> None:
        caller, (one, two) = discovered(plane, "c1", "c2")
        plane.call(caller)
        plane.say(one, frames.Discovered(one.last(frames.Discover).number))
        plane.end(one)
        assert failure(caller)[0] == "ServiceUnreachable"
        assert two.of(frames.Deliver) == []
        plane.call(caller, 2)
        plane.say(two, frames.Discovered(two.last(frames.Discover).number))
        assert len(two.of(frames.Deliver)) == 1

    with_plane(claim)


def test_a_producer_that_says_what_it_will_not_serve_tells_its_callers():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        deliveries: list[int] = []
        for call_id in (1, 2, 3):
            plane.call(caller, call_id)
            deliveries.append(plane.acknowledge(producer))
        plane.say(producer, frames.EndpointClose(1, (deliveries[0], deliveries[2], 12345)))
        assert [failed.call_id for failed in caller.of(frames.CallFailed)] == [1, 3]
        assert {failed.kind for failed in caller.of(frames.CallFailed)} == {"ServiceTimeout"}
        plane.say(producer, frames.Reply(deliveries[1]), b"done")
        assert caller.last(frames.Answered).call_id == 2

    with_plane(claim)


def test_an_endpoint_that_closes_gives_up_what_it_has_not_taken():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        plane.say(producer, frames.EndpointClose(1))
        plane.say(producer, frames.EndpointClose(1))
        assert caller.sent == []
        plane.serve(producer, number=5)
        assert producer.last(frames.Deliver).endpoint_id == 5

    with_plane(claim)


def test_a_process_that_is_replaced_under_its_id_has_ended():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        plane.acknowledge(producer)
        plane.join("c1")
        assert failure(caller)[0] == "ServiceTimeout"

    with_plane(claim)


def test_an_answer_that_comes_together_with_its_acknowledgement_goes_alone():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller, 7)
        delivery = producer.last(frames.Deliver).delivery
        plane.say_together(producer, frames.Acknowledge(delivery), frames.Reply(delivery))
        assert kinds(caller.sent) == ["Answered"]

    with_plane(claim)


def test_of_acknowledgements_that_come_together_those_without_an_answer_are_told():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        deliveries: list[int] = []
        for call_id in (7, 8, 9):
            plane.call(caller, call_id)
            deliveries.append(producer.last(frames.Deliver).delivery)
        plane.say(caller, frames.Withdraw(9))
        caller.take()
        plane.say_together(producer, *(frames.Acknowledge(each) for each in deliveries), frames.Reply(deliveries[0]))
        assert caller.take() == [frames.Answered(7, "c1", CORE), frames.Acknowledged(8, "c1")]

    with_plane(claim)


def test_last_words_of_a_process_that_has_ended_count():
    async def claim(plane: Plane) -> None:
        plane.slots.directed["left"] = "c1"
        child = os.fork()
        if child == 0:
            os._exit(0)
        caller, producer = plane.join("view", "view:v1"), plane.join("c1", pid=child)
        plane.serve(producer)
        plane.call(caller)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        await plane.until(lambda: plane.has_ended(producer))
        plane.say(producer, frames.Reply(plane.acknowledge(producer)), b"last")
        plane.lose(producer)
        assert kinds(caller.sent) == ["Acknowledged", "Answered"]
        os.waitpid(child, 0)

    with_plane(claim)


def test_a_process_that_ends_while_somebody_holds_its_connection_open_ends_all_the_same():
    async def claim(plane: Plane) -> None:
        plane.slots.directed["left"] = "c1"
        child = os.fork()
        if child == 0:
            os._exit(0)
        caller, producer = plane.join("view", "view:v1"), plane.join("c1", pid=child)
        plane.serve(producer)
        plane.call(caller)
        plane.acknowledge(producer)
        await plane.until(lambda: caller.of(frames.CallFailed))
        with pytest.raises(ConnectionClosed):
            plane.say(producer, frames.EndpointClose(1))
        os.waitpid(child, 0)

    with_plane(claim)


def test_a_node_that_ends_inside_a_living_process_has_ended():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        plane.acknowledge(producer)
        plane.control.leaving(producer)
        plane.lose(producer)
        assert failure(caller)[0] == "ServiceTimeout"

    with_plane(claim)


# --- lost connections ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noticed", [True, False])
def test_a_call_without_acknowledgement_is_delivered_again_under_its_number_after_a_lost_connection(noticed: bool):
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        delivery = producer.last(frames.Deliver).delivery
        if noticed:
            plane.lose(producer)
        back = plane.rejoin(producer)
        plane.lose(producer)
        assert caller.sent == []
        assert back.sent == []
        plane.serve(back)
        assert back.last(frames.Deliver).delivery == delivery
        plane.say(back, frames.Reply(plane.acknowledge(back)), b"a")
        assert kinds(caller.sent) == ["Acknowledged", "Answered"]

    with_plane(claim)


def test_an_acknowledged_call_waits_for_its_reply_over_a_lost_connection():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        delivery = plane.acknowledge(producer)
        plane.lose(producer)
        back = plane.rejoin(producer)
        plane.serve(back)
        assert back.of(frames.Deliver) == []
        plane.say(back, frames.Reply(delivery), b"a")
        assert caller.last(frames.Answered).call_id == 1

    with_plane(claim)


def test_a_discovered_producer_keeps_the_call_over_a_lost_connection_but_not_over_its_end():
    async def claim(plane: Plane) -> None:
        caller, (one, two) = discovered(plane, "c1", "c2")
        for call_id in (1, 2):
            plane.call(caller, call_id)
            plane.say(one, frames.Discovered(one.last(frames.Discover).number))
        plane.lose(one)
        back = plane.rejoin(one)
        plane.serve(back)
        assert len(back.of(frames.Deliver)) == 2
        plane.acknowledge(back)
        plane.lose(back)
        plane.end(back)
        assert [(failed.call_id, failed.kind) for failed in caller.of(frames.CallFailed)] == [
            (2, "ServiceTimeout"),
            (1, "ServiceUnreachable"),
        ]
        assert two.of(frames.Deliver) == []

    with_plane(claim)


def test_a_producer_without_connection_gets_nothing_until_it_registers_again():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.lose(producer)
        plane.call(caller)
        assert producer.sent == []
        back = plane.rejoin(producer)
        assert back.sent == []
        plane.serve(back)
        assert len(back.of(frames.Deliver)) == 1

    with_plane(claim)


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_call_that_is_asked_again_after_a_reconnect_is_not_delivered_twice(acknowledged: bool):
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        if acknowledged:
            plane.acknowledge(producer)
        plane.lose(caller)
        back = plane.rejoin(caller)
        plane.call(back)
        assert len(producer.of(frames.Deliver)) == 1
        assert kinds(back.sent) == (["Acknowledged"] if acknowledged else [])

    with_plane(claim)


def test_a_call_whose_answer_got_lost_is_not_run_again():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        plane.lose(caller)
        plane.say(producer, frames.Reply(plane.acknowledge(producer)), b"a")
        back = plane.rejoin(caller)
        plane.call(back)
        assert failure(back)[0] == "ServiceTimeout"
        assert len(producer.of(frames.Deliver)) == 1

    with_plane(claim)


def test_a_command_line_that_goes_takes_its_calls_with_it():
    async def claim(plane: Plane) -> None:
        _, producer = pinned(plane)
        cli = Peer("peppy-cli-1", "peppy:cli", cli=True)
        plane.call(cli, instance_id="c1")
        plane.lose(cli)
        assert kinds(producer.sent) == ["Deliver", "Withdrawn"]
        assert plane.control.in_flight() == 0

    with_plane(claim)


# --- abuse -----------------------------------------------------------------------------------------------------------


def test_numbers_that_nobody_knows_are_ignored():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        for frame in (
            frames.Withdraw(9),
            frames.Acknowledge(9),
            frames.Discovered(9),
            frames.Reply(9),
            frames.Decision(9, True),
            frames.EndpointClose(9),
        ):
            plane.say(producer, frame)
        assert producer.sent == caller.sent == []

    with_plane(claim)


def test_nobody_answers_for_another():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        liar = plane.join("c2")
        plane.serve(liar)
        plane.call(caller)
        delivery = producer.last(frames.Deliver).delivery
        plane.say(liar, frames.Acknowledge(delivery))
        plane.say(liar, frames.Reply(delivery), b"a lie")
        plane.say(liar, frames.EndpointClose(1, (delivery,)))
        assert caller.sent == []
        plane.slots.admitted = {"c1"}
        plane.call(caller, 2, "any")
        plane.say(liar, frames.Discovered(producer.last(frames.Discover).number))
        assert liar.of(frames.Deliver) == []

    with_plane(claim)


def test_a_call_id_that_is_in_use_is_a_violation():
    async def claim(plane: Plane) -> None:
        caller, _ = pinned(plane)
        plane.call(caller)
        with pytest.raises(ProtocolViolation):
            plane.fire(caller)
        with pytest.raises(ProtocolViolation):
            plane.say(caller, frames.GetResult(1, GOAL, FOREVER_NS))

    with_plane(claim)


def test_a_node_may_not_name_producers_and_a_command_line_must():
    async def claim(plane: Plane) -> None:
        caller, _ = pinned(plane)
        with pytest.raises(ProtocolViolation):
            plane.call(caller, instance_id="c1")
        with pytest.raises(ProtocolViolation):
            plane.call(Peer("peppy-cli-1", "peppy:cli", cli=True))

    with_plane(claim)


def test_a_caller_may_not_have_more_open_than_anybody_needs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parties, "OPEN_QUESTIONS", 3)
    monkeypatch.setattr(parties, "HELD_BYTES", 100)

    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        with pytest.raises(ProtocolViolation):
            plane.call(caller, payload=bytes(101))
        plane.call(caller, 1, payload=bytes(60))
        with pytest.raises(ProtocolViolation):
            plane.call(caller, 2, payload=bytes(60))
        plane.acknowledge(producer)
        plane.call(caller, 2, payload=bytes(60))
        plane.call(caller, 3)
        with pytest.raises(ProtocolViolation):
            plane.call(caller, 4)

    with_plane(claim)


def test_descriptors_that_do_not_suit_are_closed_and_a_violation():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller)
        delivery = plane.acknowledge(producer)
        for peer, frame, count in (
            (caller, frames.Call(2, "left", "zoom", HASHES, FOREVER_NS), 1),
            (caller, frames.Goal(2, GOAL, "left", "track", HASHES, FOREVER_NS), 2),
            (producer, frames.Reply(delivery), 1),
            (producer, frames.Decision(delivery, False), 2),
            (producer, frames.Decision(delivery, True, stream_id=4), 1),
        ):
            with pytest.raises(ProtocolViolation):
                plane.say(peer, frame, fds=tuple(os.dup(0) for _ in range(count)))

    with_plane(claim)


def test_an_answer_of_the_wrong_kind_is_a_violation():
    async def claim(plane: Plane) -> None:
        caller, producer = pinned(plane)
        plane.call(caller, 1)
        call = plane.acknowledge(producer)
        plane.fire(caller, 2)
        goal = plane.acknowledge(producer)
        with pytest.raises(ProtocolViolation):
            plane.say(producer, frames.Decision(call, True))
        with pytest.raises(ProtocolViolation):
            plane.say(producer, frames.Reply(goal))

    with_plane(claim)


def test_an_endpoint_is_opened_once_and_only_for_what_can_be_served():
    async def claim(plane: Plane) -> None:
        producer = plane.join("c1")
        plane.serve(producer)
        plane.serve(producer)  # again after a reconnect
        for frame in (
            frames.EndpointOpen(1, "service", "zoom", None, (9, 9)),
            frames.EndpointOpen(1, "service", "focus", None, HASHES),
            frames.EndpointOpen(2, "service", "zoom", None, HASHES),
            frames.EndpointOpen(3, "topic", "zoom", None, HASHES),
            frames.EndpointOpen(3, "service", "no name", None, HASHES),
            frames.EndpointOpen(3, "service", "zoom", "no interface", HASHES),
            frames.EndpointOpen(3, "service", "zoom", None, (1, 2, 3, 4)),
        ):
            answer = plane.ask(producer, frame)
            assert isinstance(answer, Failed)
            assert answer.kind == "ProtocolViolation"
        assert plane.ask(producer, frames.EndpointOpen(3, "action", "zoom", None, HASHES)) == EndpointOpened()

    with_plane(claim)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "no name"},
        {"interface": "no interface"},
        {"hashes": (1, 2, 3, 4)},
        {"link_id": "l" * 200},
    ],
)
def test_what_nobody_can_serve_cannot_be_called(fields: dict[str, Any]):
    async def claim(plane: Plane) -> None:
        caller = plane.join("view", "view:v1")
        with pytest.raises(ProtocolViolation):
            plane.call(caller, **fields)
        assert plane.control.in_flight() == 0

    with_plane(claim)
