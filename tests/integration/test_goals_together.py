"""Goals that run side by side keep to themselves, and a server goes on after its own faults
(docs/reference/services_actions.md, cases 8, 22, 24, 26 and 43; docs/reference/qos.md, Feedback)."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from living import assert_nothing_is_left, eventually
from programs import Robot
from telling import Told, ToldError, write_arm, write_pilot

BOUND_SECS = 2.0


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    """The slot `main` of `p` is pinned to `a`."""
    directory: Path = tmp_path_factory.mktemp("g")
    configuration = f"{{ reliable: {{ publish_timeout_secs: {BOUND_SECS} }} }}"
    robot = Robot(directory, write_arm(directory), write_pilot(directory), configuration=configuration)
    robot.instance("arm", "a").call("expose")
    robot.instance("pilot", "p", "main@a")
    yield robot
    robot.close()
    assert_nothing_is_left(robot.daemon.home)


@pytest.fixture
def arm(robot: Robot) -> Told:
    return robot.instances["a"]


@pytest.fixture
def pilot(robot: Robot) -> Told:
    return robot.instances["p"]


def test_two_goals_at_once_have_their_own_feedback_their_own_cancel_and_their_own_result(
    arm: Told, pilot: Told
) -> None:
    one = pilot.call("fire", work="keep", arm_id=1)
    two = pilot.call("fire", work="cancel", arm_id=2)
    results = {goal["goal"]: pilot.ask("result", goal=goal["goal"]) for goal in (one, two)}
    reading = pilot.ask("next_feedback", goal=two["goal"])
    eventually(lambda: arm.call("is_kept", goal=one["id"]))
    arm.call("publish", goal=one["id"], count=2)
    assert [pilot.call("next_feedback", goal=one["goal"]) for _ in range(2)] == [[1, 0], [1, 1]]
    assert pilot.call("cancel", goal=two["goal"])["state"] == "SIGNALLED"
    cancelled = pilot.answer(results[two["goal"]])
    assert (cancelled["status"], cancelled["data"]) == ("CANCELLED", [False, [0, 0, 0]])
    assert pilot.answer(reading) == "closed"
    assert not arm.call("is_cancelled", goal=one["id"])
    arm.call("complete", goal=one["id"])
    completed = pilot.answer(results[one["goal"]])
    assert (completed["status"], completed["data"]) == ("COMPLETED", [True, [1, 2, 3]])


def test_a_goal_is_cancelled_while_another_one_is_decided(arm: Told, pilot: Told) -> None:
    running = pilot.call("fire", work="cancel")["goal"]
    arm.call("close_gate")
    decided = pilot.ask("fire", decide="gate", work="complete", arm_id=30)
    eventually(lambda: "decided 30" in arm.call("said")["heard"])
    assert pilot.call("cancel", goal=running)["state"] == "SIGNALLED"
    assert pilot.call("result", goal=running)["status"] == "CANCELLED"
    arm.call("open_gate")
    assert pilot.answer(decided)["accepted"]


@pytest.mark.parametrize("fault", ["raise", "none"])
def test_after_a_decider_that_failed_the_next_goal_is_decided_and_worked_on(pilot: Told, fault: str) -> None:
    assert not pilot.call("fire", decide=fault)["accepted"]
    goal = pilot.call("fire", work="complete", count=1)["goal"]
    assert pilot.call("result", goal=goal)["status"] == "COMPLETED"
    assert pilot.call("feedback", goal=goal) == [[1, 0]]


def test_a_second_end_of_a_goal_is_no_error_at_the_server(arm: Told, pilot: Told) -> None:
    before = arm.call("said")["errors"]
    result = pilot.call("result", goal=pilot.call("fire", work="twice")["goal"])
    assert (result["status"], result["data"]) == ("COMPLETED", [True, [1, 2, 3]])
    assert pilot.call("result", goal=pilot.call("fire", work="raise")["goal"])["status"] == "ABANDONED"
    assert arm.call("said")["errors"] == [*before, "ValueError('the worker fails')"]  # an error would be told


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), float("inf")])
def test_a_goal_with_a_timeout_that_is_no_time_is_refused_and_not_sent(arm: Told, pilot: Told, timeout: float) -> None:
    with pytest.raises(ToldError) as refused:
        pilot.call("fire", work="complete", arm_id=40, timeout=timeout)
    assert refused.value.name == "ValueError"
    assert pilot.call("fire", work="complete", arm_id=41)["accepted"]  # what was sent before it has arrived
    assert "decided 40" not in arm.call("said")["heard"]


@pytest.mark.parametrize(("qos", "waits"), [("SensorData", 0), ("Reliable", 1)])
def test_a_client_that_never_reads_delays_a_lossless_worker_once_and_another_never(
    arm: Told, pilot: Told, qos: str, waits: int
) -> None:
    goal = pilot.call("fire", work="keep", qos=qos)
    eventually(lambda: arm.call("is_kept", goal=goal["id"]))
    began = time.monotonic()
    for _ in range(2):
        arm.call("publish", goal=goal["id"], count=500)
    assert waits * BOUND_SECS <= time.monotonic() - began < (waits + 1) * BOUND_SECS
    arm.call("complete", goal=goal["id"])
    assert pilot.call("result", goal=goal["goal"])["status"] == "COMPLETED"
    messages = pilot.call("feedback", goal=goal["goal"])
    assert len(messages) + pilot.call("lost", goal=goal["goal"]) == 1000
    assert messages[-1] == [1, 499]
