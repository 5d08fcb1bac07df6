"""Publishing in place: no copy, unless somebody could still write what readers see."""

import gc
from collections.abc import Callable

import numpy as np
import pytest
from ring_stream import Stream

from peppy.errors import LoanReleased
from peppy.ring import MessageTooLong, Outcome, Reader


def message_of(reader: Reader) -> bytes:
    view = reader.take_view()
    assert not isinstance(view, Outcome)
    return bytes(view.data)


def address_of(view: memoryview) -> int:
    return np.frombuffer(view, np.uint8).ctypes.data


def test_a_loan_is_published_as_it_was_filled(stream: Stream) -> None:
    reader, loan = stream.reader(), stream.writer.loan(4)
    loan.view[:] = b"abcd"
    loan.publish()
    assert message_of(reader) == b"abcd"


def test_less_than_was_lent_may_be_published(stream: Stream) -> None:
    reader, loan = stream.reader(), stream.writer.loan(64)
    loan.view[:2] = b"ab"
    loan.publish(2)
    assert message_of(reader) == b"ab"


def test_more_than_was_lent_is_refused_and_the_loan_is_still_good(stream: Stream) -> None:
    reader, loan = stream.reader(), stream.writer.loan(4)
    with pytest.raises(ValueError, match="`5` bytes of a loan of `4`"):
        loan.publish(5)
    loan.view[:] = b"good"
    loan.publish()
    assert message_of(reader) == b"good"


def test_publishing_a_loan_nobody_looks_at_takes_no_other_chunk(stream: Stream) -> None:
    for _ in range(100):
        loan = stream.writer.loan(8)
        loan.view[:] = b"in place"
        loan.publish()
    assert stream.writer.stats().chunks_used <= stream.writer.geometry.depth + 1 + 64


def test_a_view_kept_beyond_publish_changes_nothing_for_readers(stream: Stream) -> None:
    reader, loan = stream.reader(), stream.writer.loan(4)
    kept = loan.view
    kept[:] = b"good"
    loan.publish()
    kept[:] = b"evil"
    assert message_of(reader) == b"good"


@pytest.mark.parametrize("slice_of", [lambda view: view[1:3], lambda view: np.frombuffer(view, np.uint8)[1:]])
def test_a_slice_kept_beyond_publish_changes_nothing_for_readers(
    stream: Stream, slice_of: Callable[[memoryview], memoryview]
) -> None:
    reader, loan = stream.reader(), stream.writer.loan(4)
    loan.view[:] = b"good"
    kept = slice_of(loan.view)
    loan.publish()
    kept[:] = 0 if isinstance(kept, np.ndarray) else b"\0\0"
    assert message_of(reader) == b"good"


def test_a_kept_chunk_stays_out_of_the_pool_until_its_view_dies(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(loans=1)
    loan = stream.writer.loan(4)
    kept = loan.view
    address = address_of(kept)
    loan.publish()
    with pytest.raises(RuntimeError, match="`1` loans of this publisher are held, which is the limit"):
        stream.writer.loan(4)
    for _ in range(100):
        stream.writer.publish_bytes(b"\xee" * 64)
    assert bytes(kept) != b"\xee" * 4
    del kept
    assert address_of(stream.writer.loan(4).view) == address


def test_at_most_as_many_loans_as_agreed_are_out(stream: Stream) -> None:
    loans = [stream.writer.loan(8) for _ in range(4)]
    with pytest.raises(RuntimeError, match="`4` loans"):
        stream.writer.loan(8)
    loans.pop().discard()
    stream.writer.loan(8).publish()


def test_a_dropped_loan_is_discarded(stream: Stream) -> None:
    for _ in range(50):
        stream.writer.loan(8)
    assert stream.writer.stats().published == 0


def test_a_loan_in_a_cycle_is_discarded_by_the_collector(make_stream: Callable[..., Stream]) -> None:
    stream = make_stream(loans=1)
    cycle: list[object] = [stream.writer.loan(8)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    stream.writer.loan(8).publish()


@pytest.mark.parametrize("end", ["publish", "discard"])
def test_a_loan_is_used_once(stream: Stream, end: str) -> None:
    loan = stream.writer.loan(8)
    getattr(loan, end)()
    with pytest.raises(LoanReleased):
        loan.publish()
    with pytest.raises(LoanReleased):
        _ = loan.view
    loan.discard()


def test_a_loan_above_the_capacity_is_refused(stream: Stream) -> None:
    with pytest.raises(MessageTooLong):
        stream.writer.loan(65)


def test_an_empty_loan_is_an_empty_message(stream: Stream) -> None:
    reader = stream.reader()
    stream.writer.loan(0).publish()
    assert message_of(reader) == b""


def test_a_loan_outlives_its_closed_writer_and_is_then_refused(stream: Stream) -> None:
    loan = stream.writer.loan(8)
    stream.writer.close()
    loan.view[:] = b"too late"
    with pytest.raises(RuntimeError, match="the stream is closed"):
        loan.publish()
