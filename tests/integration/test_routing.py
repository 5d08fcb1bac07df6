"""The cases of docs/reference/bindings.md for services and actions, and cases 14 to 16, 48 and 49 of
docs/reference/services_actions.md, between real processes. The names are those of the former page."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from living import assert_nothing_is_left, eventually, halt
from programs import Robot, sync
from sights import EVERYTHING, ITS_OWN, consumes, slot, write_sight
from telling import Told

CAMERAS = ("c1", "c2", "c3")
LEFT_AND_RIGHT = ("left@c1", "right@c2")
SLOTS_OF_VIEW = f"nodes: [{slot('left', 'cam')}, {slot('right', 'cam')}, {slot('rest', 'cam', from_any=True)}]"
SLOTS_OF_SEEKER = f"nodes: [{slot('any', 'cam', from_any=True)}, {slot('far', 'lamp', from_any=True)}]"
SHORT_SECS = 0.2
"""A budget that is meant to end."""

KINDS = {"service": "call", "action": "goal"}
MEMBERS = {"service": "zoom", "action": "track"}


def use(kind: str, link_id: str, **more: Any) -> dict[str, Any]:
    """What a consumer is told, to call the service or to fire a goal through this slot."""
    return {kind: f"{link_id}_{MEMBERS[kind]}", **more}


class Stage(Robot):
    """Cameras c1 to c3; lamps, microphones and consumers come as tests need them. All producers serve the same."""

    def __init__(self, directory: Path) -> None:
        viewed = consumes(left=EVERYTHING, right=EVERYTHING, rest=EVERYTHING)
        view = write_sight(directory, "view", viewed, SLOTS_OF_VIEW)
        seeker = write_sight(directory, "seeker", consumes(any=EVERYTHING, far=EVERYTHING), SLOTS_OF_SEEKER)
        producers = (write_sight(directory, name, ITS_OWN) for name in ("cam", "mic", "lamp"))
        super().__init__(directory, *producers, view, seeker)
        self.fill()
        self.instance("seeker", "k")

    def fill(self) -> None:
        """Start the cameras that are missing."""
        for instance_id in set(CAMERAS) - self.instances.keys():
            self.producer("cam", instance_id)

    def producer(self, node: str, instance_id: str) -> Told:
        return serving(self.instance(node, instance_id))

    def view(self, *bindings: str) -> Told:
        return self.instance("view", "v", *bindings)

    @property
    def seeker(self) -> Told:
        """Its slot `any` is unbound, and so is `far`, for lamps."""
        return self.instances["k"]

    @contextmanager
    def stopped(self, *instance_ids: str) -> Iterator[None]:
        """These do not run meanwhile."""
        pids = [self.instances[instance_id].pid for instance_id in instance_ids]
        try:
            for pid in pids:
                halt(pid)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def assert_reaches(self, consumer: Told, **slots: str) -> None:
        """Calls and goals through these slots (`rest="c3 c4"`) reach all these producers, each when the others do not
        run, and nobody else when none of them does."""
        for link_id, producers in slots.items():
            expected = producers.split()
            for chosen in expected:
                with self.stopped(*(other for other in expected if other != chosen)):
                    assert all(who(consumer, kind, link_id) == chosen for kind in KINDS)
            with self.stopped(*expected):
                assert failures(consumer, link_id, SHORT_SECS) == ["ServiceUnreachable"] * 2

    def probes(self) -> dict[str, int]:
        """How often each camera was asked whether it is there."""
        return {instance_id: self.instances[instance_id].call("probed") for instance_id in CAMERAS}

    def forget(self) -> None:
        """What was heard so far does not count."""
        for instance_id in CAMERAS:
            self.instances[instance_id].call("report")

    def heard(self, *instance_ids: str) -> list[str]:
        """The members that were used at these producers since the last question."""
        return [said for instance_id in instance_ids for said in self.instances[instance_id].call("report")]


def serving(producer: Any) -> Any:
    producer.call("serve", service="zoom")
    producer.call("expose", action="track")
    return producer


def who(consumer: Told, kind: str, link_id: str) -> str:
    """Who serves a call, or a goal with its feedback and its result."""
    return consumer.call(KINDS[kind], **use(kind, link_id))[0]


def failures(consumer: Told, link_id: str, timeout: float) -> list[str]:
    """How a call and a goal fail that are given so many seconds; none before they are over."""
    asked = [consumer.ask("timed", way=KINDS[kind], **use(kind, link_id, timeout=timeout)) for kind in KINDS]
    found = [consumer.answer(number) for number in asked]
    assert all(seconds >= timeout for _, seconds in found)
    return [name for name, _ in found]


def begin(consumer: Told, link_id: str) -> list[int]:
    """A call and a goal that have time."""
    return [consumer.ask(KINDS[kind], **use(kind, link_id, timeout=60.0)) for kind in KINDS]


def servers(consumer: Told, asked: Sequence[int]) -> list[str]:
    """Who has served them."""
    return [consumer.answer(number)[0] for number in asked]


@pytest.fixture(scope="module")
def _stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("r"))
    yield stage
    stage.close()
    assert_nothing_is_left(stage.daemon.home)


@pytest.fixture
def stage(_stage: Stage) -> Iterator[Stage]:
    """The cameras and the seeker are there for every test, and nothing was heard."""
    _stage.forget()
    yield _stage
    _stage.tidy(*CAMERAS, "k")
    _stage.fill()


# --- who is addressed ------------------------------------------------------------------------------------------------


def test_cases_1_to_3_claimed_producers_are_reached_through_their_slots_only(stage: Stage) -> None:
    stage.assert_reaches(stage.view(*LEFT_AND_RIGHT), left="c1", right="c2", rest="c3")


def test_case_6_one_producer_is_reached_through_two_slots(stage: Stage) -> None:
    stage.assert_reaches(stage.view("left@c1", "right@c1"), left="c1", right="c1", rest="c2 c3")


@pytest.mark.parametrize("key", ["rest", "foo"])
def test_cases_7_and_8_a_bound_from_any_slot_reaches_no_later_producer(stage: Stage, key: str) -> None:
    view = stage.view(*LEFT_AND_RIGHT, f"{key}@c3")
    stage.producer("cam", "c4")
    stage.assert_reaches(view, rest="c3")


def test_case_9_a_from_any_slot_with_two_bindings_reaches_both_and_nobody_else(stage: Stage) -> None:
    stage.producer("cam", "c4")
    view = stage.view(*LEFT_AND_RIGHT, "foo@c3", "bar@c4")
    stage.producer("cam", "c5")
    stage.assert_reaches(view, rest="c3 c4")


def test_case_10_a_slot_bound_to_a_claimed_producer_only_reaches_nobody(stage: Stage) -> None:
    view = stage.view(*LEFT_AND_RIGHT, "foo@c1")
    assert list(view.warnings) == ["slot `rest` is left without a producer"]
    assert failures(view, "rest", SHORT_SECS) == ["ServiceUnreachable"] * 2
    assert stage.heard(*CAMERAS) == []


def test_case_11_one_that_is_left_of_two_bindings_is_called_without_a_probe(stage: Stage) -> None:
    view = stage.view(*LEFT_AND_RIGHT, "foo@c1", "bar@c3")
    before = stage.probes()
    stage.assert_reaches(view, rest="c3")
    assert stage.probes() == before


def test_case_42_every_slot_of_a_standalone_program_reaches_everybody(stage: Stage) -> None:
    sync(stage.daemon, stage.sources["view"])
    stage.assert_reaches(stage.program("view").told, left="c1 c2 c3", rest="c1 c2 c3")


def test_case_44_a_standalone_program_is_reached_through_its_slot_also_after_its_restart(stage: Stage) -> None:
    sync(stage.daemon, stage.sources["cam"])
    program = serving(stage.program("cam", ".with_instance_id('s1')"))
    view = stage.view("left@s1", "right@c2")
    assert [who(view, kind, "left") for kind in KINDS] == ["s1", "s1"]
    assert program.ends(signal.SIGINT)[0] == 0
    asked = begin(view, "left")
    serving(stage.program("cam", ".with_instance_id('s1')"))
    assert servers(view, asked) == ["s1", "s1"]


# --- direct or discovered --------------------------------------------------------------------------------------------


def test_case_27_a_pinned_slot_sends_no_probe_and_its_goal_stays_with_the_producer(stage: Stage) -> None:
    view = stage.view(*LEFT_AND_RIGHT)
    before = stage.probes()
    assert who(view, "service", "left") == "c1"
    goal = view.call("fire", action="left_track")
    assert view.call("feedback", goal=goal) == 0
    assert view.call("cancel", goal=goal) == ["SIGNALLED", "c1"]
    assert view.call("result", goal=goal) == ["CANCELLED", "c1"]
    assert stage.probes() == before
    assert stage.heard("c1") == ["zoom", "track"]
    assert stage.heard("c2", "c3") == []


def test_a_call_through_an_unbound_slot_probes_everybody_and_runs_one_handler(stage: Stage) -> None:
    before = stage.probes()
    who(stage.seeker, "service", "any")
    eventually(lambda: stage.probes() == {instance_id: count + 1 for instance_id, count in before.items()})
    assert stage.heard(*CAMERAS) == ["zoom"]


def test_case_28_a_goal_through_an_unbound_slot_probes_everybody_and_stays_with_the_winner(stage: Stage) -> None:
    before = stage.probes()
    goal = stage.seeker.call("fire", action="any_track")
    assert stage.seeker.call("feedback", goal=goal) == 0
    state, winner = stage.seeker.call("cancel", goal=goal)
    assert state == "SIGNALLED"
    assert stage.seeker.call("result", goal=goal) == ["CANCELLED", winner]
    eventually(lambda: stage.probes() == {instance_id: count + 1 for instance_id, count in before.items()})
    assert stage.heard(winner) == ["track"]
    assert stage.heard(*CAMERAS) == []


def test_of_three_producers_the_one_that_a_slot_is_not_bound_to_never_serves(stage: Stage) -> None:
    bound = stage.instance("seeker", "k2", "one@c1", "two@c2")
    before = stage.probes()
    assert set(bound.call("poll_often", service="any_zoom", count=100)) <= {"c1", "c2"}
    for _ in range(10):
        assert who(bound, "action", "any") in {"c1", "c2"}
    assert len(stage.heard("c1", "c2")) == 110
    assert stage.heard("c3") == []
    assert stage.probes()["c3"] == before["c3"]


# --- producers that end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_case_29_a_winner_that_dies_before_it_is_asked_fails_the_call_and_the_next_one_goes_elsewhere(
    stage: Stage, kind: str
) -> None:
    others = ("c2", "c3")
    stage.instances["c1"].call("die_when_probed")
    with stage.stopped(*others):
        name, seconds = stage.seeker.call("timed", way=KINDS[kind], **use(kind, "any", timeout=60.0))
        assert name == "ServiceUnreachable"
        assert seconds < 30  # long before its budget ends
    stage.lose("c1")
    assert who(stage.seeker, kind, "any") in others
    assert stage.heard(*others) == [MEMBERS[kind]]


def test_case_30_a_winner_that_dies_after_it_has_accepted_abandons_the_goal_and_the_others_run_nothing(
    stage: Stage,
) -> None:
    goal = stage.seeker.call("fire", action="any_track")
    assert stage.seeker.call("feedback", goal=goal) == 0
    (winner,) = [instance_id for instance_id in CAMERAS if stage.heard(instance_id)]
    waiting = stage.seeker.ask("result", goal=goal)
    stage.kill(winner)
    assert stage.seeker.answer(waiting) == ["ABANDONED", winner]
    assert stage.seeker.call("feedback", goal=goal) is None
    assert stage.heard(*(instance_id for instance_id in CAMERAS if instance_id != winner)) == []


def test_cases_31_to_33_without_a_healthy_producer_a_call_waits_for_one(stage: Stage) -> None:
    assert failures(stage.seeker, "far", 0.5) == ["ServiceUnreachable"] * 2
    asked = begin(stage.seeker, "far")
    first = stage.producer("lamp", "l1")
    assert servers(stage.seeker, asked) == ["l1", "l1"]
    first.call("report")
    with stage.stopped("l1"):
        asked = begin(stage.seeker, "far")
        stage.producer("lamp", "l2")
        assert servers(stage.seeker, asked) == ["l2", "l2"]
    assert first.call("report") == []


def test_cases_34_and_35_a_pinned_producer_that_returns_serves_what_waits_and_its_slot_only(stage: Stage) -> None:
    view = stage.view(*LEFT_AND_RIGHT)
    stage.stop("c1")
    asked = begin(view, "left")
    stage.producer("cam", "c1")
    assert servers(view, asked) == ["c1", "c1"]
    stage.assert_reaches(view, left="c1", rest="c3")


def test_case_36_a_successor_under_another_id_is_reached_through_the_wildcard_only(stage: Stage) -> None:
    view = stage.view(*LEFT_AND_RIGHT)
    stage.stop("c1")
    stage.producer("cam", "c9")
    stage.assert_reaches(view, left="", rest="c3 c9")


def test_case_37_an_id_that_returns_as_another_node_is_not_reached(stage: Stage) -> None:
    view = stage.view(*LEFT_AND_RIGHT)
    stage.stop("c1")
    microphone = stage.producer("mic", "c1")
    stage.assert_reaches(view, left="", rest="c3")
    assert microphone.call("report") == []
    stage.stop("c1")


def test_case_43_calls_wait_for_the_next_daemon_and_the_filters_stay(stage: Stage) -> None:
    view = stage.view(*LEFT_AND_RIGHT)
    stage.daemon.kill()
    asked = [number for link_id in ("left", "right", "rest") for number in begin(view, link_id)]
    view.call("report")  # it begins what it is told in order: they have met no daemon
    stage.daemon.start()
    assert servers(view, asked) == ["c1", "c1", "c2", "c2", "c3", "c3"]
    eventually(lambda: all(stage.daemon.instance_row(instance_id).healthy for instance_id in stage.instances))
    stage.assert_reaches(view, left="c1", right="c2", rest="c3")
