"""What the event loop waits with."""

import gc
import os
import select
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from math import inf, nan
from time import monotonic
from typing import Any

import pytest

from peppy.loop import quiet
from peppy.loop._wait import wait

from .bells import Bell, NewBell
from .signals import signalled


@pytest.fixture
def epoll() -> Iterator[select.epoll]:
    with select.epoll() as epoll:
        yield epoll


def waited(epoll: int, timeout: float | None, served: dict[int, Callable[[], object]] | None = None) -> list[Any]:
    return wait(epoll, timeout, served or {}, {}, [0], [], pytest.fail)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (0, 0, {}, {}, [], []),
        (0, 0, {}, {}, [], [], print, 0),
        ("0", 0, {}, {}, [], [], print),
        (None, 0, {}, {}, [], [], print),
        (0, "0", {}, {}, [], [], print),
        (0, 0, [], {}, [], [], print),
        (0, 0, {}, None, [], [], print),
        (0, 0, {}, {}, [], None, print),
        (0, 0, {}, {}, [], [], None),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]):
    with pytest.raises(TypeError):
        wait(*arguments)


@pytest.mark.parametrize("number", [2**80, -(2**80)])
def test_a_number_that_no_descriptor_has_is_refused(number: int):
    with pytest.raises(OverflowError):
        waited(number, 0)


@pytest.mark.parametrize("beyond", [2**32, -(2**32)])
def test_a_number_is_not_cut_to_that_of_another_descriptor(epoll: select.epoll, new_bell: NewBell, beyond: int):
    with pytest.raises(OverflowError):
        waited(epoll.fileno() + beyond, 0)
    with pytest.raises(OverflowError):
        quiet(new_bell(rung=True).fd + beyond)


@pytest.mark.parametrize("timeout", [None, 0, 0.001])
def test_a_closed_descriptor_cannot_be_waited_on(timeout: float | None):
    epoll = select.epoll()
    number = epoll.fileno()
    epoll.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        waited(number, timeout)


def test_an_eventfd_cannot_be_waited_on(new_bell: NewBell):
    with pytest.raises(OSError, match="Invalid argument"):
        waited(new_bell().fd, 0)


@pytest.mark.parametrize("timeout", [0, -0.0, -1, -1e-9, -1e300, -inf, nan, False])
def test_without_time_to_wait_it_looks_once(epoll: select.epoll, timeout: float):
    assert waited(epoll.fileno(), timeout) == []


@pytest.mark.parametrize("timeout", [None, 1e-12, 1e-9, 0.999999999999, 1, 1e9, 1e300, inf, 2**70, True])
def test_it_returns_when_somebody_is_ready_however_long_it_may_wait(
    epoll: select.epoll, new_bell: NewBell, timeout: float | None
):
    bell, calls = new_bell(rung=True), []
    epoll.register(bell.fd, select.EPOLLIN)
    waited(epoll.fileno(), timeout, {bell.fd: lambda: calls.append(1)})
    assert calls == [1]


@pytest.mark.parametrize("timeout", [1e-9, 1e-6, 5e-6, 0.0001, 0.00099, 0.0015, 0.02])
def test_it_never_returns_early(epoll: select.epoll, timeout: float):
    for _ in range(20):
        began = monotonic()
        assert waited(epoll.fileno(), timeout) == []
        assert monotonic() - began >= timeout


def test_other_threads_run_while_it_waits(epoll: select.epoll, new_bell: NewBell):
    bell = new_bell()
    epoll.register(bell.fd, select.EPOLLIN)
    ringing = threading.Thread(target=bell.ring)
    threads = {bell.fd: bell.quiet}
    ringing.start()
    waited(epoll.fileno(), None, threads)
    ringing.join()
    assert not bell.quiet()


def test_a_signal_during_the_wait_runs_its_handler(epoll: select.epoll, new_bell: NewBell):
    bell, calls = new_bell(), []
    epoll.register(bell.fd, select.EPOLLIN)
    with signalled(bell.ring):
        while not calls:
            waited(epoll.fileno(), None, {bell.fd: lambda: calls.append(bell.quiet())})
    assert calls == [True]


def test_an_error_of_a_signals_handler_leaves_the_wait(epoll: select.epoll):
    with pytest.raises(ZeroDivisionError), signalled(lambda: 1 / 0):
        waited(epoll.fileno(), None)


def test_an_error_of_who_is_told_of_errors_leaves_the_wait(epoll: select.epoll, new_bell: NewBell):
    def told(error: BaseException) -> None:
        raise LookupError from error

    bell = new_bell(rung=True)
    epoll.register(bell.fd, select.EPOLLIN)
    with pytest.raises(LookupError):
        wait(epoll.fileno(), 0, {bell.fd: lambda: 1 / 0}, {}, [0], [], told)


def test_an_event_that_nobody_waits_for_is_none(epoll: select.epoll, new_bell: NewBell):
    epoll.register(new_bell(rung=True).fd, select.EPOLLIN)
    assert waited(epoll.fileno(), None) == []


@pytest.mark.parametrize("events", [selectors.EVENT_READ, selectors.EVENT_WRITE, 3])
@pytest.mark.parametrize("state", ["silent", "readable", "full", "half closed", "closed", "reset"])
def test_events_are_reported_as_by_the_selector(events: int, state: str):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs, selectors.EpollSelector() as selector:
        if state == "readable":
            theirs.send(b"x")
        elif state == "full":
            while fill(ours):
                pass
        elif state == "half closed":
            theirs.shutdown(socket.SHUT_WR)
        elif state == "closed":
            theirs.close()
        elif state == "reset":
            ours.send(b"unread")
            theirs.close()
        key = selector.register(ours, events)
        assert wait(selector.fileno(), 0, {}, {ours.fileno(): key}, [0], [], pytest.fail) == selector.select(0)


def fill(sender: socket.socket) -> bool:
    try:
        return sender.send(bytes(4096)) > 0
    except BlockingIOError:
        return False


# --- quiet -----------------------------------------------------------------------------------------------------------


def test_a_bell_that_was_rung_is_told_once(new_bell: NewBell):
    bell = new_bell()
    bell.ring()
    bell.ring()
    assert (quiet(bell.fd), quiet(bell.fd)) == (True, False)


def test_a_silent_bell_is_told_at_once(new_bell: NewBell):
    assert quiet(new_bell().fd) is False


def test_a_closed_bell_is_refused():
    bell = Bell()
    bell.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        quiet(bell.fd)


@pytest.mark.parametrize("number", [-1, 2**31 - 1])
def test_a_number_that_no_bell_has_is_refused(number: int):
    with pytest.raises(OSError, match="Bad file descriptor"):
        quiet(number)


@pytest.mark.parametrize("bell", [None, "1", 1.0, [1]])
def test_what_is_no_number_is_no_bell(bell: Any):
    with pytest.raises(TypeError):
        quiet(bell)


def test_a_bell_that_can_only_be_written_is_refused():
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            quiet(writer)
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_who_waits_for_edges_is_called_though_another_one_ends_the_loop(
    epoll: select.epoll, new_bell: NewBell, end: type[BaseException]
):
    bells, calls = [new_bell() for _ in range(3)], list[int]()

    def ending(fd: int) -> None:
        calls.append(fd)
        if len(calls) == 1:
            raise end

    served = {bell.fd: lambda fd=bell.fd: ending(fd) for bell in bells}
    for bell in bells:
        epoll.register(bell.fd, select.EPOLLIN | select.EPOLLET)
        bell.ring()
    with pytest.raises(end):
        waited(epoll.fileno(), 0, served)
    assert sorted(calls) == sorted(served)


def test_the_first_of_two_that_end_the_loop_is_raised(
    epoll: select.epoll, new_bell: NewBell, monkeypatch: pytest.MonkeyPatch
):
    ends: list[BaseException] = []
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: unraisable.append(told.exc_value))

    def end() -> None:
        ends.append(KeyboardInterrupt(len(ends)))
        raise ends[-1]

    bells = [new_bell(rung=True) for _ in range(2)]
    for bell in bells:
        epoll.register(bell.fd, select.EPOLLIN)
    with pytest.raises(KeyboardInterrupt) as raised:
        waited(epoll.fileno(), 0, {bell.fd: end for bell in bells})
    assert (raised.value, unraisable) == (ends[0], ends[1:])


def test_nothing_is_kept_when_the_loops_lists_cannot_be_counted(epoll: select.epoll):
    class Uncountable:
        def __len__(self) -> int:
            raise ArithmeticError

    uncountable: Any = Uncountable()

    def lists() -> int:
        gc.collect()
        return sum(type(found) is list for found in gc.get_objects())

    before = lists()
    for _ in range(100):
        with pytest.raises(ArithmeticError):
            wait(epoll.fileno(), 1e-9, {}, {}, uncountable, [], pytest.fail)
    assert lists() < before + 100


def test_looking_at_a_bell_never_blocks_whoever_changed_its_flags(new_bell: NewBell):
    bell = new_bell()
    os.set_blocking(bell.fd, True)
    assert not bell.quiet()
    bell.ring()
    assert [bell.quiet(), bell.quiet()] == [True, False]
