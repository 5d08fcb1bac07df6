"""The event loop that calls who is served within its wait."""

import asyncio
import os
import threading
from contextvars import ContextVar
from pathlib import Path

import pytest

from peppy.loop import EventLoop, Turn

from .bells import Bell, NewBell


def stop_at(loop: EventLoop, bell: Bell) -> None:
    """Serve `bell` with the end of this run of the loop."""

    def stop() -> None:
        bell.quiet()
        loop.stop()

    loop.serve(bell.fd, stop)


def run_once(loop: EventLoop) -> None:
    """One wait, that does not sleep, and the callbacks that were due."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_a_served_callback_is_called_when_somebody_rings(loop: EventLoop, new_bell: NewBell):
    bell = new_bell()
    stop_at(loop, bell)
    ringing = threading.Thread(target=bell.ring)
    loop.call_soon(ringing.start)
    loop.run_forever()
    ringing.join()
    assert not bell.quiet()


def test_a_served_callback_is_called_before_what_it_hands_to_call_soon(loop: EventLoop, new_bell: NewBell):
    bell, order = new_bell(rung=True), []

    def called() -> None:
        loop.call_soon(order.append, "soon")
        loop.call_soon(loop.stop)
        order.append(bell.quiet())

    loop.serve(bell.fd, called)
    loop.run_forever()
    assert order == [True, "soon"]


def test_a_served_callback_is_called_before_what_was_due_already(loop: EventLoop, new_bell: NewBell):
    bell, order = new_bell(rung=True), []
    loop.serve(bell.fd, lambda: order.append(bell.quiet()))
    loop.call_soon(order.append, "soon")
    run_once(loop)
    assert order == [True, "soon"]


def test_a_served_callback_is_called_before_a_reader_that_was_ready_first(loop: EventLoop, new_bell: NewBell):
    read, served, order = new_bell(rung=True), new_bell(rung=True), []
    loop.add_reader(read.fd, lambda: order.append("reader"))
    loop.serve(served.fd, lambda: order.append("served"))
    run_once(loop)
    assert order == ["served", "reader"]


def test_a_served_callback_is_called_again_until_it_has_read(loop: EventLoop, new_bell: NewBell):
    bell, calls = new_bell(rung=True), []

    def called() -> None:
        calls.append(len(calls))
        if len(calls) == 3:
            bell.quiet()

    loop.serve(bell.fd, called)
    for _ in range(5):
        run_once(loop)
    assert calls == [0, 1, 2]


def test_a_silent_descriptor_is_not_called(loop: EventLoop, new_bell: NewBell):
    calls: list[int] = []
    loop.serve(new_bell().fd, lambda: calls.append(1))
    run_once(loop)
    assert not calls


def test_a_descriptor_whose_other_end_hung_up_is_called(loop: EventLoop):
    reader, writer = os.pipe()
    os.close(writer)
    read: list[bytes] = []

    def called() -> None:
        read.append(os.read(reader, 1))
        loop.stop_serving(reader)

    loop.serve(reader, called)
    run_once(loop)
    os.close(reader)
    assert read == [b""]


def test_one_that_is_left_alone_is_called_no_more(loop: EventLoop, new_bell: NewBell):
    bell, calls = new_bell(rung=True), []
    loop.serve(bell.fd, lambda: calls.append(1))
    loop.stop_serving(bell.fd)
    run_once(loop)
    assert not calls


def test_one_that_was_left_alone_can_be_served_again(loop: EventLoop, new_bell: NewBell):
    bell, calls = new_bell(rung=True), []
    loop.serve(bell.fd, lambda: calls.append("first"))
    loop.stop_serving(bell.fd)
    loop.serve(bell.fd, lambda: calls.append("second"))
    run_once(loop)
    assert calls == ["second"]


def test_one_that_was_left_alone_can_have_a_reader(loop: EventLoop, new_bell: NewBell):
    bell, calls = new_bell(rung=True), []
    loop.serve(bell.fd, lambda: calls.append("served"))
    loop.stop_serving(bell.fd)
    loop.add_reader(bell.fd, calls.append, "reader")
    run_once(loop)
    assert calls == ["reader"]


def test_one_that_is_closed_elsewhere_too_wakes_nobody_once_it_is_left_alone(loop: EventLoop, new_bell: NewBell):
    bell, calls = new_bell(rung=True), []
    twin = os.dup(bell.fd)
    loop.serve(bell.fd, lambda: calls.append(1))
    loop.stop_serving(bell.fd)
    bell.close()
    run_once(loop)
    os.close(twin)
    assert not calls


def test_leaving_alone_twice_does_nothing(loop: EventLoop, new_bell: NewBell):
    bell = new_bell()
    loop.serve(bell.fd, bell.quiet)
    loop.stop_serving(bell.fd)
    loop.stop_serving(bell.fd)


def test_leaving_alone_one_that_has_a_reader_leaves_the_reader(loop: EventLoop, new_bell: NewBell):
    bell, calls = new_bell(rung=True), []
    loop.add_reader(bell.fd, calls.append, "reader")
    loop.stop_serving(bell.fd)
    run_once(loop)
    assert calls == ["reader"]


def test_leaving_alone_one_that_was_closed_first_does_nothing_else(loop: EventLoop, new_bell: NewBell):
    bell = new_bell()
    loop.serve(bell.fd, bell.quiet)
    bell.close()
    loop.stop_serving(bell.fd)
    run_once(loop)


def test_leaving_alone_on_a_closed_loop_does_nothing(loop: EventLoop, new_bell: NewBell):
    bell = new_bell()
    loop.serve(bell.fd, bell.quiet)
    loop.close()
    loop.stop_serving(bell.fd)


def test_a_closed_loop_serves_nobody(loop: EventLoop, new_bell: NewBell):
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.serve(new_bell().fd, print)


def test_a_closed_loop_has_closed_its_descriptors():
    before = descriptors()
    loop = EventLoop()
    bell = Bell()
    loop.serve(bell.fd, bell.quiet)
    loop.close()
    bell.close()
    assert descriptors() == before


def test_serving_twice_is_refused(loop: EventLoop, new_bell: NewBell):
    bell, calls = new_bell(rung=True), []
    loop.serve(bell.fd, lambda: calls.append("first"))
    with pytest.raises(KeyError):
        loop.serve(bell.fd, lambda: calls.append("second"))
    run_once(loop)
    assert calls == ["first"]


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_serving_one_that_has_a_reader_or_writer_is_refused(loop: EventLoop, new_bell: NewBell, kind: str):
    bell, calls = new_bell(rung=True), []
    add = loop.add_reader if kind == "reader" else loop.add_writer
    add(bell.fd, calls.append, kind)
    with pytest.raises(KeyError):
        loop.serve(bell.fd, lambda: calls.append("served"))
    run_once(loop)
    assert calls == [kind]


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_a_reader_or_writer_of_one_that_is_served_is_refused(loop: EventLoop, new_bell: NewBell, kind: str):
    bell, calls = new_bell(rung=True), []
    loop.serve(bell.fd, lambda: calls.append("served"))
    add = loop.add_reader if kind == "reader" else loop.add_writer
    with pytest.raises(KeyError):
        add(bell.fd, calls.append, kind)
    run_once(loop)
    assert calls == ["served"]


def test_one_that_is_served_has_no_reader_to_remove(loop: EventLoop, new_bell: NewBell):
    bell, calls = new_bell(rung=True), []
    loop.serve(bell.fd, lambda: calls.append("served"))
    assert not loop.remove_reader(bell.fd)
    assert not loop.remove_writer(bell.fd)
    run_once(loop)
    assert calls == ["served"]


def test_a_descriptor_that_cannot_be_waited_for_is_refused_each_time(loop: EventLoop, tmp_path: Path):
    with (tmp_path / "file").open("w") as file:
        for _ in range(2):
            with pytest.raises(PermissionError):
                loop.serve(file.fileno(), print)


def test_a_closed_descriptor_is_refused(loop: EventLoop):
    bell = Bell()
    bell.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.serve(bell.fd, print)


# --- tasks that are woken within the wait ----------------------------------------------------------------------------


def test_a_task_that_is_woken_goes_on_within_the_wait(loop: EventLoop, new_bell: NewBell):
    bell, turn, order = new_bell(rung=True), Turn(loop=loop), []

    async def sleeper() -> None:
        await turn
        order.append("task")

    def called() -> None:
        bell.quiet()
        loop.call_soon(order.append, "soon")
        turn.wake(None)
        order.append("callback")

    async def main() -> None:
        task = loop.create_task(sleeper())
        await asyncio.sleep(0)
        loop.serve(bell.fd, called)
        await task

    loop.run_until_complete(main())
    assert order == ["task", "callback", "soon"]


def test_a_task_that_is_woken_may_do_what_every_task_may(loop: EventLoop, new_bell: NewBell):
    bell, other, removed, turn, done = new_bell(rung=True), new_bell(rung=True), new_bell(), Turn(loop=loop), []

    async def sleeper() -> None:
        await turn
        loop.call_soon(done.append, "soon")
        loop.stop_serving(removed.fd)
        removed.close()
        rung = loop.create_future()
        loop.serve(other.fd, lambda: (other.quiet(), rung.set_result("rung")))
        done.append(await loop.create_task(asyncio.sleep(0, "created")))
        done.append(await rung)

    async def main() -> None:
        loop.serve(removed.fd, removed.quiet)
        task = loop.create_task(sleeper())
        await asyncio.sleep(0)
        loop.serve(bell.fd, lambda: (bell.quiet(), turn.wake(None)))
        await task

    loop.run_until_complete(main())
    assert done == ["soon", "created", "rung"]


def test_a_task_that_is_woken_is_the_current_one_in_its_own_context(loop: EventLoop, new_bell: NewBell):
    bell, turn = new_bell(rung=True), Turn(loop=loop)
    name = ContextVar("name", default="outside")

    async def sleeper() -> tuple[object, str]:
        name.set("inside")
        await turn
        return asyncio.current_task(), name.get()

    async def main() -> None:
        task = loop.create_task(sleeper())
        await asyncio.sleep(0)
        loop.serve(bell.fd, lambda: (bell.quiet(), turn.wake(None)))
        assert await task == (task, "inside")
        assert name.get() == "outside"

    loop.run_until_complete(main())


def test_a_task_that_is_woken_may_stop_the_loop(loop: EventLoop, new_bell: NewBell):
    bell, turn = new_bell(rung=True), Turn(loop=loop)

    async def sleeper() -> None:
        await turn
        loop.stop()

    task = loop.create_task(sleeper())
    run_once(loop)
    loop.serve(bell.fd, lambda: (bell.quiet(), turn.wake(None)))
    loop.run_forever()
    assert task.done()


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_program_in_a_woken_task_ends_the_run(
    loop: EventLoop, new_bell: NewBell, end: type[BaseException]
):
    bell, turn = new_bell(rung=True), Turn(loop=loop)

    async def main() -> None:
        loop.serve(bell.fd, lambda: (bell.quiet(), turn.wake(None)))
        await turn
        raise end

    task = loop.create_task(main())
    with pytest.raises(end):
        loop.run_until_complete(task)
    assert isinstance(task.exception(), end)


def test_an_error_of_a_woken_task_is_the_result_of_the_task(loop: EventLoop, new_bell: NewBell):
    bell, turn = new_bell(rung=True), Turn(loop=loop)

    async def main() -> None:
        loop.serve(bell.fd, lambda: (bell.quiet(), turn.wake(None)))
        await turn
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        loop.run_until_complete(main())
