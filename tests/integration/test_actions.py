"""Goals between real nodes: the cases of docs/reference/services_actions.md from a decision to an outcome, and those of
docs/reference/qos.md for feedback. What happens when a process is killed is in test_action_kills.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from living import assert_nothing_is_left, eventually
from programs import Robot
from telling import Told, ToldError, write_arm, write_pilot

BOUND_SECS = 0.5
CONFIGURATION = f"{{ reliable: {{ publish_timeout_secs: {BOUND_SECS} }} }}"
RESULT = [True, [1, 2, 3]]


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    """`a1` is what the slot `main` of `p` is pinned to; its slot `rest` is unbound and admits `a2` and `a3`."""
    directory = tmp_path_factory.mktemp("r")
    robot = Robot(directory, write_arm(directory), write_pilot(directory), configuration=CONFIGURATION)
    for arm in ("a1", "a2", "a3"):
        robot.instance("arm", arm).call("expose")
    for name in ("calibrate", "note"):
        robot.instances["a1"].call("expose", name=name)
    robot.instance("pilot", "p", "main@a1")
    yield robot
    robot.close()
    assert_nothing_is_left(robot.daemon.home)


@pytest.fixture
def arm(robot: Robot) -> Told:
    return robot.instances["a1"]


@pytest.fixture
def pilot(robot: Robot) -> Told:
    return robot.instances["p"]


def live(pilot: Told, **goal: Any) -> tuple[int, str]:
    """A goal whose worker keeps its context in a dictionary and returns; number and id."""
    fired = pilot.call("fire", work="keep", **goal)
    return fired["goal"], fired["id"]


def status(pilot: Told, goal: int) -> str:
    return pilot.call("result", goal=goal)["status"]


class TestDeciding:
    def test_an_accepted_goal_says_so_without_a_reason(self, pilot: Told) -> None:
        fired = pilot.call("fire", work="complete")
        assert fired["accepted"] is True
        assert fired["error_message"] is None

    def test_a_rejected_goal_carries_its_reason_and_the_next_one_is_decided(self, pilot: Told) -> None:
        fired = pilot.call("fire", decide="arm 7 is already moving")
        assert (fired["accepted"], fired["error_message"]) == (False, "arm 7 is already moving")
        assert pilot.call("fire", work="complete")["accepted"]

    def test_the_handle_of_a_rejected_goal_has_no_feedback_no_result_and_nothing_to_cancel(self, pilot: Told) -> None:
        goal = pilot.call("fire", decide="no")["goal"]
        assert pilot.call("next_feedback", goal=goal) == "closed"
        with pytest.raises(ToldError, match="goal was rejected: no") as refused:
            pilot.call("result", goal=goal)
        assert refused.value.name == "GoalRejected"
        assert pilot.call("cancel", goal=goal)["state"] == "UNKNOWN"

    def test_a_decider_that_raises_rejects_with_its_text(self, pilot: Told) -> None:
        fired = pilot.call("fire", decide="raise")
        assert (fired["accepted"], fired["error_message"]) == (False, "KeyError: 'no such arm'")

    def test_a_decider_that_returns_none_is_told_what_it_must_return(self, pilot: Told) -> None:
        fired = pilot.call("fire", decide="none")
        assert not fired["accepted"]
        assert "GoalResponse" in fired["error_message"]

    def test_a_long_reason_is_cut(self, pilot: Told) -> None:
        assert pilot.call("fire", decide="r" * 5000)["error_message"] == "r" * 4096

    def test_an_empty_reason_is_legal(self, pilot: Told) -> None:
        fired = pilot.call("fire", decide="")
        assert (fired["accepted"], fired["error_message"]) == (False, "")

    def test_a_busy_arm_is_refused_until_its_goal_is_done(self, pilot: Told) -> None:
        first = pilot.call("fire", decide="busy", work="cancel", arm_id=7)
        second = pilot.call("fire", decide="busy", work="complete", arm_id=7)
        assert (first["accepted"], second["accepted"]) == (True, False)
        assert second["error_message"] == "arm 7 is already moving"
        pilot.call("cancel", goal=first["goal"])
        assert status(pilot, first["goal"]) == "CANCELLED"
        assert eventually(lambda: pilot.call("fire", decide="busy", work="complete", arm_id=7)["accepted"])

    def test_a_decider_that_takes_time_holds_up_no_running_goal(self, arm: Told, pilot: Told) -> None:
        running, _ = live(pilot)
        arm.call("close_gate")
        slow = pilot.ask("fire", decide="gate", work="complete")
        assert pilot.call("cancel", goal=running)["state"] == "SIGNALLED"
        arm.call("open_gate")
        assert pilot.answer(slow)["accepted"]

    def test_goals_are_decided_in_the_order_in_which_they_came(self, arm: Told, pilot: Told) -> None:
        arm.call("close_gate")
        before = len(arm.call("said")["heard"])
        asked = [pilot.ask("fire", decide="gate", work="complete", arm_id=arm_id) for arm_id in (50, 51, 52)]
        arm.call("open_gate")
        assert all(pilot.answer(number)["accepted"] for number in asked)
        decided = [said for said in arm.call("said")["heard"][before:] if said.startswith("decided")]
        assert decided == ["decided 50", "decided 51", "decided 52"]

    def test_a_second_expose_of_an_action_is_refused(self, arm: Told) -> None:
        with pytest.raises(ToldError, match="`move`") as refused:
            arm.call("expose")
        assert refused.value.name == "RuntimeError"

    def test_an_action_without_payloads_takes_and_gives_none(self, arm: Told, pilot: Told) -> None:
        fired = pilot.call("fire_calibrate")
        assert fired["accepted"]
        assert status(pilot, fired["goal"]) == "COMPLETED"
        assert "data False" in arm.call("said")["heard"]

    def test_a_goal_whose_client_gave_up_during_the_decider_begins_cancelled(self, arm: Told, pilot: Told) -> None:
        arm.call("close_gate")
        before = len(arm.call("said")["accepted"])
        with pytest.raises(ToldError) as late:
            pilot.call("fire", decide="gate", work="keep", timeout=1.0)
        assert late.value.name == "ServiceTimeout"
        arm.call("open_gate")
        goal = eventually(lambda: arm.call("said")["accepted"][before:])[0]
        eventually(lambda: arm.call("is_kept", goal=goal))
        assert arm.call("is_cancelled", goal=goal)
        arm.call("complete", goal=goal)

    def test_a_goal_whose_client_gave_up_before_the_decider_is_never_decided(self, arm: Told, pilot: Told) -> None:
        arm.call("close_gate")
        first = pilot.ask("fire", decide="gate", work="complete", arm_id=60)
        eventually(lambda: "decided 60" in arm.call("said")["heard"])
        with pytest.raises(ToldError):
            pilot.call("fire", work="complete", arm_id=61, timeout=0.2)
        arm.call("open_gate")
        assert pilot.answer(first)["accepted"]
        assert pilot.call("fire", work="complete", arm_id=62)["accepted"]
        assert "decided 61" not in arm.call("said")["heard"]


class TestCancelling:
    def test_a_goal_is_never_unknown_once_it_was_fired(self, pilot: Told) -> None:
        assert {pilot.call("fire_and_cancel") for _ in range(20)} == {"SIGNALLED"}

    def test_a_worker_that_waits_for_the_signal_ends_as_cancelled(self, arm: Told, pilot: Told) -> None:
        goal = pilot.call("fire", work="cancel")["goal"]
        assert pilot.call("cancel", goal=goal) == {"state": "SIGNALLED", "instance_id": "a1"}
        result = pilot.call("result", goal=goal)
        assert (result["status"], result["data"]) == ("CANCELLED", [False, [0, 0, 0]])
        assert "cancelled True" in arm.call("said")["heard"]

    def test_a_worker_may_ignore_a_cancel(self, arm: Told, pilot: Told) -> None:
        goal, goal_id = live(pilot)
        assert pilot.call("cancel", goal=goal)["state"] == "SIGNALLED"
        assert pilot.call("cancel", goal=goal)["state"] == "SIGNALLED"
        arm.call("complete", goal=goal_id)
        assert status(pilot, goal) == "COMPLETED"

    def test_a_goal_that_has_ended_is_already_terminal(self, pilot: Told) -> None:
        goal = pilot.call("fire", work="complete")["goal"]
        assert status(pilot, goal) == "COMPLETED"
        assert pilot.call("cancel", goal=goal)["state"] == "ALREADY_TERMINAL"

    def test_a_pending_read_a_cancel_and_a_question_for_the_result_do_not_wait_for_each_other(
        self, arm: Told, pilot: Told
    ) -> None:
        goal, goal_id = live(pilot)
        reading = pilot.ask("next_feedback", goal=goal)
        asking = pilot.ask("result", goal=goal)
        assert pilot.call("cancel", goal=goal)["state"] == "SIGNALLED"
        arm.call("publish", goal=goal_id, count=1)
        assert pilot.answer(reading) == [1, 0]
        arm.call("complete", goal=goal_id)
        assert pilot.answer(asking)["status"] == "COMPLETED"


class TestResults:
    def test_a_result_carries_its_data_and_its_producer(self, pilot: Told) -> None:
        result = pilot.call("result", goal=pilot.call("fire", work="complete")["goal"])
        assert (result["status"], result["data"], result["instance_id"]) == ("COMPLETED", RESULT, "a1")

    def test_a_large_result_travels_beside_its_frame(self, pilot: Told) -> None:
        goal = pilot.call("fire", work="large")["goal"]
        assert [pilot.call("result", goal=goal)["bytes"] for _ in range(2)] == [300_000, 300_000]

    def test_questions_wait_until_the_goal_ends_and_all_get_the_same(self, arm: Told, pilot: Told) -> None:
        goal, goal_id = live(pilot)
        asked = [pilot.ask("result", goal=goal) for _ in range(3)]
        arm.call("complete", goal=goal_id)
        found = [pilot.answer(number) for number in asked]
        assert found[0]["status"] == "COMPLETED"
        assert found[1] == found[2] == found[0] == pilot.call("result", goal=goal)

    def test_a_question_may_be_given_up_and_asked_again(self, arm: Told, pilot: Told) -> None:
        goal, goal_id = live(pilot)
        with pytest.raises(ToldError) as late:
            pilot.call("result", goal=goal, timeout=0.2)
        assert late.value.name == "ServiceTimeout"
        arm.call("complete", goal=goal_id)
        assert status(pilot, goal) == "COMPLETED"

    def test_the_first_end_of_a_goal_counts(self, pilot: Told) -> None:
        result = pilot.call("result", goal=pilot.call("fire", work="twice")["goal"])
        assert (result["status"], result["data"]) == ("COMPLETED", RESULT)

    def test_a_wrong_result_names_the_field_and_the_goal_stays_live(self, arm: Told, pilot: Told) -> None:
        fired = pilot.call("fire", work="wrong")
        eventually(lambda: any("position" in said for said in arm.call("said")["heard"]))
        assert pilot.call("cancel", goal=fired["goal"])["state"] == "SIGNALLED"
        arm.call("complete", goal=fired["id"])
        assert status(pilot, fired["goal"]) == "COMPLETED"


class TestAbandoning:
    def test_a_worker_that_returns_abandons_its_goal_while_the_accept_loop_still_names_it(self, pilot: Told) -> None:
        goal = pilot.call("fire", work="return", count=2)["goal"]
        assert status(pilot, goal) == "ABANDONED"
        assert pilot.call("feedback", goal=goal) == [[1, 0], [1, 1]]

    def test_a_context_in_a_dictionary_may_be_completed_later(self, arm: Told, pilot: Told) -> None:
        goal, goal_id = live(pilot)
        with pytest.raises(ToldError):
            pilot.call("result", goal=goal, timeout=0.7)
        arm.call("complete", goal=goal_id)
        assert status(pilot, goal) == "COMPLETED"

    def test_a_context_that_is_forgotten_is_abandoned(self, arm: Told, pilot: Told) -> None:
        goal, goal_id = live(pilot)
        eventually(lambda: arm.call("is_kept", goal=goal_id))
        arm.call("forget", goal=goal_id)
        assert status(pilot, goal) == "ABANDONED"

    def test_a_worker_that_raises_abandons_its_goal_though_its_error_is_stored(self, pilot: Told) -> None:
        assert status(pilot, pilot.call("fire", work="raise")["goal"]) == "ABANDONED"

    def test_a_worker_that_nobody_stored_survives_a_collection(self, arm: Told, pilot: Told) -> None:
        goal = pilot.call("fire", work="cancel")["goal"]
        arm.call("collect")
        assert pilot.call("cancel", goal=goal)["state"] == "SIGNALLED"
        assert status(pilot, goal) == "CANCELLED"


class TestFeedback:
    def test_everything_sent_before_the_end_is_read_after_it(self, pilot: Told) -> None:
        goal = pilot.call("fire", work="complete", count=5)["goal"]
        assert status(pilot, goal) == "COMPLETED"
        assert pilot.call("feedback", goal=goal) == [[1, step] for step in range(5)]
        assert [pilot.call("next_feedback", goal=goal) for _ in range(2)] == ["closed", "closed"]

    def test_no_goal_sees_the_messages_of_another(self, pilot: Told) -> None:
        found = pilot.call("fire_many", goals=200, count=50)
        assert found == {"right": 200, "statuses": ["COMPLETED"], "lost": 0}

    def test_messages_of_any_size_up_to_the_ring_arrive(self, pilot: Told) -> None:
        goal = pilot.call("fire_note", count=3, size=40_000)["goal"]
        assert pilot.call("notes", goal=goal) == [40_000] * 3

    def test_a_cancelled_read_loses_no_message(self, arm: Told, pilot: Told) -> None:
        goal, goal_id = live(pilot)
        assert pilot.call("cancelled_read", goal=goal)
        reads = [pilot.ask("next_feedback", goal=goal) for _ in range(3)]
        arm.call("publish", goal=goal_id, count=3)
        assert [pilot.answer(number) for number in reads] == [[1, 0], [1, 1], [1, 2]]
        arm.call("complete", goal=goal_id)

    def test_reliable_feedback_waits_for_a_client_that_reads_late(self, arm: Told, pilot: Told) -> None:
        goal, goal_id = live(pilot, qos="Reliable")
        publishing = arm.ask("publish", goal=goal_id, count=1000)
        first = pilot.call("next_feedback", goal=goal)
        reading = pilot.ask("feedback", goal=goal)
        arm.answer(publishing)
        arm.call("complete", goal=goal_id)
        assert [first, *pilot.answer(reading)] == [[1, step] for step in range(1000)]
        assert pilot.call("lost", goal=goal) == 0

    def test_a_client_that_never_reads_delays_a_reliable_worker_once(self, robot: Robot, pilot: Told) -> None:
        fired = pilot.call("fire", work="complete", count=1000, qos="Reliable")
        assert status(pilot, fired["goal"]) == "COMPLETED"
        log = Path(robot.daemon.ask_logs("a1", "run")).read_text()
        warnings = [line for line in log.splitlines() if fired["id"] in line]
        assert len(warnings) == 1
        assert "`p`" in warnings[0]
        messages = pilot.call("feedback", goal=fired["goal"])
        assert len(messages) + pilot.call("lost", goal=fired["goal"]) == 1000
        assert messages == [[1, step] for step in range(1000 - len(messages), 1000)]

    def test_sensor_data_feedback_never_waits(self, pilot: Told) -> None:
        goal = pilot.call("fire", work="complete", count=1000, qos="SensorData")["goal"]
        assert status(pilot, goal) == "COMPLETED"
        assert pilot.call("feedback", goal=goal)[-1:] == [[1, 999]]
        assert pilot.call("lost", goal=goal) > 0

    def test_a_dropped_handle_holds_nobody_up(self, arm: Told, pilot: Told) -> None:
        goal, goal_id = live(pilot, qos="Reliable")
        pilot.call("drop", goal=goal)
        arm.call("publish", goal=goal_id, count=1000)
        arm.call("complete", goal=goal_id)
        again = pilot.call("fire", work="complete", count=3, qos="Reliable")["goal"]
        assert pilot.call("feedback", goal=again) == [[1, 0], [1, 1], [1, 2]]


class TestRouting:
    def test_one_of_two_servers_decides_and_stays_with_the_goal(self, robot: Robot, pilot: Told) -> None:
        before = {name: len(robot.instances[name].call("said")["heard"]) for name in ("a1", "a2", "a3")}
        goal = pilot.call("fire", slot="rest", work="cancel", count=1)["goal"]
        chosen = pilot.call("cancel", goal=goal)["instance_id"]
        assert chosen in {"a2", "a3"}
        assert pilot.call("feedback", goal=goal) == [[1, 0]]
        assert pilot.call("result", goal=goal)["instance_id"] == chosen
        decided = {name for name, count in before.items() if len(robot.instances[name].call("said")["heard"]) > count}
        assert decided == {chosen}


class TestEnds:
    def test_hundreds_of_goals_live_side_by_side_and_no_descriptor_stays(self, arm: Told, pilot: Told) -> None:
        pilot.call("drop_all")
        arm.call("complete_all")
        goals = pilot.call("hold_many", goals=400)
        assert pilot.call("cancel_all", goals=goals) == ["SIGNALLED"]
        assert arm.call("complete_all") == 400
        pilot.call("drop_all")
        eventually(lambda: descriptors(arm) <= 150 and descriptors(pilot) <= 50, "few descriptors")

    def test_an_action_whose_handle_is_dropped_is_served_no_more(self, arm: Told, pilot: Told) -> None:
        arm.call("drop_action", name="calibrate")
        answers = {answer_of(pilot) for _ in range(3)}
        assert answers <= {"action server closed", "ServiceUnreachable"}
        assert "ServiceUnreachable" in answers
        arm.call("expose", name="calibrate")
        assert pilot.call("fire_calibrate")["accepted"]


def answer_of(pilot: Told) -> str:
    """What a goal for `calibrate` meets that is not accepted."""
    try:
        return pilot.call("fire_calibrate", timeout=0.2)["error_message"]
    except ToldError as error:
        return error.name


def descriptors(told: Told) -> int:
    return len(list(Path(f"/proc/{told.pid}/fd").iterdir()))
