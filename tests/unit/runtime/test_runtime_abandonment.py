"""When nobody can finish a goal any more (docs/reference/services_actions.md, Abandonment)."""

import asyncio
import functools
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from threading import Event
from typing import Any

import pytest
from goals_bench import Bench, Context, Handle, accept_all, on_loop, spawn

from peppy.model.goals import ResultStatus

ABANDONED = ResultStatus.ABANDONED
Work = Callable[[Context], Coroutine[Any, Any, Any]]


async def usual_loop(handle: Handle, work: Work) -> None:
    while (ctx := await handle._next_goal(accept_all)) is not None:
        spawn(work(ctx))


async def loop_with_a_cell(handle: Handle, work: Work) -> None:
    """Its variable lives in a cell, for a function that is gone when it waits."""
    while (ctx := await handle._next_goal(accept_all)) is not None:
        (lambda: asyncio.create_task(work(ctx)))()


async def goals_of(handle: Handle) -> AsyncIterator[Context]:
    while (ctx := await handle._next_goal(accept_all)) is not None:
        yield ctx


async def loop_over_a_generator(handle: Handle, work: Work) -> None:
    async for ctx in goals_of(handle):
        spawn(work(ctx))


async def loop_that_waits_for_its_worker(handle: Handle, work: Work) -> None:
    while (ctx := await handle._next_goal(accept_all)) is not None:
        await asyncio.create_task(work(ctx))


async def loop_that_says_hello(handle: Handle, work: Work) -> None:
    """It works on every goal, for a moment."""
    while (ctx := await handle._next_goal(accept_all)) is not None:
        await ctx.publish_feedback(0)
        spawn(work(ctx))


async def loop_that_works_itself(handle: Handle, work: Work) -> None:
    while (ctx := await handle._next_goal(accept_all)) is not None:
        await work(ctx)


async def loop_through_arguments(handle: Handle, work: Work) -> None:
    async def guarded(call: Work, *arguments: Any) -> None:
        await call(*arguments)

    while (ctx := await handle._next_goal(accept_all)) is not None:
        spawn(guarded(work, ctx))


LOOPS = (
    usual_loop,
    loop_with_a_cell,
    loop_over_a_generator,
    loop_that_waits_for_its_worker,
    loop_that_says_hello,
    loop_through_arguments,
)


async def begin(bench: Bench, work: Work, loop: Any = usual_loop) -> str:
    """A goal that is worked on in this way; its id."""
    spawn(loop(await bench.expose(), work))
    await bench.passes()
    return bench.send()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_that_returned_has_abandoned_its_goal_whatever_the_accept_loop_names(loop: Any) -> None:
    async def claim(bench: Bench) -> None:
        async def work(ctx: Context) -> None:
            await ctx.publish_feedback(1)

        assert await bench.ended(await begin(bench, work, loop)) is ABANDONED

    on_loop(claim)


def test_a_loop_that_works_itself_may_come_back_to_a_goal_until_its_variable_names_the_next() -> None:
    async def claim(bench: Bench) -> None:
        async def work(ctx: Context) -> None:
            await ctx.publish_feedback(1)

        goal_id = await begin(bench, work, loop_that_works_itself)
        await bench.looked()
        assert bench.is_live(goal_id)
        bench.send()
        assert await bench.ended(goal_id) is ABANDONED

    on_loop(claim)


@pytest.mark.parametrize("loop", [*LOOPS, loop_that_works_itself])
def test_a_running_worker_keeps_its_goal(loop: Any) -> None:
    async def claim(bench: Bench) -> None:
        async def work(ctx: Context) -> None:
            await ctx.cancel_signal()

        goal_id = await begin(bench, work, loop)
        await bench.passes(20)
        gc.collect()
        await bench.looked()
        assert bench.is_live(goal_id)

    on_loop(claim)


def in_a_dictionary(held: list[Any], ctx: Context) -> None:
    held.append({"ctx": ctx})


def in_an_object(held: list[Any], ctx: Context) -> None:
    holder = type("Holder", (), {})()
    holder.ctx = ctx
    held.append(holder)


def in_a_partial(held: list[Any], ctx: Context) -> None:
    held.append(functools.partial(print, ctx))


def in_a_bound_method(held: list[Any], ctx: Context) -> None:
    held.append(ctx.complete)


def in_a_closure(held: list[Any], ctx: Context) -> None:
    held.append(lambda: ctx)


def in_a_timer(held: list[Any], ctx: Context) -> None:
    held.append(asyncio.get_running_loop().call_later(60, print, ctx))


def in_a_task_that_does_not_work_on_it(held: list[Any], ctx: Context) -> None:
    async def keep(box: list[Context]) -> None:
        kept = box.pop()
        await asyncio.Event().wait()
        del kept

    held.append(asyncio.create_task(keep([ctx])))


HOLDERS = (
    in_a_dictionary,
    in_an_object,
    in_a_partial,
    in_a_bound_method,
    in_a_closure,
    in_a_timer,
    in_a_task_that_does_not_work_on_it,
)


@pytest.mark.parametrize("hold", HOLDERS)
def test_a_context_that_somebody_else_holds_may_be_finished_later(hold: Any) -> None:
    async def claim(bench: Bench) -> None:
        held: list[Any] = []

        async def work(ctx: Context) -> None:
            hold(held, ctx)
            await bench.passes(3)

        goal_id = await begin(bench, work)
        await bench.looked()
        assert held
        assert bench.is_live(goal_id)
        for holder in held:
            if hasattr(holder, "cancel"):
                holder.cancel()
        held.clear()
        del holder
        assert await bench.ended(goal_id) is ABANDONED

    on_loop(claim)


def test_a_context_in_a_running_thread_may_be_finished_later() -> None:
    async def claim(bench: Bench) -> None:
        go_on = Event()

        def wait_on_thread(ctx: Context) -> str:
            go_on.wait(60)
            return ctx.goal_id()

        async def work(ctx: Context) -> None:
            asyncio.get_running_loop().run_in_executor(None, wait_on_thread, ctx)
            await bench.passes(3)

        goal_id = await begin(bench, work)
        await bench.looked()
        assert bench.is_live(goal_id)
        go_on.set()
        assert await bench.ended(goal_id) is ABANDONED

    on_loop(claim)


def test_a_worker_that_raises_has_abandoned_its_goal_though_the_traceback_holds_it() -> None:
    async def claim(bench: Bench) -> None:
        errors: list[BaseException] = []

        async def work(_ctx: Context) -> None:
            try:
                raise ValueError("it fails")
            except ValueError as error:
                errors.append(error)
                raise

        assert await bench.ended(await begin(bench, work)) is ABANDONED
        assert errors

    on_loop(claim)


def test_the_error_of_a_worker_still_counts_as_one_that_nobody_has_looked_at() -> None:
    async def claim(bench: Bench) -> None:
        tasks: list[asyncio.Task[Any] | None] = []

        async def work(_ctx: Context) -> None:
            tasks.append(asyncio.current_task())
            raise ValueError("it fails")

        assert await bench.ended(await begin(bench, work)) is ABANDONED
        assert getattr(tasks[0], "_log_traceback", False)  # what the life of a node asks before it prints a traceback
        assert tasks[0] is not None
        tasks[0].exception()

    on_loop(claim)


def test_a_worker_that_was_cancelled_has_abandoned_its_goal() -> None:
    async def claim(bench: Bench) -> None:
        kept: list[Any] = []

        async def work(ctx: Context) -> None:
            kept.append(ctx)
            kept.append(asyncio.current_task())
            await asyncio.Event().wait()

        goal_id = await begin(bench, work)
        await bench.passes()
        kept[1].cancel()
        assert await bench.ended(goal_id) is ABANDONED

    on_loop(claim)


def test_a_cancelled_helper_does_not_end_a_goal_that_its_worker_has_put_away() -> None:
    async def claim(bench: Bench) -> None:
        kept: list[Context] = []

        async def report(ctx: Context) -> None:
            await ctx.publish_feedback(1)
            await asyncio.Event().wait()

        async def work(ctx: Context) -> None:
            helper = asyncio.create_task(report(ctx))
            await bench.passes(3)
            kept.append(ctx)
            helper.cancel()

        goal_id = await begin(bench, work)
        await bench.looked()
        assert bench.is_live(goal_id)
        await kept.pop().complete(True)
        assert await bench.ended(goal_id) is ResultStatus.COMPLETED

    on_loop(claim)


def test_the_goal_lives_until_the_last_of_its_workers_ends() -> None:
    async def claim(bench: Bench) -> None:
        go_on = asyncio.Event()

        async def rest(ctx: Context) -> None:
            await go_on.wait()
            await ctx.complete(True)

        async def work(ctx: Context) -> None:
            spawn(rest(ctx))

        goal_id = await begin(bench, work)
        await bench.passes(20)
        assert bench.is_live(goal_id)
        go_on.set()
        assert await bench.ended(goal_id) is ResultStatus.COMPLETED

    on_loop(claim)


def test_a_task_that_only_waits_for_the_cancel_signal_does_not_keep_a_goal() -> None:
    async def claim(bench: Bench) -> None:
        waiting: list[Any] = []

        async def work(ctx: Context) -> None:
            waiting.append(asyncio.ensure_future(ctx.cancel_signal()))
            await bench.passes(3)

        assert await bench.ended(await begin(bench, work)) is ABANDONED
        assert not waiting[0].done()

    on_loop(claim)


def test_the_last_reference_takes_the_goal_with_it_while_its_worker_runs() -> None:
    async def claim(bench: Bench) -> None:
        async def work(ctx: Context) -> None:
            await ctx.publish_feedback(1)
            del ctx
            await asyncio.Event().wait()

        async def loop(handle: Handle, work: Work) -> None:
            ctx = await handle._next_goal(accept_all)
            assert ctx is not None
            spawn(work(ctx))
            del ctx
            await handle._next_goal(accept_all)

        assert await bench.ended(await begin(bench, work, loop)) is ABANDONED

    on_loop(claim)


def test_a_context_in_a_cycle_is_abandoned_when_it_is_collected() -> None:
    async def claim(bench: Bench) -> None:
        handle = await bench.expose()
        goal_id = bench.send()
        ctx = await handle._next_goal(accept_all)
        assert ctx is not None
        cycle: list[Any] = [ctx]
        cycle.append(cycle)
        del ctx, cycle
        gc.collect()
        assert await bench.ended(goal_id) is ABANDONED

    on_loop(claim)


def test_a_worker_that_takes_contexts_from_a_queue_keeps_the_goal_it_has() -> None:
    async def claim(bench: Bench) -> None:
        queue: asyncio.Queue[Context] = asyncio.Queue()

        async def put(ctx: Context) -> None:
            queue.put_nowait(ctx)

        async def worker() -> None:
            while True:
                ctx = await queue.get()
                await ctx.publish_feedback(1)
                await bench.looked()
                await ctx.complete(True)

        spawn(worker())
        assert await bench.ended(await begin(bench, put)) is ResultStatus.COMPLETED

    on_loop(claim)


def test_goals_that_are_live_at_the_end_of_the_node_are_abandoned() -> None:
    async def claim(bench: Bench) -> None:
        async def work(ctx: Context) -> None:
            await ctx.cancel_signal()

        goal_id = await begin(bench, work)
        await bench.passes()
        await bench.goals.abandon_all(asyncio.get_running_loop().time() + 60)
        assert bench.link.outcomes == {goal_id: ABANDONED}

    on_loop(claim)
