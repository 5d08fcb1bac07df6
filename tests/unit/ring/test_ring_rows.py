"""Rows: one reader each, 64 at most, taken back only from those that are gone."""

import os
from collections.abc import Callable

import pytest
from ring_stream import Stream

from peppy.errors import TooManyReaders
from peppy.ring import History, Outcome, Reader, ReceiveBuffer, StaleClaim


def attach(stream: Stream, claim) -> Reader:
    return Reader.open(stream.writer.data_fd, stream.writer.ctrl_fd, claim, newest=False)


def test_a_claim_is_good_for_one_reader(stream: Stream) -> None:
    claim = stream.writer.reserve_row(-1, History.NONE)
    reader = attach(stream, claim)
    with pytest.raises(StaleClaim):
        attach(stream, claim)
    assert reader.take_view() is Outcome.EMPTY


def test_a_claim_that_was_taken_back_is_stale(stream: Stream) -> None:
    claim = stream.writer.reserve_row(-1, History.NONE)
    assert stream.writer.release_row(claim.row, claim.ticket)
    with pytest.raises(StaleClaim):
        attach(stream, claim)


def test_a_claim_of_another_epoch_is_stale(make_stream: Callable[..., Stream]) -> None:
    first, second = make_stream(), make_stream()
    claim = first.writer.reserve_row(-1, History.NONE)
    second.writer.reserve_row(-1, History.NONE)
    with pytest.raises(StaleClaim):
        attach(second, claim)


def test_a_row_is_not_taken_back_from_a_living_reader(stream: Stream) -> None:
    claim = stream.writer.reserve_row(-1, History.NONE)
    reader = attach(stream, claim)
    assert not stream.writer.release_row(claim.row, claim.ticket)
    reader.close()
    assert stream.writer.release_row(claim.row, claim.ticket)


def test_only_the_ticket_of_the_row_takes_it_back(stream: Stream) -> None:
    claim = stream.writer.reserve_row(-1, History.NONE)
    assert not stream.writer.release_row(claim.row, claim.ticket + 1)
    assert not stream.writer.release_row(claim.row + 1, claim.ticket)
    assert stream.writer.release_row(claim.row, claim.ticket)


def test_every_reservation_has_a_ticket_of_its_own(stream: Stream) -> None:
    tickets = set()
    for _ in range(10):
        claim = stream.writer.reserve_row(-1, History.NONE)
        tickets.add(claim.ticket)
        stream.writer.release_row(claim.row, claim.ticket)
    assert len(tickets) == 10


def test_the_sixty_fifth_reader_is_refused_and_the_others_go_on(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(rows=64)
    readers = [stream.reader() for _ in range(64)]
    with pytest.raises(TooManyReaders):
        stream.writer.reserve_row(-1, History.NONE)
    stream.writer.publish_bytes(b"to all")
    buffer = ReceiveBuffer(64)
    assert [reader.take_into(buffer)[0] for reader in readers] == [6] * 64


def test_the_row_of_a_closed_reader_is_found_when_rows_run_out(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(rows=2)
    first, second = stream.reader(), stream.reader()
    first.close()
    third = stream.reader()
    stream.writer.publish_bytes(b"x")
    assert [reader.stats().lag for reader in (second, third)] == [1, 1]


def test_a_reserved_row_whose_reader_is_on_its_way_is_not_given_to_another(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(rows=1)
    claim = stream.writer.reserve_row(-1, History.NONE)
    with pytest.raises(TooManyReaders):
        stream.writer.reserve_row(-1, History.NONE)
    attach(stream, claim)


def test_a_doorbell_must_be_an_eventfd(stream: Stream) -> None:
    read_end, write_end = os.pipe()
    try:
        with pytest.raises(OSError, match="cannot attach another reader"):
            stream.writer.reserve_row(write_end, History.NONE)
    finally:
        os.close(read_end)
        os.close(write_end)


def test_segments_of_two_streams_do_not_go_together(make_stream: Callable[..., Stream]) -> None:
    first, second = make_stream(), make_stream()
    claim = first.writer.reserve_row(-1, History.NONE)
    with pytest.raises(OSError, match="cannot attach to row"):
        Reader.open(first.writer.data_fd, second.writer.ctrl_fd, claim, newest=False)


def test_the_descriptors_may_be_closed_once_a_reader_is_attached(stream: Stream) -> None:
    claim = stream.writer.reserve_row(-1, History.NONE)
    data_fd, ctrl_fd = os.dup(stream.writer.data_fd), os.dup(stream.writer.ctrl_fd)
    reader = Reader.open(data_fd, ctrl_fd, claim, newest=False)
    os.close(data_fd)
    os.close(ctrl_fd)
    stream.writer.publish_bytes(b"x")
    assert reader.take_into(ReceiveBuffer(64))[0] == 1
    assert reader.writer_alive()


def test_a_reader_sees_the_writer_go(stream: Stream) -> None:
    reader = stream.reader()
    assert reader.writer_alive()
    stream.writer.close()
    assert not reader.writer_alive()
