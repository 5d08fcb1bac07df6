"""Topics that wait for their readers, between real node processes (docs/reference/qos.md, Back-pressure)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from living import LivingDaemon, assert_nothing_is_left, configure, eventually
from telling import Told, ToldError, write_commander, write_follower

from peppy.protocol.frames import NodeStop

DEPTH = 16
BOUND_SECS = 2.0


class Stack:
    """A daemon with commanders and followers that do what a test tells them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        settings = f"reliable: {{ publish_timeout_secs: {BOUND_SECS} }}"
        depths = f"topics: {{ depth: {{ reliable: {DEPTH}, critical: {DEPTH} }} }}"
        configure(directory / "home", f"{{ {settings}, {depths} }}")
        self.daemon = LivingDaemon(directory / "home").start()
        self.told: list[Told] = []
        for source in (write_commander(directory), write_follower(directory)):
            self.daemon.ready(source)

    def run(self, node: str, instance_id: str) -> Told:
        told = Told(self.directory, instance_id)
        self.told.append(told)
        arguments = [(key, value) for key, _, value in (word.partition("=") for word in told.arguments)]
        told.pid = self.daemon.run(f"{node}:v1", instance_id, arguments).pid
        return told.connected()

    def forget(self, told: Told) -> None:
        told.close()
        self.told.remove(told)

    def stop_all(self) -> None:
        if self.told:
            self.daemon.ask(NodeStop(tuple(told.instance_id for told in self.told)))
        for told in list(self.told):
            self.forget(told)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("s"))
    try:
        yield stack
    finally:
        stack.daemon.end()
        for told in list(stack.told):
            stack.forget(told)
    assert_nothing_is_left(stack.daemon.home)


@pytest.fixture
def run(stack: Stack) -> Iterator[Callable[..., Told]]:
    """Start instances that are stopped after the test."""
    yield stack.run
    stack.stop_all()


def numbers(messages: list[Any]) -> list[int]:
    assert all(whole for _, _, whole in messages)
    return [number for _, number, _ in messages]


def waits(commander: Told, topic: str = "sure") -> int:
    return commander.call("stats", topic=topic)["waits"]


def filled(run: Callable[..., Told]) -> tuple[Told, Told]:
    """A commander whose stream has no room, and the follower that does not read it."""
    follower, commander = run("follower", "f1"), run("commander", "c1")
    follower.call("subscribe", topic="any_sure")
    assert commander.call("emit", topic="sure", count=DEPTH) == DEPTH
    eventually(lambda: commander.call("stats", topic="sure")["readers"] == 1)
    return commander, follower


def test_a_slow_reader_gets_every_message_in_order(run: Callable[..., Told]) -> None:
    follower, commander = run("follower", "f1"), run("commander", "c1")
    follower.call("subscribe", topic="any_sure")
    emitting = commander.ask("emit", topic="sure", count=100)
    assert numbers(follower.call("take_slowly", last=100, pause=0.01)) == list(range(1, 101))
    assert commander.answer(emitting) == 100
    assert follower.call("stats")["lost"] == 0
    assert waits(commander) > 0


def test_a_reader_that_stops_reading_is_named_at_the_bound_and_loses_nothing(run: Callable[..., Told]) -> None:
    commander, follower = filled(run)
    begun = time.monotonic()
    with pytest.raises(ToldError) as caught:
        commander.call("emit", topic="sure")
    assert time.monotonic() - begun >= BOUND_SECS
    assert caught.value.name == "PublishTimeout"
    assert f"topic `sure`: reader `f1` is `{DEPTH}` messages behind" in caught.value.text
    emitting = commander.ask("emit", topic="sure", count=20)
    assert numbers(follower.call("take_until", last=DEPTH + 20)) == list(range(1, DEPTH + 21))
    commander.answer(emitting)
    assert commander.call("stats", topic="sure")["timeouts"] == 1


def test_a_killed_reader_lets_the_waiting_writer_go_on(stack: Stack, run: Callable[..., Told]) -> None:
    commander, follower = filled(run)
    emitting = commander.ask("emit", topic="sure")
    eventually(lambda: waits(commander) == 1)
    os.kill(follower.pid, signal.SIGKILL)
    stack.forget(follower)
    assert commander.answer(emitting) == DEPTH + 1
    assert commander.call("stats", topic="sure")["timeouts"] == 0


def test_a_killed_reader_lets_go_although_the_daemon_is_dead(stack: Stack, run: Callable[..., Told]) -> None:
    commander, follower = filled(run)
    stack.daemon.kill()
    try:
        emitting = commander.ask("emit", topic="sure")
        eventually(lambda: waits(commander) == 1)
        os.kill(follower.pid, signal.SIGKILL)
        stack.forget(follower)
        assert commander.answer(emitting) == DEPTH + 1
    finally:
        stack.daemon.start()
    eventually(lambda: stack.daemon.instance_row("c1").state == "running")
    another = run("follower", "f2")  # the stream that the next daemon was told of is as good
    another.call("subscribe", topic="any_sure")
    eventually(lambda: commander.call("stats", topic="sure")["readers"] == 1)
    emitting = commander.ask("emit", topic="sure", count=2 * DEPTH)
    found = numbers(another.call("take_until", last=3 * DEPTH + 1))
    assert found == list(range(found[0], 3 * DEPTH + 2))
    commander.answer(emitting)


def test_a_reader_that_ends_lets_the_waiting_writer_go_on(run: Callable[..., Told]) -> None:
    commander, follower = filled(run)
    emitting = commander.ask("emit", topic="sure")
    eventually(lambda: waits(commander) == 1)
    follower.call("close")
    assert commander.answer(emitting) == DEPTH + 1


def test_a_stopped_reader_is_waited_for_and_misses_nothing(run: Callable[..., Told]) -> None:
    commander, follower = filled(run)
    os.kill(follower.pid, signal.SIGSTOP)
    try:
        with pytest.raises(ToldError, match="PublishTimeout"):
            commander.call("emit", topic="sure")
    finally:
        os.kill(follower.pid, signal.SIGCONT)
    emitting = commander.ask("emit", topic="sure")
    assert numbers(follower.call("take_until", last=DEPTH + 1)) == list(range(1, DEPTH + 2))
    commander.answer(emitting)


def test_two_producers_of_one_slot_both_wait_for_its_reader(run: Callable[..., Told]) -> None:
    follower, one, two = run("follower", "f1"), run("commander", "c1"), run("commander", "c2")
    follower.call("subscribe", topic="any_sure")
    emitting = [(one, one.ask("emit", topic="sure", count=60)), (two, two.ask("emit", topic="sure", count=60))]
    found = [follower.call("next") for _ in range(120)]
    for producer in ("c1", "c2"):
        assert [number for whose, number, _ in found if whose == producer] == list(range(1, 61))
    for commander, number in emitting:
        assert commander.answer(number) == 60
    assert follower.call("stats")["lost"] == 0


def test_a_cancelled_emit_has_written_nothing(run: Callable[..., Told]) -> None:
    commander, follower = filled(run)
    assert commander.call("emit_cancelled", topic="sure", seconds=0.2) == "TimeoutError"
    assert commander.call("stats", topic="sure")["published"] == DEPTH
    assert numbers(follower.call("take_all")) == list(range(1, DEPTH + 1))
    commander.call("emit", topic="sure")
    assert numbers([follower.call("next")]) == [DEPTH + 1]


def test_threads_wait_for_room_as_tasks_do(run: Callable[..., Told]) -> None:
    commander, follower = filled(run)
    with pytest.raises(ToldError, match=r"(?s)RuntimeError.*await emit"):
        commander.call("publish", topic="sure")
    commander.call("emit", topic="plain")  # its loop was not blocked
    publishing = commander.ask("publish_on_thread", topic="sure", count=50)
    assert numbers(follower.call("take_until", last=DEPTH + 50)) == list(range(1, DEPTH + 51))
    assert commander.answer(publishing) == DEPTH + 50


def test_the_first_write_waits_for_readers_that_were_there_before(run: Callable[..., Told]) -> None:
    followers = [run("follower", f"f{number}") for number in (1, 2)]
    for follower in followers:
        for _ in range(3):
            follower.call("subscribe", topic="any_vital")
    commander = run("commander", "c1")
    emitting = commander.ask("emit", topic="vital", count=3 * DEPTH)
    reading = [
        (follower, follower.ask("take_until", last=3 * DEPTH, number=number))
        for follower in followers
        for number in range(3)
    ]
    for follower, number in reading:
        assert numbers(follower.answer(number)) == list(range(1, 3 * DEPTH + 1))
    commander.answer(emitting)


def test_a_late_reader_of_a_critical_topic_gets_the_last_message_and_of_others_only_later_ones(
    run: Callable[..., Told],
) -> None:
    commander, follower = run("commander", "c1"), run("follower", "f1")
    topics = ("sure", "vital", "plain")
    for topic in topics:
        commander.call("emit", topic=topic, count=2)
    for topic in topics:
        follower.call("subscribe", topic=f"any_{topic}")
        eventually(lambda topic=topic: commander.call("stats", topic=topic)["readers"] == 1)
    for topic in topics:
        commander.call("emit", topic=topic)
    assert numbers(follower.call("take_until", last=3, number=0)) == [3]
    assert numbers(follower.call("take_until", last=3, number=1)) == [2, 3]
    assert numbers(follower.call("take_until", last=3, number=2)) == [3]
    assert follower.call("take", number=1) is None


def test_a_stopped_echo_does_not_hold_the_writer_up(stack: Stack, run: Callable[..., Told]) -> None:
    commander = run("commander", "c1")
    commander.call("emit", topic="sure")
    echo = subprocess.Popen(
        [sys.executable, "-m", "peppy.cli", "topic", "echo", "c1/sure"],
        env={**stack.daemon.environment, "PEPPY_NO_AUTOSTART": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: commander.call("stats", topic="sure")["readers"] == 1 or echo.poll() is not None)
        os.kill(echo.pid, signal.SIGSTOP)
        assert commander.call("emit", topic="sure", count=10 * DEPTH) == 10 * DEPTH + 1
        assert waits(commander) == 0
    finally:
        echo.kill()
        echo.wait()
