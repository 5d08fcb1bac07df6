"""What is handed to the loop from anywhere, and the tasks that it wakes."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from peppy.loop import EventLoop, Turn, post

from .bells import NewBell
from .test_loop import run_once


def test_what_is_posted_runs_in_its_order(loop: EventLoop):
    order: list[int] = []
    for number in range(3):
        loop.post(order.append, number)
    run_once(loop)
    assert order == [0, 1, 2]


def test_what_threads_post_runs_once_each_in_the_order_of_each_thread(loop: EventLoop):
    arrived: list[tuple[int, int]] = []

    def take(thread: int, number: int) -> None:
        arrived.append((thread, number))
        if len(arrived) == 4 * 500:
            loop.stop()

    def send(thread: int) -> None:
        for number in range(500):
            loop.post(take, thread, number)

    threads = [threading.Thread(target=send, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    loop.run_forever()
    for thread in threads:
        thread.join()
    for thread in range(4):
        assert [number for sender, number in arrived if sender == thread] == list(range(500))


def test_what_is_posted_before_the_loop_runs_waits_for_it(loop: EventLoop):
    loop.post(loop.stop)
    loop.run_forever()


def test_what_is_posted_runs_where_no_task_is_running(loop: EventLoop):
    async def main() -> object:
        found: asyncio.Future[object] = loop.create_future()
        loop.post(lambda: found.set_result(asyncio.current_task()))
        return await found

    assert loop.run_until_complete(main()) is None


def test_one_that_fails_goes_to_the_exception_handler_and_stops_nobody(loop: EventLoop, errors: list[BaseException]):
    order: list[str] = []
    loop.post(lambda: 1 / 0)
    loop.post(order.append, "next")
    run_once(loop)
    assert ([type(error) for error in errors], order) == ([ZeroDivisionError], ["next"])


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_one_that_ends_the_run_leaves_the_others_to_the_next_run(loop: EventLoop, end: type[BaseException]):
    def leave() -> None:
        raise end

    loop.post(leave)
    loop.post(loop.stop)
    with pytest.raises(end):
        loop.run_forever()
    loop.run_forever()


def test_one_that_posts_itself_for_ever_leaves_a_timer_its_turn(loop: EventLoop):
    def again() -> None:
        loop.post(again)

    loop.post(again)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()


def test_one_that_posts_itself_for_ever_leaves_a_reader_its_turn(loop: EventLoop, new_bell: NewBell):
    def again() -> None:
        loop.post(again)

    loop.post(again)
    loop.add_reader(new_bell(rung=True).fd, loop.stop)
    loop.run_forever()


def test_nothing_can_be_posted_to_a_closed_loop(loop: EventLoop):
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.post(print)


def test_a_closed_loop_keeps_nothing_that_was_posted(loop: EventLoop):
    class Argument:
        pass

    argument = Argument()
    seen = weakref.ref(argument)
    loop.post(print, argument)
    loop.close()
    del argument
    assert seen() is None


def test_threads_that_post_while_the_loop_closes_are_told_nothing_but_that(loop: EventLoop):
    told: list[BaseException] = []

    def send() -> None:
        try:
            while True:
                loop.post(int)
        except BaseException as error:
            told.append(error)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    run_once(loop)
    loop.close()
    for thread in threads:
        thread.join()
    assert [str(error) for error in told] == ["Event loop is closed"] * 3


def test_another_loop_is_handed_things_too(any_loop: asyncio.AbstractEventLoop):
    handing = threading.Thread(target=post, args=(any_loop, any_loop.stop))
    any_loop.call_soon(handing.start)
    any_loop.run_forever()
    handing.join()


# --- turns -----------------------------------------------------------------------------------------------------------


async def _wait_for(turn: Turn[str]) -> str:
    return await turn


def test_waking_one_that_nobody_awaits_yet_leaves_the_result_to_whoever_comes(loop: EventLoop):
    turn: Turn[str] = Turn(loop=loop)
    turn.wake("early")
    assert loop.run_until_complete(_wait_for(turn)) == "early"


def test_cancelling_before_the_wake_up_ends_the_wait(loop: EventLoop):
    turn: Turn[str] = Turn(loop=loop)

    async def main() -> None:
        task = loop.create_task(_wait_for(turn))
        await asyncio.sleep(0)
        loop.post(lambda: (task.cancel(), turn.wake("late")))
        await task

    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(main())


def test_cancelling_after_the_wake_up_takes_nothing_away(loop: EventLoop):
    turn: Turn[str] = Turn(loop=loop)
    cancelled: list[bool] = []

    async def main() -> str:
        task = loop.create_task(_wait_for(turn))
        await asyncio.sleep(0)
        loop.post(lambda: (turn.wake("in time"), cancelled.append(task.cancel())))
        return await task

    assert loop.run_until_complete(main()) == "in time"
    assert cancelled == [False]


def test_waking_twice_gives_the_first_result(loop: EventLoop):
    turn: Turn[str] = Turn(loop=loop)

    async def main() -> str:
        task = loop.create_task(_wait_for(turn))
        await asyncio.sleep(0)
        loop.post(lambda: (turn.wake("first"), turn.wake("second")))
        return await task

    assert loop.run_until_complete(main()) == "first"


def test_a_limit_of_time_that_passes_in_the_pass_of_the_wake_up_loses_no_result(any_loop: asyncio.AbstractEventLoop):
    """Whichever is first: the result is the task's, or still in the turn's hands."""

    async def main() -> None:
        for _ in range(200):
            turn: Turn[str] = Turn(loop=any_loop)
            left: list[str] = ["result"]

            async def take(turn: Turn[str], left: list[str]) -> str:
                await turn
                return left.pop()

            waking = threading.Timer(0.001, post, (any_loop, turn.wake, "woken"))
            waking.start()
            try:
                found = [await asyncio.wait_for(take(turn, left), 0.001)]
            except TimeoutError:
                found = []
            waking.join()
            assert found + left == ["result"]

    any_loop.run_until_complete(main())


def _fail(turn: Turn[str]) -> None:
    turn.set_exception(ValueError())


def _succeed(turn: Turn[str]) -> None:
    turn.set_result("")


def _wake(turn: Turn[str]) -> None:
    turn.wake("")


def _cancel(turn: Turn[str]) -> None:
    turn.cancel()


@pytest.mark.parametrize("end", [_fail, _succeed, _wake, _cancel])
def test_a_turn_that_has_ended_keeps_no_task_alive(loop: EventLoop, end: Callable[[Turn[str]], None]):
    async def wait() -> str:
        turn: Turn[str] = Turn(loop=loop)
        loop.post(end, turn)
        return await turn

    def started(work: Coroutine[Any, Any, str]) -> "asyncio.Task[str]":
        return loop.create_task(work)

    async def main() -> bool:
        task = started(wait())
        seen = weakref.ref(task)
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        del task
        await asyncio.sleep(0)
        return seen() is None

    gc.disable()
    try:
        assert loop.run_until_complete(main())
    finally:
        gc.enable()
