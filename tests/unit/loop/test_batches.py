"""Many descriptors that are ready at once, of which some change what becomes of the others."""

import asyncio
import threading

import pytest

from peppy.loop import EventLoop

from .bells import NewBell
from .signals import signalled
from .test_loop import run_once, stop_at

BATCH = 64
"""Events of one system call, csrc/python/wait.c."""


@pytest.mark.parametrize("count", [BATCH, BATCH + 1, 5 * BATCH])
def test_more_than_one_batch_is_called_once_each(loop: EventLoop, new_bell: NewBell, count: int):
    bells, calls = [new_bell(rung=True) for _ in range(count)], []
    for index, bell in enumerate(bells):
        loop.serve(bell.fd, lambda index=index: calls.append((index, bells[index].quiet())))
    for _ in range(count // BATCH + 1):
        run_once(loop)
    assert sorted(calls) == [(index, True) for index in range(count)]


def test_whole_batches_that_nobody_reads_keep_nobody_waiting(loop: EventLoop, new_bell: NewBell):
    for _ in range(2 * BATCH):
        loop.serve(new_bell(rung=True).fd, lambda: None)
    loop.add_reader(new_bell(rung=True).fd, loop.stop)
    for _ in range(2 * BATCH):
        loop.serve(new_bell(rung=True).fd, lambda: None)
    loop.run_forever()


def test_one_that_is_left_alone_in_its_batch_is_not_called(loop: EventLoop, new_bell: NewBell):
    first, second, calls = new_bell(rung=True), new_bell(rung=True), []
    loop.serve(first.fd, lambda: (calls.append("first"), loop.stop_serving(second.fd)))
    loop.serve(second.fd, lambda: (calls.append("second"), loop.stop_serving(first.fd)))
    run_once(loop)
    assert len(calls) == 1


def test_one_may_leave_itself_alone(loop: EventLoop, new_bell: NewBell):
    bell, calls = new_bell(rung=True), []
    loop.serve(bell.fd, lambda: (calls.append(1), loop.stop_serving(bell.fd)))
    run_once(loop)
    run_once(loop)
    assert calls == [1]


def test_a_reader_that_is_removed_in_its_batch_is_not_called(loop: EventLoop, new_bell: NewBell):
    read, served, calls = new_bell(rung=True), new_bell(rung=True), []
    loop.add_reader(read.fd, calls.append, "reader")
    loop.serve(served.fd, lambda: (served.quiet(), loop.remove_reader(read.fd)))
    run_once(loop)
    assert not calls


def test_a_reader_that_is_replaced_in_its_batch_is_not_lost(loop: EventLoop, new_bell: NewBell):
    read, served, calls = new_bell(rung=True), new_bell(rung=True), []
    loop.add_reader(read.fd, calls.append, "old")
    loop.serve(served.fd, lambda: (served.quiet(), loop.add_reader(read.fd, calls.append, "new")))
    run_once(loop)
    run_once(loop)
    assert set(calls) == {"new"}


def test_a_reader_that_is_removed_and_added_in_its_batch_is_not_lost(loop: EventLoop, new_bell: NewBell):
    read, served, calls = new_bell(rung=True), new_bell(rung=True), []

    def pause_and_resume() -> None:
        served.quiet()
        loop.remove_reader(read.fd)
        loop.add_reader(read.fd, calls.append, "again")

    loop.add_reader(read.fd, calls.append, "first")
    loop.serve(served.fd, pause_and_resume)
    run_once(loop)
    run_once(loop)
    assert set(calls) == {"again"}


def test_a_reader_that_gets_a_writer_in_its_batch_is_not_lost(loop: EventLoop, new_bell: NewBell):
    read, served, calls = new_bell(rung=True), new_bell(rung=True), []
    loop.add_reader(read.fd, calls.append, "reader")
    loop.serve(served.fd, lambda: (served.quiet(), loop.add_writer(read.fd, calls.append, "writer")))
    run_once(loop)
    run_once(loop)
    assert set(calls) == {"reader", "writer"}


@pytest.mark.parametrize("old", ["served", "reader"])
@pytest.mark.parametrize("new", ["served", "reader"])
def test_a_silent_newcomer_with_the_number_of_a_closed_one_is_not_called(
    loop: EventLoop, new_bell: NewBell, old: str, new: str
):
    first, closed, calls = new_bell(rung=True), new_bell(rung=True), []

    def close_and_open() -> None:
        first.quiet()
        loop.stop_serving(closed.fd)
        loop.remove_reader(closed.fd)
        closed.close()
        newcomer = new_bell()
        assert newcomer.fd == closed.fd
        watch = loop.serve if new == "served" else loop.add_reader
        watch(newcomer.fd, lambda: calls.append("newcomer"))

    loop.serve(first.fd, close_and_open)
    watch = loop.serve if old == "served" else loop.add_reader
    watch(closed.fd, lambda: calls.append("closed"))
    run_once(loop)
    assert calls in ([], ["closed"])  # the latter when the kernel reports it first


def test_a_newcomer_with_the_number_of_a_closed_one_is_called_when_it_rings(loop: EventLoop, new_bell: NewBell):
    closed = new_bell(rung=True)
    loop.serve(closed.fd, closed.quiet)
    loop.stop_serving(closed.fd)
    closed.close()
    newcomer = new_bell(rung=True)
    assert newcomer.fd == closed.fd
    stop_at(loop, newcomer)
    loop.run_forever()
    assert not newcomer.quiet()


# --- callbacks that fail ---------------------------------------------------------------------------------------------


class Broken(Exception):
    pass


def broken() -> None:
    raise Broken


def test_an_error_goes_to_the_exception_handler(loop: EventLoop, errors: list[BaseException], new_bell: NewBell):
    loop.serve(new_bell(rung=True).fd, broken)
    run_once(loop)
    assert [type(error) for error in errors] == [Broken]
    assert errors[0].__traceback__ is not None


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, BaseException])
def test_an_error_that_is_no_end_of_the_program_does_not_end_the_loop(
    loop: EventLoop, errors: list[BaseException], new_bell: NewBell, error: type[BaseException]
):
    def fail() -> None:
        raise error

    loop.serve(new_bell(rung=True).fd, fail)
    run_once(loop)
    assert [type(told) for told in errors] == [error]


def test_a_callback_that_cannot_be_called_is_an_error(loop: EventLoop, errors: list[BaseException], new_bell: NewBell):
    loop.serve(new_bell(rung=True).fd, "no function")  # type: ignore[arg-type]
    run_once(loop)
    assert [type(error) for error in errors] == [TypeError]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", ["served", "reader"])
@pytest.mark.usefixtures("errors")
def test_others_go_on_while_a_callback_fails_again_and_again(loop: EventLoop, new_bell: NewBell, place: str, kind: str):
    failing, other = new_bell(rung=True), new_bell(rung=True)
    watch = loop.serve if kind == "served" else loop.add_reader
    if place == "before":
        watch(other.fd, loop.stop)
    loop.serve(failing.fd, broken)
    if place == "after":
        watch(other.fd, loop.stop)
    loop.run_forever()


@pytest.mark.usefixtures("errors")
def test_calls_of_other_threads_go_on_while_a_callback_fails_again_and_again(loop: EventLoop, new_bell: NewBell):
    loop.serve(new_bell(rung=True).fd, broken)
    calling = threading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,))
    calling.start()
    loop.run_forever()
    calling.join()


def test_every_error_of_a_batch_is_told(loop: EventLoop, errors: list[BaseException], new_bell: NewBell):
    for _ in range(3):
        loop.serve(new_bell(rung=True).fd, broken)
    run_once(loop)
    assert [type(error) for error in errors] == [Broken] * 3


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_program_in_a_callback_loses_nothing(
    loop: EventLoop, new_bell: NewBell, end: type[BaseException]
):
    before, ending, after, calls = new_bell(rung=True), new_bell(rung=True), new_bell(rung=True), []

    def fail() -> None:
        ending.quiet()
        raise end

    loop.add_reader(before.fd, lambda: calls.append(before.quiet()))
    loop.serve(ending.fd, fail)
    loop.serve(after.fd, lambda: calls.append(after.quiet()))
    with pytest.raises(end):
        loop.run_forever()
    run_once(loop)
    run_once(loop)
    assert calls == [True, True]


def test_an_error_of_a_signals_handler_ends_the_run_as_in_asyncio(any_loop: asyncio.AbstractEventLoop):
    with pytest.raises(Broken), signalled(broken):
        any_loop.run_forever()
