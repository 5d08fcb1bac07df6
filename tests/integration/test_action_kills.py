"""What is left of a goal when its server, its client or the daemon is killed or stopped
(docs/reference/services_actions.md, Abandonment, Retention and Loss of the daemon)."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from living import assert_nothing_is_left, eventually
from programs import Robot
from telling import Told, ToldError, write_arm, write_pilot

from peppy.runtime.feedback import RINGS_KEPT

RETENTION_SECS = 1.0
CONFIGURATION = f"{{ actions: {{ result_retention_secs: {RETENTION_SECS} }} }}"
WATCHDOG_SECS = 10.0
"""Ten times the second in which nobody may hang."""


class Pair(Robot):
    """A server `s` and a client `c` whose slot `main` is pinned to it; both may be killed and come back."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, write_arm(directory), write_pilot(directory), configuration=CONFIGURATION)
        self.whole()

    def whole(self) -> None:
        """Start who is missing."""
        if self.daemon.process is None:
            self.daemon.start()
        if "s" not in self.instances:
            self.instance("arm", "s").call("expose")
        if "c" not in self.instances:
            self.instance("pilot", "c", "main@s")

    @property
    def server(self) -> Told:
        return self.instances["s"]

    @property
    def client(self) -> Told:
        return self.instances["c"]

    def live(self, **goal: Any) -> tuple[int, str]:
        """A goal whose context the server keeps in a dictionary; number and id."""
        fired = self.client.call("fire", work="keep", **goal)
        eventually(lambda: self.server.call("is_kept", goal=fired["id"]))
        return fired["goal"], fired["id"]

    def deciding(self, arm_id: int) -> int:
        """The call of a goal that the server has begun to decide, until its gate is opened."""
        self.server.call("close_gate")
        asked = self.client.ask("fire", decide="gate", arm_id=arm_id)
        eventually(lambda: f"decided {arm_id}" in self.server.call("said")["heard"])
        return asked

    def restart_daemon(self) -> None:
        self.daemon.kill()
        self.daemon.start()

    def log(self, instance_id: str) -> str:
        return Path(self.daemon.ask_logs(instance_id, "run")).read_text()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("k"))
    yield pair
    pair.close()
    assert_nothing_is_left(pair.daemon.home)


@pytest.fixture
def pair(running: Pair) -> Pair:
    running.whole()
    return running


@pytest.fixture(autouse=True)
def _nobody_hangs() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 2 * WATCHDOG_SECS


def error_of(told: Told, number: int) -> str:
    """The name of the exception that a call has raised."""
    with pytest.raises(ToldError) as raised:
        told.answer(number)
    return raised.value.name


class TestServer:
    def test_killed_while_its_client_waits_for_the_result_and_for_feedback(self, pair: Pair) -> None:
        goal, goal_id = pair.live()
        pair.server.call("publish", goal=goal_id, count=3)
        waiting = pair.client.ask("result", goal=goal)
        reading = pair.client.ask("feedback", goal=goal)
        pair.kill("s")
        assert pair.client.answer(waiting)["status"] == "ABANDONED"
        assert pair.client.answer(reading) == [[1, 0], [1, 1], [1, 2]]

    def test_killed_while_it_decides(self, pair: Pair) -> None:
        asked = pair.deciding(90)
        pair.kill("s")
        assert error_of(pair.client, asked) == "ServiceTimeout"

    def test_killed_while_it_sends_feedback(self, pair: Pair) -> None:
        goal, goal_id = pair.live()
        pair.server.ask("publish", goal=goal_id, count=1_000_000)
        assert pair.client.call("next_feedback", goal=goal) == [1, 0]
        reading = pair.client.ask("feedback", goal=goal)
        pair.kill("s")
        steps = [step for _, step in pair.client.answer(reading)]
        assert steps == list(range(1, len(steps) + 1))

    def test_killed_while_it_completes(self, pair: Pair) -> None:
        goal, goal_id = pair.live(count=4)
        pair.server.ask("complete", goal=goal_id)
        pair.kill("s")
        assert pair.client.call("result", goal=goal)["status"] in {"COMPLETED", "ABANDONED"}
        assert pair.client.call("feedback", goal=goal) == [[1, step] for step in range(4)]

    def test_gone_after_it_completed(self, pair: Pair) -> None:
        goal = pair.client.call("fire", work="complete")["goal"]
        assert pair.client.call("result", goal=goal)["status"] == "COMPLETED"
        pair.kill("s")
        result = pair.client.call("result", goal=goal)
        assert (result["status"], result["data"], result["instance_id"]) == ("COMPLETED", [True, [1, 2, 3]], "s")

    def test_stopped_while_workers_run(self, pair: Pair) -> None:
        tidy = pair.client.call("fire", work="tidy", count=1)["goal"]
        careless = pair.client.call("fire", work="forever", count=1)["goal"]
        for goal in (tidy, careless):
            assert pair.client.call("next_feedback", goal=goal) == [1, 0]  # both work
        waiting = {goal: pair.client.ask("result", goal=goal) for goal in (tidy, careless)}
        pair.stop("s")
        result = pair.client.answer(waiting[tidy])
        assert (result["status"], result["data"]) == ("CANCELLED", [False, [1, 2, 3]])
        assert pair.client.answer(waiting[careless])["status"] == "ABANDONED"
        assert "the loop of move has ended" in pair.log("s")

    def test_stopped_while_it_decides(self, pair: Pair) -> None:
        asked = pair.deciding(91)
        pair.stop("s")
        assert error_of(pair.client, asked) == "ServiceTimeout"


class TestClient:
    def test_killed_with_unread_feedback_holds_nobody_up(self, pair: Pair) -> None:
        before = descriptors(pair.server)
        _, goal_id = pair.live(qos="Reliable")
        pair.server.call("publish", goal=goal_id, count=100)
        publishing = pair.server.ask("publish", goal=goal_id, count=10_000)
        pair.kill("c")
        pair.server.answer(publishing)
        pair.server.call("complete", goal=goal_id)
        assert "overwritten" not in pair.log("s")
        eventually(lambda: descriptors(pair.server) <= before + 6)

    def test_killed_while_its_goal_is_decided(self, pair: Pair) -> None:
        accepted = len(pair.server.call("said")["accepted"])
        pair.deciding(92)
        pair.kill("c")
        pair.server.call("open_gate")
        goal = eventually(lambda: pair.server.call("said")["accepted"][accepted:])[0]
        eventually(lambda: pair.server.call("is_kept", goal=goal))
        eventually(lambda: pair.server.call("is_cancelled", goal=goal))
        pair.server.call("publish", goal=goal, count=1000)  # nobody is waited for
        pair.server.call("complete", goal=goal)


class TestDaemon:
    def test_restarted_while_a_goal_goes_on(self, pair: Pair) -> None:
        goal, goal_id = pair.live()
        waiting = pair.client.ask("result", goal=goal)
        reading = pair.client.ask("feedback", goal=goal)
        pair.restart_daemon()
        pair.server.call("publish", goal=goal_id, count=3)
        assert eventually(lambda: pair.client.call("cancel", goal=goal))["state"] == "SIGNALLED"
        pair.server.call("complete", goal=goal_id)
        assert pair.client.answer(waiting)["status"] == "COMPLETED"
        assert pair.client.answer(reading) == [[1, 0], [1, 1], [1, 2]]

    def test_away_while_the_worker_completes(self, pair: Pair) -> None:
        goal, goal_id = pair.live()
        waiting = pair.client.ask("result", goal=goal)
        reading = pair.client.ask("feedback", goal=goal)
        pair.daemon.kill()
        pair.server.call("publish", goal=goal_id, count=3)
        pair.server.call("complete", goal=goal_id)  # returns without a daemon
        pair.daemon.start()
        result = pair.client.answer(waiting)
        assert (result["status"], result["data"]) == ("COMPLETED", [True, [1, 2, 3]])
        assert pair.client.answer(reading) == [[1, 0], [1, 1], [1, 2]]

    def test_killed_while_a_goal_is_decided(self, pair: Pair) -> None:
        running, _ = pair.live()
        accepted = len(pair.server.call("said")["accepted"])
        asked = pair.deciding(93)
        pair.client.call("cancel", goal=running)  # its answer comes behind the acknowledgement of the other goal
        pair.daemon.kill()
        assert error_of(pair.client, asked) == "ServiceTimeout"
        pair.server.call("open_gate")
        goal = eventually(lambda: pair.server.call("said")["accepted"][accepted:])[0]
        eventually(lambda: pair.server.call("is_kept", goal=goal))
        assert pair.server.call("is_cancelled", goal=goal)
        pair.daemon.start()
        pair.server.call("complete", goal=goal)
        assert eventually(lambda: pair.client.call("fire", work="complete"))["accepted"]


class TestRetention:
    def test_an_outcome_expires_not_before_its_time(self, pair: Pair) -> None:
        goal = pair.client.call("fire", work="complete")["goal"]
        began = time.monotonic()
        while (found := pair.client.call("result", goal=goal))["status"] == "COMPLETED":
            assert time.monotonic() - began < WATCHDOG_SECS
        assert time.monotonic() - began > RETENTION_SECS - 0.2
        assert (found["status"], found["data"], found["instance_id"]) == ("EXPIRED", None, "s")
        assert pair.client.call("cancel", goal=goal)["state"] == "UNKNOWN"


def test_nothing_of_all_these_goals_is_left_in_a_process(pair: Pair) -> None:
    pair.client.call("drop_all")
    pair.server.call("complete_all")
    eventually(lambda: descriptors(pair.client) <= 30 and descriptors(pair.server) <= 30 + 5 * RINGS_KEPT)


def descriptors(told: Told) -> int:
    return len(list(Path(f"/proc/{told.pid}/fd").iterdir()))
