"""Services between real processes (docs/reference/services_actions.md, cases 1 to 18 and 55; bindings.md, Cases)."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from living import LivingDaemon, assert_nothing_is_left, eventually, halt
from telling import Told, ToldError, write_caller, write_server

from peppy.protocol.frames import NodeStop


class Stack:
    """A daemon, servers s1 to s3, and what calls them: `caller` (main@s1, rest unbound), `seeker` (rest unbound)."""

    def __init__(self, daemon: LivingDaemon, directory: Any) -> None:
        self.daemon = daemon
        self.directory = directory
        self.told: dict[str, Told] = {}
        for source in (
            write_server(directory),
            write_caller(directory),
            write_caller(directory, "seeker", pinned=False),
        ):
            daemon.ready(source)

    def run(self, node: str, instance_id: str, *bindings: tuple[str, str]) -> Told:
        told = Told(self.directory, instance_id)
        self.told[instance_id] = told
        arguments = [tuple(word.split("=", 1)) for word in told.arguments]
        told.pid = self.daemon.run(f"{node}:v1", instance_id, arguments, bindings).pid
        return told.connected()

    def serving(self, instance_id: str, service: str = "echo", **how: Any) -> Told:
        """A server that has just started and serves."""
        told = self.run("server", instance_id)
        told.call("serve", service=service, **how)
        return told

    def stop(self, *instance_ids: str) -> None:
        self.daemon.ask(NodeStop(instance_ids))
        for instance_id in instance_ids:
            self.told.pop(instance_id).close()

    def kill(self, told: Told) -> None:
        """End a server as a crash would, and wait until the daemon knows."""
        os.kill(told.pid, signal.SIGKILL)
        eventually(lambda: self.daemon.instance_row(told.instance_id).state != "running")
        self.told.pop(told.instance_id).close()

    def close(self) -> None:
        for told in self.told.values():
            told.close()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    daemon = LivingDaemon(tmp_path_factory.mktemp("h")).start()
    stack = Stack(daemon, tmp_path_factory.mktemp("nodes"))
    try:
        yield stack
    finally:
        stack.close()
        daemon.end()
    assert_nothing_is_left(daemon.home)


@pytest.fixture(scope="module")
def s1(stack: Stack) -> Told:
    return stack.run("server", "s1")


@pytest.fixture(scope="module")
def caller(stack: Stack, s1: Told) -> Told:
    return stack.run("caller", "c1", ("main", s1.instance_id))


@pytest.fixture(scope="module")
def s2(stack: Stack) -> Told:
    return stack.serving("s2")


@pytest.fixture(scope="module")
def s3(stack: Stack) -> Told:
    return stack.serving("s3")


@pytest.fixture(scope="module")
def all_serve(s1: Told, s2: Told, s3: Told) -> list[Told]:
    """From now on every server serves `echo`."""
    s1.call("serve", service="echo")
    return [s1, s2, s3]


@pytest.fixture(scope="module")
def seeker(stack: Stack) -> Told:
    return stack.run("seeker", "k1")


def handled(told: Told) -> list[int]:
    return told.call("report")["handled"]


# --- one producer ------------------------------------------------------------------------------------------------


def test_a_response_comes_back_with_who_gave_it(stack: Stack, s1: Told, caller: Told):
    serving = s1.ask("serve_one", service="echo")
    core = stack.daemon.ask_core_name()
    assert caller.call("poll", service="main_echo", number=7) == [core, "s1", 7, True]
    assert s1.answer(serving)
    assert s1.call("report")["callers"] == ["c1"]


def test_a_handler_may_be_a_plain_function(s1: Told, caller: Told):
    serving = s1.ask("count_sync")
    assert caller.call("poll", service="main_echo", number=7)[2:] == [8, False]
    assert s1.answer(serving)


def test_without_response_format_poll_returns_none_after_the_handler_has_run(s1: Told, caller: Told):
    serving = s1.ask("serve_one", service="touch")
    assert caller.call("touch", service="main_touch") is None
    assert s1.answer(serving)
    assert handled(s1)[-1] == 0


@pytest.mark.parametrize(
    ("fail", "text"),
    [
        ("raise", "returned error: KeyError: 'x'"),
        ("type", "`Response`, got `str`"),
        ("value", "number"),
    ],
)
def test_a_handler_that_fails_is_a_service_error_and_the_next_request_is_served(
    s1: Told, caller: Told, fail: str, text: str
):
    serving = s1.ask("serve_one", service="echo", fail=fail)
    with pytest.raises(ToldError) as caught:
        caller.call("poll", service="main_echo")
    assert caught.value.name == "ServiceError"
    assert "returned error: " in caught.value.text
    assert text in caught.value.text
    assert s1.answer(serving)
    serving = s1.ask("serve_one", service="echo")
    assert caller.call("poll", service="main_echo", number=8)[2] == 8
    assert s1.answer(serving)


def test_a_timeout_that_is_no_time_is_refused_and_nothing_is_sent(s1: Told, caller: Told):
    before = handled(s1)
    assert caller.call("poll_with_bad_timeouts", service="main_echo") == ["ValueError"] * 3
    serving = s1.ask("serve_one", service="echo")
    assert caller.call("poll", service="main_echo", number=20)[2] == 20
    assert s1.answer(serving)
    assert handled(s1)[len(before) :] == [20]


def test_a_slow_handler_ends_in_a_timeout_and_the_next_poll_works(s1: Told, caller: Told):
    serving = s1.ask("serve_one", service="echo", pause=0.8)
    name, text, seconds = caller.call("timed", service="main_echo", timeout=0.3)
    assert name == "ServiceTimeout"
    assert "service `echo` of `s1`" in text
    assert 0.3 <= seconds < 10
    assert s1.answer(serving)
    serving = s1.ask("serve_one", service="echo")
    assert caller.call("poll", service="main_echo", number=9)[2:] == [9, True]
    assert s1.answer(serving)


def test_a_request_between_two_calls_waits_and_one_whose_caller_gave_up_is_never_handled(s1: Told, caller: Told):
    before = handled(s1)
    waiting = caller.ask("poll", service="main_echo", number=21)
    assert caller.call("timed", service="main_echo", timeout=0.1)[0] == "ServiceTimeout"
    assert caller.call("cancel", service="main_echo", after=0.1)
    last = caller.ask("poll", service="main_echo", number=22)
    touched = s1.ask("serve_one", service="touch")
    caller.call("touch", service="main_touch")  # what was said before it has arrived
    assert s1.answer(touched)
    for _ in range(2):
        assert s1.call("serve_one", service="echo")
    assert caller.answer(waiting)[2] == 21
    assert caller.answer(last)[2] == 22
    assert handled(s1)[len(before) :] == [0, 21, 22]


def test_a_large_request_arrives_whole_and_one_too_large_is_refused_before_it_is_sent(s1: Told, caller: Told):
    serving = s1.ask("serve_one", service="echo")
    assert caller.call("poll", service="main_echo", number=5, size=20 << 20)[2:] == [5, True]
    assert s1.answer(serving)
    before = handled(s1)
    limit = (
        r"ValueError: request of service `echo` of `s1`: the payload has `2694\d{5}` bytes, .*268435456 bytes \(256 MiB"
    )
    with pytest.raises(ToldError, match=limit):
        caller.call("poll", service="main_echo", number=6, size=257 << 20)
    assert handled(s1) == before


def test_a_consumer_built_against_another_response_gets_a_schema_mismatch(caller: Told):
    with pytest.raises(ToldError) as caught:
        caller.call("poll_for_another_response")
    assert caught.value.name == "SchemaMismatch"
    assert all(word in caught.value.text for word in ("`echo`", "server:v1", "caller:v1"))


def test_a_blocked_loop_still_acknowledges(s1: Told, caller: Told):
    serving = s1.ask("serve_one", service="echo")
    assert s1.call("block", seconds=1.0)
    time.sleep(0.1)  # the loop sleeps now
    began = time.monotonic()
    name, _, _ = caller.call("timed", service="main_echo", timeout=0.3)
    assert name == "ServiceTimeout"  # not ServiceUnreachable: it had been acknowledged
    assert caller.call("poll", service="main_echo", number=11)[2] == 11
    assert time.monotonic() - began >= 0.8
    assert s1.answer(serving)


def test_a_serving_loop_serves_one_after_the_other_and_several_loops_at_once(s1: Told, caller: Told):
    s1.call("serve", service="late", pause=0.05)
    before = handled(s1)
    assert caller.call("poll_together", service="main_late", count=5) == list(range(5))
    assert handled(s1)[len(before) :] == list(range(5))
    assert s1.call("report")["most_at_once"] == 1
    s1.call("serve", service="late", pause=0.3, loops=2)
    caller.call("poll_together", service="main_late", count=3)
    assert s1.call("report")["most_at_once"] == 3


# --- several producers -------------------------------------------------------------------------------------------


def test_exactly_one_of_several_producers_handles_a_call(seeker: Told, all_serve: list[Told]):
    assert seeker.call("poll", service="rest_echo", number=77)[2:] == [77, True]
    assert [number for server in all_serve for number in handled(server)].count(77) == 1


def test_a_slot_bound_to_two_never_reaches_the_third(stack: Stack, all_serve: list[Told]):
    before = handled(all_serve[2])
    bound = stack.run("seeker", "k2", ("one", "s1"), ("two", "s2"))
    assert set(bound.call("poll_often", service="rest_echo", count=100)) <= {"s1", "s2"}
    assert handled(all_serve[2]) == before


def test_a_sibling_of_a_pinned_slot_never_reaches_its_producer(caller: Told, all_serve: list[Told]):
    before = handled(all_serve[0])
    assert set(caller.call("poll_often", service="rest_echo", count=20)) <= {"s2", "s3"}
    assert handled(all_serve[0]) == before


def test_a_slot_bound_to_a_claimed_producer_only_reaches_nobody(stack: Stack, s1: Told):
    """bindings.md, case 10."""
    bound = stack.run("caller", "c2", ("main", s1.instance_id), ("foo", s1.instance_id))
    name, text, _ = bound.call("timed", service="rest_echo", timeout=0.2)
    assert name == "ServiceUnreachable"
    assert "`server:v1`" in text


# --- producers come and go ---------------------------------------------------------------------------------------


def test_without_a_producer_a_call_ends_with_its_budget_and_one_that_comes_serves_it(seeker: Told, s2: Told):
    name, text, seconds = seeker.call("timed", service="rest_lone", timeout=0.5)
    assert name == "ServiceUnreachable"
    assert "service `lone` of `server:v1` was not reached within 0.5 s" in text
    assert 0.5 <= seconds < 10
    waiting = seeker.ask("poll", service="rest_lone", number=3, timeout=30.0)
    time.sleep(0.3)  # the call is parked
    s2.call("serve", service="lone")
    assert seeker.answer(waiting)[1] == "s2"


def test_a_stopped_producer_is_not_chosen(seeker: Told, stack: Stack, s3: Told):
    """bindings.md, case 33."""
    stack.stop("s2")
    stopped = stack.serving("s4", "lone")
    halt(stopped.pid)
    try:
        waiting = seeker.ask("poll", service="rest_lone", number=4, timeout=30.0)
        time.sleep(0.3)
        s3.call("serve", service="lone")
        assert seeker.answer(waiting)[1] == "s3"
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    assert handled(stopped) == []


def test_a_pinned_call_outlives_its_producer_until_it_has_been_acknowledged(stack: Stack):
    """Cases 6 and 7; bindings.md, case 34."""
    first = stack.run("server", "s5")
    caller = stack.run("caller", "c5", ("main", "s5"))
    serving = first.ask("serve_one", service="echo", pause=60.0)
    acknowledged = caller.ask("timed", service="main_echo", timeout=60.0)
    eventually(lambda: handled(first) == [1])
    stack.kill(first)
    name, text, seconds = caller.answer(acknowledged)
    assert name == "ServiceTimeout"
    assert "stopped" in text
    assert seconds < 30
    del serving

    down = caller.ask("poll", service="main_echo", number=2, timeout=40.0)
    second = stack.serving("s5")
    assert caller.answer(down)[1:3] == ["s5", 2]

    halt(second.pid)
    unacknowledged = caller.ask("poll", service="main_echo", number=3, timeout=40.0)
    time.sleep(0.2)  # it is on its way to a process that does not run
    stack.kill(second)
    third = stack.serving("s5")
    assert caller.answer(unacknowledged)[1:3] == ["s5", 3]
    assert handled(third) == [3]


def test_requests_that_a_stopping_node_does_not_serve_time_out_at_once(stack: Stack):
    server = stack.run("server", "s6")
    caller = stack.run("caller", "c6", ("main", "s6"))
    assert server.call("serve", service="touch")
    serving = server.ask("serve_one", service="echo")
    assert caller.call("poll", service="main_echo")[2] == 1
    assert server.answer(serving)
    queued = caller.ask("timed", service="main_echo", timeout=60.0)
    time.sleep(0.2)  # it is in the queue
    stack.stop("s6")
    name, _, seconds = caller.answer(queued)
    assert name == "ServiceTimeout"
    assert seconds < 30


# --- the daemon goes ---------------------------------------------------------------------------------------------


def test_calls_outlive_the_daemon_until_they_are_acknowledged(stack: Stack):
    server = stack.run("server", "s7")
    caller = stack.run("caller", "c7", ("main", "s7"))
    server.call("serve", service="echo", pause=60.0)
    acknowledged = caller.ask("timed", service="main_echo", timeout=60.0)
    eventually(lambda: handled(server) == [1])
    parked = caller.ask("poll", service="main_late", number=8, timeout=60.0)
    time.sleep(0.2)  # nobody has it
    stack.daemon.kill()
    name, text, seconds = caller.answer(acknowledged)
    assert name == "ServiceTimeout"
    assert "then the connection to the daemon was lost" in text
    assert seconds < 30
    name, text, seconds = caller.call("timed", service="main_late", timeout=0.3)
    assert name == "ServiceUnreachable"
    assert "no connection to the daemon" in text
    assert 0.3 <= seconds < 10
    stack.daemon.start()
    server.call("serve", service="late")
    assert caller.answer(parked)[1:] == ["s7", 8, True]
    assert handled(server) == [1, 8]
