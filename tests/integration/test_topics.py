"""Topics between real node processes under a real daemon (docs/reference/qos.md, bindings.md)."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from living import LivingDaemon, assert_nothing_is_left, eventually, halt
from telling import PAYLOAD, Told, ToldError, write_listener, write_talker

from peppy.protocol.frames import NodeInfo, NodeRemove, NodeStop, TopicList

RING_BYTES = 64 << 20
"""The default budget of a topic's ring."""


class Stack:
    """A daemon with talkers and listeners that do what a test tells them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.daemon = LivingDaemon(directory / "home").start()
        self.told: list[Told] = []
        self.sources = {"talker": write_talker(directory), "listener": write_listener(directory)}

    def run(self, node: str, instance_id: str, **bindings: str) -> Told:
        told = Told(self.directory, instance_id)
        self.told.append(told)
        arguments = [(key, value) for key, _, value in (word.partition("=") for word in told.arguments)]
        told.pid = self.daemon.run(f"{node}:v1", instance_id, arguments, list(bindings.items())).pid
        return told.connected()

    def stop(self, told: Told) -> None:
        self.daemon.ask(NodeStop((told.instance_id,)))
        self.forget(told)

    def kill(self, told: Told) -> None:
        """Kill an instance and wait until the daemon knows."""
        os.kill(told.pid, signal.SIGKILL)
        eventually(lambda: self.daemon.instance_row(told.instance_id).state == "failed")
        self.forget(told)

    def forget(self, told: Told) -> None:
        told.close()
        self.told.remove(told)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("s"))
    try:
        for source in stack.sources.values():
            stack.daemon.ready(source)
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
    for told in list(stack.told):
        stack.stop(told)


def numbers(messages: list[Any]) -> list[int]:
    return [number for _, number, _ in messages]


def test_a_message_arrives_with_its_producer(run: Callable[..., Told]) -> None:
    talker = run("talker", "t1")
    listener = run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain")
    assert listener.call("next") == ["t1", 1, True]


def test_sensor_data_jumps_to_the_newest_message_when_lapped(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    talker.call("publish", topic="fast")
    attached(listener, "main_fast", talker, "fast")
    talker.call("publish", topic="fast", count=1000)
    assert numbers(listener.call("take_all")) == [1002]
    assert listener.call("stats")["lost"] == 999


def attached(listener: Told, topic: str, talker: Told, name: str) -> int:
    """Subscribe to a running stream and wait until its row is there: exactly one more message is published and read."""
    before = talker.call("stats", topic=name)["readers"]
    number = listener.call("subscribe", topic=topic)
    eventually(lambda: talker.call("stats", topic=name)["readers"] > before)
    last = talker.call("publish", topic=name)
    assert listener.call("next", number=number) == [talker.instance_id, last, True]
    return last


def test_standard_goes_on_with_the_oldest_message_held(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    talker.call("publish", topic="plain")
    first = attached(listener, "main_plain", talker, "plain")
    last = talker.call("publish", topic="plain", count=1000)
    received = numbers(listener.call("take_all"))
    assert received == list(range(last - len(received) + 1, last + 1))
    stats = listener.call("stats")
    assert 100 <= len(received) <= 128
    assert stats["received"] + stats["lost"] == last - first + 1


def test_sensor_data_is_read_in_order_while_it_is_not_lapped(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    talker.call("publish", topic="fast")
    first = attached(listener, "main_fast", talker, "fast")
    talker.call("publish", topic="fast", count=20)
    assert numbers(listener.call("take_all")) == list(range(first + 1, first + 21))
    assert listener.call("stats")["lost"] == 0


@pytest.mark.parametrize(("topic", "burst"), [("fast", 20), ("plain", 50)])
def test_a_stopped_reader_does_not_disturb_another(run: Callable[..., Told], topic: str, burst: int) -> None:
    talker = run("talker", "t1")
    stopped, other = run("listener", "l1", main="t1"), run("listener", "l2", main="t1")
    talker.call("publish", topic=topic)
    first = attached(stopped, f"main_{topic}", talker, topic)
    other.call("subscribe", topic=f"main_{topic}")
    eventually(lambda: talker.call("stats", topic=topic)["readers"] == 2)
    halt(stopped.pid)
    try:
        last = first
        for _ in range(10):
            last = talker.call("publish", topic=topic, count=burst)
            assert numbers(other.call("take_until", last=last)) == list(range(last - burst + 1, last + 1))
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    received = stopped.call("take_until", last=last)
    stats = stopped.call("stats")
    assert stats["lost"] == (last - first) - len(received) > 0
    assert other.call("stats")["lost"] == 0


def test_a_late_joiner_gets_only_later_messages(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    talker.call("publish", topic="plain", count=3)
    listener.call("subscribe", topic="main_plain")
    eventually(lambda: talker.call("stats", topic="plain")["readers"] == 1)
    talker.call("publish", topic="plain")
    assert listener.call("next") == ["t1", 4, True]


def test_a_reader_that_was_there_first_gets_the_first_message(run: Callable[..., Told]) -> None:
    talker = run("talker", "t1")
    listener = run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain", count=5)
    assert numbers(listener.call("take_until", last=5)) == [1, 2, 3, 4, 5]


def test_a_producer_restarted_under_its_id_is_followed(stack: Stack, run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain", count=3)
    assert numbers(listener.call("take_until", last=3)) == [1, 2, 3]
    stack.stop(talker)
    again = run("talker", "t1")
    again.call("publish", topic="plain", count=2)
    assert numbers(listener.call("take_until", last=2)) == [1, 2]
    assert listener.call("stats")["received"] == 5


def test_what_a_killed_producer_had_written_is_still_read(stack: Stack, run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain", count=3)
    assert listener.call("next") == ["t1", 1, True]
    stack.kill(talker)
    assert numbers(listener.call("take_until", last=3)) == [2, 3]
    again = run("talker", "t1")
    again.call("publish", topic="plain")
    assert listener.call("next") == ["t1", 1, True]


def test_a_waiting_reader_is_woken_by_a_producer_that_starts(run: Callable[..., Told], stack: Stack) -> None:
    first = run("talker", "t1")
    listener = run("listener", "l1", main="t1")
    stack.stop(first)
    listener.call("subscribe", topic="main_plain")
    waiting = listener.ask("next")
    again = run("talker", "t1")
    again.call("emit", topic="plain")
    assert listener.answer(waiting)[:2] == ["t1", 1]


def test_another_instance_is_not_read_through_a_pinned_slot(run: Callable[..., Told]) -> None:
    bound, other = run("talker", "t1"), run("talker", "t2")
    listener = run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    other.call("publish", topic="plain")
    bound.call("publish", topic="plain")
    assert listener.call("next") == ["t1", 1, True]
    assert listener.call("take") is None


def test_the_from_any_slot_reads_everybody_but_the_claimed(run: Callable[..., Told]) -> None:
    claimed, first, second = run("talker", "t1"), run("talker", "t2"), run("talker", "t3")
    listener = run("listener", "l1", main="t1")
    listener.call("subscribe", topic="rest_plain")
    for talker in (claimed, first, second):
        talker.call("publish", topic="plain")
    assert sorted([listener.call("next")[0], listener.call("next")[0]]) == ["t2", "t3"]
    assert listener.call("take") is None


def test_a_flooding_producer_does_not_starve_another(run: Callable[..., Told]) -> None:
    run("talker", "t1")
    quiet, flood = run("talker", "t2"), run("talker", "t3")
    listener = run("listener", "l1", main="t1")
    listener.call("subscribe", topic="rest_plain")
    flood.call("publish", topic="plain", count=50)
    quiet.call("publish", topic="plain")
    flood.call("publish", topic="plain", count=50)
    eventually(lambda: listener.call("stats")["lag"] == 101)  # both streams are attached
    producers = [producer for producer, _, _ in listener.call("take_many", limit=200)]
    assert len(producers) == 101
    assert producers.index("t2") <= 51


def test_loans_show_the_message_until_the_last_view_dies(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_fast")
    size = 1 << 20
    talker.call("loan", topic="fast", size=size)
    assert listener.call("keep_loan") == ["t1", 1, True]
    talker.call("publish", topic="fast", count=200, size=size)
    listener.call("release_loans")
    assert listener.call("saved_are", numbers=[1])


def test_a_reader_that_keeps_every_loan_gets_copies_and_starves_nobody(run: Callable[..., Told]) -> None:
    talker = run("talker", "t1")
    greedy, other = run("listener", "l1", main="t1"), run("listener", "l2", main="t1")
    greedy.call("subscribe", topic="main_plain")
    other.call("subscribe", topic="main_plain")
    for _ in range(100):
        talker.call("publish", topic="plain", size=5000)
        greedy.call("keep_loan")
    assert numbers(other.call("take_until", last=100)) == list(range(1, 101))
    assert greedy.call("stats")["copies_forced"] > 80
    assert greedy.call("saved_are", numbers=list(range(1, 101)))
    assert other.call("stats")["lost"] == 0


def test_callers_that_wait_together_receive_the_same_message(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    waiting = listener.ask("on_next", topic="main_plain", callers=2)
    eventually(lambda: listener.call("topic_stats") != {})
    talker.call("publish", topic="plain")
    assert listener.answer(waiting) == [["t1", 1, True], ["t1", 1, True]]


def test_a_cancelled_read_loses_no_message(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    assert listener.call("next", timeout=0.05) == "nothing"
    talker.call("publish", topic="plain", count=2)
    assert numbers(listener.call("take_until", last=2)) == [1, 2]


def test_a_thread_waits_for_messages_too(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    assert listener.call("take_blocking", timeout=0.05) is None
    waiting = listener.ask("take_blocking", timeout=20.0)
    talker.call("publish", topic="plain")
    assert listener.answer(waiting) == ["t1", 1, True]


def test_tasks_and_threads_share_one_subscription(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    waiting = [listener.ask("next"), listener.ask("take_blocking", timeout=20.0), listener.ask("next")]
    talker.call("publish", topic="plain", count=3)
    assert sorted(numbers([listener.answer(number) for number in waiting])) == [1, 2, 3]


def test_a_spinning_reader_reads_as_a_sleeping_one(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("spin", topic="main_plain")
    talker.call("publish", topic="plain", count=3)
    assert numbers(listener.call("take_until", last=3)) == [1, 2, 3]


def test_a_closed_subscription_ends_its_waiting_reads(run: Callable[..., Told]) -> None:
    listener = run("talker", "t1") and run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    waiting = [listener.ask("next"), listener.ask("take_blocking", timeout=30.0)]
    listener.call("close")
    assert [listener.answer(number) for number in waiting] == [None, None]


def test_a_producer_with_a_busy_event_loop_attaches_readers(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    talker.call("publish", topic="plain")
    before = time.monotonic()
    talker.call("block", seconds=2.0)
    published = talker.ask("publish", topic="plain")  # served when the loop is free again
    listener.call("subscribe", topic="main_plain")
    assert listener.call("next") == ["t1", 2, True]
    assert talker.answer(published) == 2
    assert time.monotonic() - before >= 2.0


def test_sixty_four_readers_are_served_and_the_next_is_told(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    for _ in range(64):
        listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain")
    for number in range(64):
        assert listener.call("next", number=number) == ["t1", 1, True]
    last = listener.call("subscribe", topic="main_plain")
    with pytest.raises(ToldError) as caught:
        listener.call("next", number=last)
    assert caught.value.name == "TooManyReaders"
    talker.call("publish", topic="plain")
    for number in range(64):
        assert listener.call("next", number=number) == ["t1", 2, True]


def test_a_message_above_the_capacity_is_refused_and_the_topic_goes_on(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain", size=10)
    with pytest.raises(ToldError, match="not supported yet") as caught:
        talker.call("publish", topic="plain", size=1 << 20)
    assert caught.value.name == "ValueError"
    talker.call("publish", topic="plain", size=10)
    assert numbers(listener.call("take_until", last=2)) == [1, 2]


def test_large_messages_are_whole_and_their_ring_stays_within_its_budget(run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    talker.ask("publish", topic="plain", count=100, size=8 << 20)
    received = listener.call("take_until", last=100)
    assert all(whole for _, _, whole in received)
    stats = listener.call("stats")
    assert stats["received"] + stats["lost"] == 100
    pinned = 8 << 20  # by the one reader, which keeps none
    assert 4 * (8 << 20) < shared_memory_of(talker) <= RING_BYTES + pinned


def shared_memory_of(told: Told) -> int:
    """Bytes that the streams of a process take in memory."""
    rings = [path for path in Path(f"/proc/{told.pid}/fd").iterdir() if str(path.readlink()).startswith("/memfd:")]
    inodes = {status.st_ino: status.st_blocks * 512 for status in map(os.stat, rings)}
    return sum(inodes.values())


def test_other_formats_are_never_read(stack: Stack, run: Callable[..., Told], tmp_path: Path) -> None:
    listener = run("talker", "t1") and run("listener", "l1", main="t1")
    stack.daemon.ask(NodeRemove("talker:v1", True, True))
    stack.forget(next(told for told in stack.told if told.instance_id == "t1"))
    changed = write_talker(tmp_path, payload=PAYLOAD.replace("u64", "u32"))
    stack.daemon.ready(changed)
    try:
        talker = run("talker", "t1")
        listener.call("subscribe", topic="main_plain")
        talker.call("publish", topic="plain")
        log = stack.daemon.home / "logs" / "run" / "l1.log"
        eventually(lambda: "SchemaMismatch" in log.read_text())
        assert listener.call("take") is None
    finally:
        for told in list(stack.told):
            stack.stop(told)
        stack.daemon.ask(NodeRemove("talker:v1", True, True))
        stack.daemon.ready(stack.sources["talker"])


def test_topic_list_counts_what_was_published(stack: Stack, run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain", count=7)
    listener.call("take_until", last=7)
    rows = {row.address: row for row in stack.daemon.ask(TopicList()).topics}
    assert set(rows) == {"t1/fast", "t1/plain"}
    assert (rows["t1/plain"].published, rows["t1/plain"].subscribers, rows["t1/plain"].qos) == (7, 1, "Standard")
    stats = stack.daemon.ask(NodeInfo("listener:v1", True)).stats
    assert [(row.side, row.peer, row.messages, row.lost, row.lag) for row in stats] == [("in", "t1", 7, 0, 0)]


def test_topics_flow_while_the_daemon_is_dead_and_after_its_return(stack: Stack, run: Callable[..., Told]) -> None:
    talker, listener = run("talker", "t1"), run("listener", "l1", main="t1")
    listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain", count=10)
    assert len(listener.call("take_until", last=10)) == 10
    stack.daemon.kill()
    talker.call("publish", topic="plain", count=10)
    assert numbers(listener.call("take_until", last=20)) == list(range(11, 21))
    stack.daemon.start()
    eventually(lambda: any(row.subscribers == 1 for row in stack.daemon.ask(TopicList()).topics))
    talker.call("publish", topic="plain", count=10)
    assert numbers(listener.call("take_until", last=30)) == list(range(21, 31))
    assert listener.call("stats")["lost"] == 0
    fresh = listener.call("subscribe", topic="main_plain")
    eventually(lambda: talker.call("stats", topic="plain")["readers"] == 2)
    talker.call("publish", topic="plain")
    assert listener.call("next", number=fresh) == ["t1", 31, True]
