"""A view keeps its message in place until its last slice dies, and then gives the pin back, whatever happened to it."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable

import numpy as np
import pytest
from ring_stream import Stream

from peppy.ring import Observer, Outcome, Reader, View


@pytest.fixture
def observer(stream: Stream) -> Observer:
    return Observer.open(stream.writer.data_fd, stream.writer.ctrl_fd)


def take_one(stream: Stream, reader: Reader, message: bytes = b"0123456789abcdef") -> View:
    stream.writer.publish_bytes(message)
    view = reader.take_view()
    assert isinstance(view, View)
    return view


def overwrite_everything(stream: Stream) -> None:
    for _ in range(200):
        stream.writer.publish_bytes(b"\xee" * 64)


def test_a_view_does_not_change_while_the_writer_goes_round(stream: Stream) -> None:
    view = take_one(stream, stream.reader())
    overwrite_everything(stream)
    assert bytes(view.data) == b"0123456789abcdef"


def test_a_view_is_read_only(stream: Stream) -> None:
    view = take_one(stream, stream.reader())
    assert view.data.readonly
    assert not np.frombuffer(view.data, np.uint8).flags.writeable
    with pytest.raises(TypeError):
        view.data[0] = 1  # type: ignore[index]


def test_a_view_starts_at_a_line(stream: Stream) -> None:
    view = take_one(stream, stream.reader())
    assert np.frombuffer(view.data, np.uint8).ctypes.data % 64 == 0


# One slice of each kind: the view that was taken dies first, the slice keeps the pin.
SLICES: dict[str, Callable[[memoryview], object]] = {
    "slice": lambda data: data[4:8],
    "cast": lambda data: data.cast("I"),
    "numpy array": lambda data: np.frombuffer(data, np.uint8),
    "slice of a numpy array": lambda data: np.frombuffer(data, np.uint32)[1:2],
    "memoryview of a memoryview": lambda data: memoryview(memoryview(data)),
    "closure": lambda data: lambda: data,
    "pickle buffer": pickle.PickleBuffer,
}


@pytest.mark.parametrize("kind", SLICES)
def test_the_pin_lives_until_the_last_slice_dies(stream: Stream, observer: Observer, kind: str) -> None:
    view = take_one(stream, stream.reader())
    kept = SLICES[kind](view.data)
    del view
    assert observer.stats().pins == 1
    del kept
    assert observer.stats().pins == 0


COPIES: dict[str, Callable[[memoryview], object]] = {
    "bytes": bytes,
    "copied numpy array": lambda data: np.frombuffer(data, np.uint8).copy(),
    "deep copy of a numpy array": lambda data: copy.deepcopy(np.frombuffer(data, np.uint8)),
    "pickled numpy array": lambda data: pickle.loads(pickle.dumps(np.frombuffer(data, np.uint8))),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_holds_no_pin(stream: Stream, observer: Observer, kind: str) -> None:
    view = take_one(stream, stream.reader())
    kept = COPIES[kind](view.data)
    del view
    assert observer.stats().pins == 0
    overwrite_everything(stream)
    assert bytes(kept) == b"0123456789abcdef"  # type: ignore[call-overload]


def test_a_view_in_a_cycle_is_released_by_the_collector(stream: Stream, observer: Observer) -> None:
    cycle: list[object] = [take_one(stream, stream.reader())]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert observer.stats().pins == 0


def test_a_view_in_a_traceback_is_released_with_it(stream: Stream, observer: Observer) -> None:
    reader = stream.reader()

    def fail() -> None:
        view = take_one(stream, reader)
        raise LookupError(len(view.data))

    with pytest.raises(LookupError) as caught:
        fail()
    assert observer.stats().pins == 1
    caught.value.__traceback__ = None
    del caught
    gc.collect()
    assert observer.stats().pins == 0


def test_views_outlive_their_closed_reader_and_keep_its_row(stream: Stream, observer: Observer) -> None:
    reader = stream.reader()
    view = take_one(stream, reader)
    ticket = observer.row(0).ticket
    reader.close()
    overwrite_everything(stream)
    assert bytes(view.data) == b"0123456789abcdef"
    assert not stream.writer.release_row(0, ticket)
    del view
    assert observer.stats().pins == 0
    assert stream.writer.release_row(0, ticket)


def test_views_outlive_the_writer(stream: Stream) -> None:
    view = take_one(stream, stream.reader())
    stream.writer.close()
    assert bytes(view.data) == b"0123456789abcdef"


def test_beyond_its_quota_a_reader_gets_private_copies_that_are_counted(stream: Stream, observer: Observer) -> None:
    reader, other = stream.reader(), stream.reader()
    views = [take_one(stream, reader, bytes([number]) * 16) for number in range(5)]
    assert [bytes(view.data) for view in views] == [bytes([number]) * 16 for number in range(5)]
    assert all(view.data.readonly for view in views)
    held = stream.writer.geometry.pins - 1
    assert observer.stats().pins == held
    assert reader.stats().row.copies_forced == 5 - held
    overwrite_everything(stream)
    assert [bytes(view.data) for view in views] == [bytes([number]) * 16 for number in range(5)]
    assert other.take_view() is not Outcome.EMPTY


def test_a_released_view_makes_room_for_the_next_one(stream: Stream) -> None:
    reader = stream.reader()
    for _ in range(50):
        take_one(stream, reader)
    assert reader.stats().row.copies_forced == 0


def test_no_view_without_a_message(stream: Stream) -> None:
    reader = stream.reader()
    assert reader.take_view() is Outcome.EMPTY
    stream.writer.close()
    assert reader.take_view() is Outcome.CLOSED


def test_a_forked_child_leaves_its_parents_pins_alone(stream: Stream, observer: Observer) -> None:
    reader = stream.reader()
    view = take_one(stream, reader)
    child = os.fork()
    if child == 0:
        del view  # the destructor runs in the child
        reader.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert observer.stats().pins == 1
    overwrite_everything(stream)
    assert bytes(view.data) == b"0123456789abcdef"


def test_a_forked_child_may_not_use_its_parents_handles(stream: Stream) -> None:
    reader = stream.reader()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        answers = []
        for call in (lambda: stream.writer.publish_bytes(b"x"), reader.take_view, reader.arm, stream.writer.stats):
            try:
                call()
                answers.append("no error")
            except RuntimeError as error:
                answers.append(str(error).partition(": ")[2])
        os.write(write_end, "\n".join(answers).encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end) as answers:
        assert (
            answers.read().split("\n") == ["the stream was opened before a fork and belongs to the parent process"] * 4
        )
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    "ending",
    [
        "pass",
        "del view",
        "del reader",
        "del writer",
        "reader.close()",
        "writer.close()",
        "writer.close(); reader.close()",
        "reader.close(); writer.close(); del reader, writer",
        "import gc; gc.freeze()",
        "kept = [view]; kept.append(kept); del view",
        "import atexit; atexit.register(lambda view=view: bytes(view.data))",
        "import sys; sys.kept = view; sys.reader = reader",
        "loan = writer.loan(8); slice = loan.view[2:4]; loan.publish(); writer.close()",
        "loan = writer.loan(8); writer.close(); del writer",
        "raise SystemExit(0)",
    ],
)
def test_the_interpreter_exits_cleanly_in_any_order(ending: str) -> None:
    program = textwrap.dedent("""
        from peppy.ring import History, Reader, Writer, plan
        writer = Writer.create(plan(8, 1 << 20, 64), topic_hash=0, schema_hash=0, mode=0)
        claim = writer.reserve_row(-1, History.NONE)
        reader = Reader.open(writer.data_fd, writer.ctrl_fd, claim, newest=False)
        writer.publish_bytes(b"message")
        view = reader.take_view()
    """)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program + ending], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
