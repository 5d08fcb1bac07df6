"""What one process of a stream can do to another: fault alone, stop, die, fill every row; and no more than that."""

import ctypes
import faulthandler
import mmap
import os
import resource
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from ring_processes import Invitation, Peer, forked, invite, pattern

from peppy.errors import TooManyReaders
from peppy.ring import History, Observer, Outcome, Reader, ReceiveBuffer, View, Writer, plan


@pytest.fixture
def writer():
    writer = Writer.create(plan(16, 64 << 20, 64), topic_hash=0, schema_hash=0, mode=1)
    yield writer
    writer.close()


def local_reader(writer: Writer) -> Reader:
    claim = writer.reserve_row(-1, History.ALL)
    return Reader.open(writer.data_fd, writer.ctrl_fd, claim, newest=False)


def address_of(view: View) -> int:
    """Where a read-only view lies, for those who mean to write there."""
    return np.frombuffer(view.data, np.uint8).ctypes.data


def take_view(channel: socket.socket) -> View:
    reader = Invitation.receive(channel).accept()
    view = reader.take_view()
    assert isinstance(view, View)
    return view


def write_into_a_view(channel: socket.socket) -> None:
    faulthandler.disable()  # the fault is meant
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.memset(address_of(take_view(channel)), 0xEE, 8)


def make_a_view_writable(channel: socket.socket) -> None:
    page = address_of(take_view(channel)) & ~(mmap.PAGESIZE - 1)
    libc = ctypes.CDLL(None, use_errno=True)
    answer = libc.mprotect(ctypes.c_void_p(page), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)
    channel.send(b"refused" if answer == -1 else b"granted")


def write_through_a_new_description(channel: socket.socket) -> None:
    invitation = Invitation.receive(channel)
    again = os.open(f"/proc/self/fd/{invitation.data_fd}", os.O_RDWR)
    refusals = 0
    for attempt in (
        lambda: os.pwrite(again, b"\xee" * 8, 0x3000),
        lambda: mmap.mmap(again, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
        lambda: os.ftruncate(again, 0),
    ):
        try:
            attempt()
        except PermissionError:
            refusals += 1
    channel.send(b"refused" if refusals == 3 else b"granted")


def test_a_subscriber_that_writes_into_its_view_faults_alone(writer: Writer) -> None:
    bystander = local_reader(writer)
    writer.publish_bytes(b"untouched")
    with forked(write_into_a_view) as vandal:
        invite(vandal.channel, writer)
        assert os.WTERMSIG(vandal.wait()) == signal.SIGSEGV
    view = bystander.take_view()
    assert isinstance(view, View)
    assert bytes(view.data) == b"untouched"
    writer.publish_bytes(b"goes on")
    assert bystander.take_into(ReceiveBuffer(64))[0] == 7


@pytest.mark.parametrize("vandalism", [make_a_view_writable, write_through_a_new_description])
def test_topic_memory_cannot_be_made_writable_by_a_subscriber(writer: Writer, vandalism) -> None:
    writer.publish_bytes(b"untouched")
    with forked(vandalism) as vandal:
        invite(vandal.channel, writer)
        assert vandal.channel.recv(64) == b"refused"


def count_until_the_end(channel: socket.socket) -> None:
    """Take everything there is after each wake-up; report once attached, and at the end what came and what was lost."""
    _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    doorbell = descriptors[0]
    reader, buffer = Invitation.receive(channel).accept(), ReceiveBuffer(64)
    channel.send(b"attached")
    received = last = 0
    while reader.wait(doorbell) is Outcome.OK:
        while isinstance(taken := reader.take_into(buffer), tuple):
            assert taken[1] > last
            received, last = received + 1, taken[1]
            assert bytes(buffer.data[: taken[0]]) == pattern(last, 64)
    stats = reader.stats()
    channel.send(f"{received} {stats.row.lost} {last} {stats.row.corrupt}".encode())


def invite_sleeper(peer: Peer, writer: Writer, doorbell: int) -> int:
    socket.send_fds(peer.channel, [b"d"], [doorbell])
    claim = invite(peer.channel, writer, doorbell, History.NONE)
    assert peer.channel.recv(64) == b"attached"
    assert claim.row < 64
    return claim.row


@pytest.mark.torture
def test_a_stopped_subscriber_is_told_the_exact_number_lost_and_never_declared_dead(writer: Writer) -> None:
    stopped_for = 30.0 if os.environ.get("PEPPY_TORTURE") == "full" else 2.0
    doorbell = os.eventfd(0, os.EFD_NONBLOCK)
    bystander, buffer = local_reader(writer), ReceiveBuffer(64)
    with forked(count_until_the_end) as subscriber:
        invite_sleeper(subscriber, writer, doorbell)
        published = 0
        subscriber.stop()
        started = time.monotonic()
        while time.monotonic() - started < stopped_for:
            published += 1
            writer.publish_bytes(pattern(published, 64))
            assert bystander.take_into(buffer)[1] == published
        assert writer.stats().live_rows == 2
        subscriber.go_on()
        writer.close()
        received, lost, last, corrupt = map(int, subscriber.channel.recv(64).split())
        assert subscriber.wait() == 0
    os.close(doorbell)
    assert (received + lost, last, corrupt) == (published, published, 0)
    assert 1 <= received <= 16


def test_a_sleeping_subscriber_gets_every_message_of_a_slow_writer(writer: Writer) -> None:
    doorbell = os.eventfd(0, os.EFD_NONBLOCK)
    with forked(count_until_the_end) as subscriber:
        row = invite_sleeper(subscriber, writer, doorbell)
        for number in range(1, 501):
            while writer.stats().head - taken_by(writer, row) > 8:
                os.sched_yield()
            writer.publish_bytes(pattern(number, 64))
        writer.close()
        assert subscriber.channel.recv(64) == b"500 0 500 0"
    os.close(doorbell)


def taken_by(writer: Writer, row: int) -> int:
    return Observer.open(writer.data_fd, writer.ctrl_fd).row(row).taken


def fill_every_row(channel: socket.socket) -> None:
    """One process that attaches as often as it is invited, and then waits to be killed."""
    readers = []
    for _ in range(64):
        readers.append(Invitation.receive(channel).accept())
        channel.send(b"attached")
    signal.pause()


def test_rows_filled_by_one_process_are_free_when_it_dies(writer: Writer) -> None:
    with forked(fill_every_row) as hoarder:
        for _ in range(64):
            invite(hoarder.channel, writer)
            assert hoarder.channel.recv(64) == b"attached"
        with pytest.raises(TooManyReaders):
            writer.reserve_row(-1, History.NONE)
        hoarder.kill()
    assert local_reader(writer).take_into(ReceiveBuffer(64)) is Outcome.EMPTY


def test_streams_have_no_name_that_could_be_left_behind(writer: Writer) -> None:
    writer.publish_bytes(b"x")
    assert not list(Path("/dev/shm").glob("peppy-data*"))
    assert "(deleted)" in os.readlink(f"/proc/self/fd/{writer.data_fd}")  # noqa: PTH115
