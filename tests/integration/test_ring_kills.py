"""Processes killed at random points (docs/design/reliability.md, R1, R2): nothing torn, no hang, nothing left over."""

import os
import random
import socket
import time
from functools import partial

import pytest
from ring_processes import WATCHDOG, Holdings, Invitation, forked, invite, pattern

from peppy.ring import History, Observer, Outcome, Reader, ReceiveBuffer, View, Writer, plan

KILLS = 10_000 if os.environ.get("PEPPY_TORTURE") == "full" else 200
SIZES = (64, 1000, 1 << 16, 1 << 20, 8 << 20)
WEIGHTS = (8, 8, 4, 2, 1)


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("PEPPY_TORTURE_SEED", time.time_ns()))
    print(f"PEPPY_TORTURE_SEED={seed}")  # shown when the test fails
    return random.Random(seed)


def new_writer(capacity: int, depth: int = 16) -> Writer:
    return Writer.create(plan(depth, 64 << 20, capacity, rows=4), topic_hash=0, schema_hash=0, mode=1)


def publish_for_ever(channel: socket.socket, size: int) -> None:
    """A publisher that uses every way to publish, one after the other."""
    writer = new_writer(size)
    invite(channel, writer)
    sequence = 0
    while True:
        sequence += 1
        message = pattern(sequence, size)
        if sequence % 3 == 0:
            writer.publish_bytes(message)
        elif sequence % 3 == 1:
            half = size // 2
            writer.publish_parts([(message[:half], 0), (message[half:], half)], size)
        else:
            loan = writer.loan(size)
            loan.view[:] = message
            loan.publish()


def take_checked(reader: Reader, buffer: ReceiveBuffer, by_view: bool) -> int:
    """Take the next message and compare every byte; its sequence, or 0 when there is none."""
    if by_view:
        view = reader.take_view()
        if not isinstance(view, View):
            return 0
        assert view.data == pattern(view.sequence, len(view.data))
        return view.sequence
    taken = reader.take_into(buffer)
    if isinstance(taken, Outcome):
        return 0
    length, sequence, _ = taken
    assert memoryview(buffer.data)[:length] == pattern(sequence, length)
    return sequence


def follow_until_killed(reader: Reader, buffer: ReceiveBuffer, kill, end: float) -> list[int]:
    """Take messages until `end`, then kill the publisher and take what it has left."""
    sequences, alive = [], True
    started = time.monotonic()
    while True:
        sequence = take_checked(reader, buffer, by_view=len(sequences) % 2 == 0)
        if sequence:
            sequences.append(sequence)
        elif not alive:
            return sequences
        assert time.monotonic() - started < WATCHDOG, f"a hang after message {sequences[-1:]}"
        if alive and sequences and time.monotonic() >= end:
            kill()
            alive = False


@pytest.mark.torture
@pytest.mark.timeout(600 if KILLS == 200 else 0)
def test_a_killed_publisher_leaves_whole_messages_and_nothing_else(chance: random.Random) -> None:
    before, buffer = Holdings.now(), ReceiveBuffer(1 << 20)
    for _ in range(KILLS):
        size = chance.choices(SIZES, WEIGHTS)[0]
        with forked(partial(publish_for_ever, size=size)) as publisher:
            reader = Invitation.receive(publisher.channel).accept()
            end = time.monotonic() + chance.uniform(0, 0.01)
            sequences = follow_until_killed(reader, buffer, publisher.kill, end)
        assert sequences == sorted(set(sequences))
        assert not reader.writer_alive()
        stats = reader.stats()
        assert stats.row.corrupt == 0
        assert stats.row.taken == len(sequences)
        assert stats.row.taken + stats.row.lost + stats.lag == stats.head
        reader.close()
    assert Holdings.now() == before


def hold_views(channel: socket.socket, seed: float) -> None:
    """A subscriber that keeps as many views as it likes, for a while each."""
    chance = random.Random(seed)
    reader = Invitation.receive(channel).accept(newest=chance.random() < 0.5)
    held: list[View] = []
    channel.send(b"attached")
    while True:
        view = reader.take_view()
        if isinstance(view, View):
            held.append(view)
        while len(held) > 4 or (held and chance.random() < 0.3):
            kept = held.pop(chance.randrange(len(held)))
            assert kept.data == pattern(kept.sequence, len(kept.data)), f"torn message {kept.sequence}"


@pytest.mark.torture
@pytest.mark.timeout(600 if KILLS == 200 else 0)
@pytest.mark.parametrize("size", [64, 1 << 16])
def test_a_subscriber_killed_with_views_gives_every_chunk_back(chance: random.Random, size: int) -> None:
    writer = new_writer(size)
    observer = Observer.open(writer.data_fd, writer.ctrl_fd)
    before, sequence = Holdings.now(), 0
    for _ in range(KILLS // 2):
        with forked(partial(hold_views, seed=chance.random())) as subscriber:
            claim = invite(subscriber.channel, writer, history=History.NONE)
            assert subscriber.channel.recv(64) == b"attached"
            end = time.monotonic() + chance.uniform(0, 0.01)
            while time.monotonic() < end:
                sequence += 1
                writer.publish_bytes(pattern(sequence, size))
            assert not writer.release_row(claim.row, claim.ticket), "its owner lives"
            subscriber.kill()
        for _ in range(3 * writer.geometry.chunks // 10):
            sequence += 1
            writer.publish_bytes(pattern(sequence, size))
        writer.release_row(claim.row, claim.ticket)
        assert (observer.stats().live_rows, observer.stats().pins) == (0, 0)
    stats = writer.stats()
    assert (stats.published, stats.no_chunk) == (sequence, 0)
    assert Holdings.now() == before
    writer.close()


@pytest.mark.torture
def test_producers_that_come_and_go_leave_a_living_subscriber_as_it_was() -> None:
    before, buffer = Holdings.now(), ReceiveBuffer(64)
    for restart in range(KILLS * 2):
        writer = new_writer(64)
        claim = writer.reserve_row(-1, History.ALL)
        reader = Reader.open(writer.data_fd, writer.ctrl_fd, claim, newest=False)
        writer.publish_bytes(restart.to_bytes(8, "little"))
        writer.close()
        assert reader.take_into(buffer)[:2] == (8, 1)
        assert reader.take_into(buffer) is Outcome.CLOSED
        reader.close()
    assert Holdings.now() == before
