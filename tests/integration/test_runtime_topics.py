"""What topics survive: lost connections, full tables, other processes' ends (docs/design/protocol.md, Sequences)."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from living import LivingDaemon, eventually
from telling import PAYLOAD, Told, ToldError, write_listener, write_talker

from peppy.protocol.frames import NodeRemove, NodeStop, TopicList

ROWS = 64


class Pair:
    """A daemon with the nodes talker and listener; `run` starts instances of them."""

    def __init__(self, daemon: LivingDaemon, directory: Path) -> None:
        self.daemon = daemon
        self.directory = directory
        self.told: list[Told] = []
        daemon.ready(write_talker(directory))
        daemon.ready(write_listener(directory))

    def run(self, node: str, instance_id: str, **bindings: str) -> Told:
        told = Told(self.directory, instance_id)
        self.told.append(told)
        arguments = [tuple(word.split("=", 1)) for word in told.arguments]
        pid = self.daemon.run(f"{node}:v1", instance_id, arguments, list(bindings.items())).pid
        told.connected()
        told.pid = pid
        return told

    def talker(self) -> Told:
        return self.run("talker", "t1")

    def listener(self, instance_id: str = "l1") -> Told:
        return self.run("listener", instance_id, main="t1")

    def readers(self) -> int:
        """How many readers the daemon knows of t1's plain topic."""
        rows = self.daemon.ask(TopicList()).topics
        return next(row.subscribers for row in rows if row.address == "t1/plain")

    def restart(self) -> None:
        """Kill the daemon and start another one, which everybody comes back to."""
        readers = self.readers()
        self.daemon.kill()
        self.daemon.start()
        eventually(lambda: self.readers() == readers, "the return of everybody")

    def log(self, instance_id: str) -> str:
        return (self.daemon.home / "logs/run" / f"{instance_id}.log").read_text()

    def descriptors(self) -> dict[str, int]:
        """How many file descriptors the daemon and each instance have."""
        assert self.daemon.process is not None
        pids = {"daemon": self.daemon.process.pid, **{told.instance_id: told.pid for told in self.told}}
        return {name: len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in pids.items()}

    def close(self) -> None:
        for told in self.told:
            told.close()


@pytest.fixture
def pair(new_daemon: Callable[..., LivingDaemon], tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(new_daemon().start(), tmp_path)
    yield pair
    pair.close()


def subscribed(listener: Told, count: int) -> list[int]:
    return [listener.call("subscribe", topic="main_plain") for _ in range(count)]


def all_receive(talker: Told, listener: Told, numbers: list[int]) -> None:
    """Every one of these subscriptions gets the next message."""
    sent = talker.call("publish", topic="plain")
    for number in numbers:
        assert listener.call("take_until", last=sent, number=number)[-1] == ["t1", sent, True]


# --- rows --------------------------------------------------------------------------------------------------------


def test_who_was_one_too_many_reads_when_a_row_is_free(pair: Pair):
    talker, listener, other = pair.talker(), pair.listener(), pair.listener("l2")
    talker.call("publish", topic="plain")
    subscribed(listener, ROWS)
    eventually(lambda: talker.call("stats", topic="plain")["readers"] == ROWS, "the readers")
    other.call("subscribe", topic="main_plain")
    with pytest.raises(ToldError) as caught:
        other.call("next")
    assert caught.value.name == "TooManyReaders"
    listener.call("close", number=5)
    eventually(lambda: pair.readers() == ROWS, "the reader")
    all_receive(talker, other, [0])


def test_a_killed_reader_s_rows_go_to_those_who_were_refused(pair: Pair):
    talker, listener, other = pair.talker(), pair.listener(), pair.listener("l2")
    talker.call("publish", topic="plain")
    subscribed(listener, ROWS)
    eventually(lambda: talker.call("stats", topic="plain")["readers"] == ROWS, "the readers")
    subscribed(other, 3)
    with pytest.raises(ToldError):
        other.call("next", number=2)
    os.kill(listener.pid, signal.SIGKILL)
    eventually(lambda: pair.readers() == 3, "the readers")
    all_receive(talker, other, [0, 1, 2])


def test_a_reader_killed_while_its_row_is_asked_for_keeps_none(pair: Pair):
    talker, listener, other = pair.talker(), pair.listener(), pair.listener("l2")
    talker.call("publish", topic="plain")
    os.kill(talker.pid, signal.SIGSTOP)
    try:
        subscribed(listener, 10)
        os.kill(listener.pid, signal.SIGKILL)
        eventually(lambda: pair.daemon.instance_row("l1").state == "failed", "the end of the reader")
    finally:
        os.kill(talker.pid, signal.SIGCONT)
    numbers = subscribed(other, ROWS)
    eventually(lambda: pair.readers() == ROWS, "the readers")
    all_receive(talker, other, numbers)


def test_a_producer_that_is_stopped_for_long_attaches_when_it_goes_on(pair: Pair):
    talker, listener = pair.talker(), pair.listener()
    talker.call("publish", topic="plain")
    os.kill(talker.pid, signal.SIGSTOP)
    try:
        numbers = subscribed(listener, 3)
        assert listener.call("next", timeout=0.2) == "nothing"
    finally:
        os.kill(talker.pid, signal.SIGCONT)
    eventually(lambda: pair.readers() == 3, "the readers")
    all_receive(talker, listener, numbers)


def test_a_reader_that_waits_gets_all_of_a_producer_that_ends_at_once(pair: Pair):
    talker, listener = pair.talker(), pair.listener()
    listener.call("subscribe", topic="main_plain")
    talker.ask("publish_and_end", topic="plain", count=3)
    assert [number for _, number, _ in listener.call("take_until", last=3)] == [1, 2, 3]
    eventually(lambda: pair.daemon.instance_row("t1").state == "finished", "the end")


# --- the daemon's return -----------------------------------------------------------------------------------------


def test_no_row_is_given_twice_when_everybody_comes_back(pair: Pair):
    talker, listener = pair.talker(), pair.listener()
    numbers = subscribed(listener, ROWS // 2)
    talker.call("publish", topic="plain")
    eventually(lambda: pair.readers() == ROWS // 2, "the readers")
    for _ in range(2):
        pair.restart()
    numbers += subscribed(listener, ROWS // 2)
    eventually(lambda: pair.readers() == ROWS, "the readers")
    all_receive(talker, listener, numbers)
    assert listener.call("stats")["lost"] == 0


def test_a_doorbell_of_the_next_daemon_is_another_one(pair: Pair):
    """The producer still has the doorbells of the daemon before; those of the new one may not be mistaken for them."""
    talker, listener, other = pair.talker(), pair.listener(), pair.listener("l2")
    listener.call("subscribe", topic="main_plain")
    talker.call("publish", topic="plain")
    eventually(lambda: pair.readers() == 1, "the reader")
    pair.restart()
    other.call("subscribe", topic="main_plain")
    eventually(lambda: pair.readers() == 2, "the second reader")
    assert other.call("next", timeout=0.2) == "nothing"
    waiting = [other.ask("next"), other.ask("take_blocking", timeout=20.0)]
    assert other.call("stats")["received"] == 0  # answered behind the two reads: both wait
    talker.call("publish", topic="plain", count=2)
    assert sorted(other.answer(number)[1] for number in waiting) == [2, 3]


def test_what_was_closed_without_a_daemon_is_forgotten_by_the_next(pair: Pair):
    talker, listener = pair.talker(), pair.listener()
    subscribed(listener, 3)
    talker.call("publish", topic="plain")
    eventually(lambda: pair.readers() == 3, "the readers")
    pair.daemon.kill()
    listener.call("close", number=1)
    fresh = listener.call("subscribe_later", topic="main_plain")
    pair.daemon.start()
    eventually(lambda: pair.readers() == 3, "two old readers and a new one")
    all_receive(talker, listener, [0, 2, fresh])


# --- descriptors -------------------------------------------------------------------------------------------------


def test_a_consumer_without_descriptors_is_attached_when_it_has_some(pair: Pair):
    talker, listener = pair.talker(), pair.listener()
    listener.call("subscribe", topic="main_plain")
    listener.call("use_up_descriptors")
    talker.call("publish", topic="plain")
    eventually(lambda: "cannot attach to topic `plain` of `t1`" in pair.log("l1"), "the complaint")
    listener.call("give_descriptors_back")
    assert listener.call("next") == ["t1", 1, True]
    assert pair.log("l1").count("cannot attach") == 1
    numbers = [0, *subscribed(listener, ROWS - 1)]
    eventually(lambda: pair.readers() == ROWS, "the readers")  # the rows that it could not use are free again
    all_receive(talker, listener, numbers)


def test_a_producer_without_descriptors_attaches_when_it_has_some(pair: Pair):
    talker, listener = pair.talker(), pair.listener()
    talker.call("publish", topic="plain")
    talker.call("use_up_descriptors")
    listener.call("subscribe", topic="main_plain")
    eventually(lambda: "the producer has no free file descriptor" in pair.log("l1"), "the complaint")
    talker.call("give_descriptors_back")
    eventually(lambda: pair.readers() == 1, "the reader")
    all_receive(talker, listener, [0])


def test_subscribing_and_closing_leaves_no_descriptor_anywhere(pair: Pair):
    talker, listener = pair.talker(), pair.listener()
    talker.call("publish", topic="plain")
    listener.call("subscribe_and_close", topic="main_plain", count=20)
    eventually(lambda: pair.readers() == 0, "the end of the readers")
    before = pair.descriptors()
    listener.call("subscribe_and_close", topic="main_plain", count=1000)
    eventually(
        lambda: all(now <= before[name] for name, now in pair.descriptors().items()),
        f"no more descriptors than {before}",
    )


# --- formats -----------------------------------------------------------------------------------------------------


def test_a_producer_of_another_format_is_told_of_once(pair: Pair, tmp_path: Path):
    first, listener = pair.talker(), pair.listener()
    pair.daemon.ask(NodeRemove("talker:v1", True, True))
    first.close()
    pair.daemon.ready(write_talker(tmp_path / "changed", payload=PAYLOAD.replace("u64", "u32")))
    listener.call("subscribe", topic="main_plain")
    for _ in range(2):
        talker = pair.talker()
        talker.call("publish", topic="plain")
        eventually(lambda: "SchemaMismatch" in pair.log("l1"), "the line")
        assert listener.call("take") is None
        pair.daemon.ask(NodeStop(("t1",)))
        talker.close()
    assert pair.log("l1").count("SchemaMismatch") == 1
