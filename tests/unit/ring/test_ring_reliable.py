"""What a writer of a reliable stream is told, and what it can do about slow readers (docs/design/ring.md)."""

import os
from collections.abc import Callable

import pytest
from ring_stream import Stream

from peppy.ring import History, Reader, ReceiveBuffer, StreamClosed, WouldBlock

Make = Callable[..., Stream]


@pytest.fixture
def full(make_stream: Make) -> tuple[Stream, Reader]:
    """A reliable stream without room, and the reader that has taken none of its 8 messages."""
    stream = make_stream(reliable=True)
    reader = stream.reader()
    for number in range(8):
        stream.writer.publish_bytes(b"%d" % number)
    return stream, reader


def rings(stream: Stream) -> int:
    try:
        return os.eventfd_read(stream.writer.space_fd)
    except BlockingIOError:
        return 0


def take(reader: Reader) -> bytes:
    buffer = ReceiveBuffer(64)
    taken = reader.take_into(buffer)
    assert isinstance(taken, tuple)
    return bytes(buffer.data[: taken[0]])


def test_every_way_to_publish_says_that_there_is_no_room(full: tuple[Stream, Reader]):
    writer = full[0].writer
    for publish in (
        lambda: writer.publish_bytes(b"x"),
        lambda: writer.publish_parts([(b"x", 0)], 1),
        lambda: writer.loan(1),
    ):
        with pytest.raises(WouldBlock):
            publish()
    assert not writer.has_room()
    assert writer.stats().published == 8


def test_a_message_taken_makes_room_and_rings(full: tuple[Stream, Reader]):
    stream, reader = full
    assert rings(stream) == 0
    assert not stream.writer.has_room()
    assert take(reader) == b"0"
    assert rings(stream) == 1
    stream.writer.publish_bytes(b"8")
    assert [take(reader) for _ in range(8)] == [b"%d" % number for number in range(1, 9)]
    assert reader.stats().row.lost == 0


def test_a_closed_reader_makes_room_and_rings(full: tuple[Stream, Reader]):
    stream, reader = full
    assert not stream.writer.has_room()
    reader.close()
    assert rings(stream) == 1
    assert stream.writer.has_room()


def test_the_slowest_reader_is_named_with_its_lag(full: tuple[Stream, Reader]):
    stream, slow = full
    fast = stream.reader()
    found = stream.writer.slowest()
    assert found is not None
    assert (found.row, found.ticket, found.lag) == (0, slow.stats().row.ticket, 8)
    slow.close()
    stream.writer.publish_bytes(b"8")
    found = stream.writer.slowest()
    assert found is not None
    assert (found.ticket, found.lag) == (fast.stats().row.ticket, 1)


def test_a_stream_without_readers_waits_for_nobody(make_stream: Make):
    writer = make_stream(reliable=True).writer
    for _ in range(50):
        writer.publish_bytes(b"x")
    assert writer.slowest() is None


def test_a_reader_can_be_given_up(full: tuple[Stream, Reader]):
    stream, reader = full
    found = stream.writer.slowest()
    assert found is not None
    assert not stream.writer.overwrite_row(found.row, found.ticket + 1)
    assert stream.writer.overwrite_row(found.row, found.ticket)
    assert rings(stream) == 1
    for number in range(8, 20):
        stream.writer.publish_bytes(b"%d" % number)
    assert take(reader) == b"12"
    assert reader.stats().row.lost == 12


@pytest.mark.parametrize("keeps_its_view", [False, True])
def test_a_loan_that_finds_no_room_stays_usable(make_stream: Make, keeps_its_view: bool):
    stream = make_stream(reliable=True)
    reader = stream.reader()
    loan = stream.writer.loan(4)
    loan.view[:] = b"loan"
    kept = loan.view if keeps_its_view else None
    for _ in range(8):
        stream.writer.publish_bytes(b"x")
    with pytest.raises(WouldBlock):
        loan.publish()
    assert bytes(loan.view) == b"loan"
    assert take(reader) == b"x"
    loan.publish()
    del kept
    assert [take(reader) for _ in range(8)] == [b"x"] * 7 + [b"loan"]
    assert reader.stats().row.lost == 0


def test_a_discarded_loan_that_found_no_room_gives_its_chunk_back(make_stream: Make):
    stream = make_stream(loans=1, reliable=True)
    reader = stream.reader()
    for _ in range(10):
        loan = stream.writer.loan(4)
        while stream.writer.has_room():
            stream.writer.publish_bytes(b"x")  # others are faster
        with pytest.raises(WouldBlock):
            loan.publish()
        loan.discard()
        take(reader)


def test_room_is_no_question_of_a_closed_stream(full: tuple[Stream, Reader]):
    stream, _ = full
    stream.writer.close()
    with pytest.raises(StreamClosed):
        stream.writer.has_room()


def test_overwriting_streams_have_nothing_to_ring(stream: Stream):
    assert stream.writer.space_fd == -1
    claim = stream.writer.reserve_row(-1, History.NONE)
    assert stream.writer.overwrite_row(claim.row, claim.ticket)
    assert stream.writer.has_room()
