"""Goals at their server: decided, cancelled, ended, told again (docs/reference/services_actions.md, Goals)."""

import asyncio
import os
from time import monotonic_ns
from types import SimpleNamespace
from typing import Any

import pytest
from fake_daemon import open_descriptors
from goals_bench import GOAL, RESULT, Bench, Context, accept_all, on_loop, spawn

from peppy.errors import PeppyError
from peppy.model.goals import ResultStatus
from peppy.protocol.calls import Decision, Deliver, GoalKept, GoalSignalled, SignalGoal
from peppy.protocol.frame import Received
from peppy.protocol.payloads import sealed
from peppy.protocol.streams import RowLeft
from peppy.runtime.actions import GoalResponse
from peppy.runtime.delivery import Delivery

pytestmark = pytest.mark.usefixtures("kind_of_loop")

COMPLETED, CANCELLED = ResultStatus.COMPLETED, ResultStatus.CANCELLED


async def accepted(bench: Bench, handle: Any = None) -> tuple[str, Context]:
    """A live goal, in the hands of the test."""
    handle = handle or await bench.expose()
    goal_id = bench.send()
    ctx = await handle._next_goal(accept_all)
    assert ctx is not None
    return goal_id, ctx


class TestDeciding:
    def test_the_context_comes_after_the_decision(self) -> None:
        async def claim(bench: Bench) -> None:
            goal_id, ctx = await accepted(bench)
            assert bench.link.told == ["Decision"]
            assert (ctx.goal_id(), ctx.is_cancelled()) == (goal_id, False)
            assert ctx.request() == ("c1", "core", GOAL.classes[""](1))

        on_loop(claim)

    @pytest.mark.parametrize(
        ("decider", "reason"),
        [
            (lambda _: GoalResponse.reject("no"), "no"),
            (lambda _: GoalResponse.reject("r" * 5000), "r" * 4096),
            (lambda _: GoalResponse.reject("\udc80"), "\\udc80"),
            (lambda _: {}["bay"], "KeyError: 'bay'"),
            (lambda _: None, "TypeError: the decider of action `dock` returned `None`, not a GoalResponse"),
            (lambda _: True, "TypeError: the decider of action `dock` returned `True`, not a GoalResponse"),
        ],
    )
    def test_what_is_no_acceptance_is_a_rejection(self, decider: Any, reason: str) -> None:
        async def claim(bench: Bench) -> None:
            handle = await bench.expose()
            rejected, taken = bench.send(), bench.send()
            deciders = iter((decider, accept_all))
            ctx = await handle._next_goal(lambda request: next(deciders)(request))
            assert ctx is not None
            assert ctx.goal_id() == taken
            decision = bench.endpoint.decisions[rejected]
            assert (decision.accepted, decision.error_message) == (False, reason)

        on_loop(claim)

    def test_a_goal_that_cannot_be_decoded_is_rejected_before_user_code_runs(self) -> None:
        async def claim(bench: Bench) -> None:
            handle = await bench.expose()
            rejected, taken = bench.send(payload=b"junk", reads=bench.reader()), bench.send()
            ctx = await handle._next_goal(accept_all)
            assert ctx is not None
            assert ctx.goal_id() == taken
            decision = bench.endpoint.decisions[rejected]
            assert not decision.accepted
            assert (decision.error_message or "").startswith("DecodeError: ")

        on_loop(claim)

    def test_a_doorbell_that_is_none_is_a_rejection(self) -> None:
        async def claim(bench: Bench) -> None:
            handle = await bench.expose()
            here, there = os.pipe()
            forged: Any = SimpleNamespace(goal_id="f" * 16, doorbell=here)
            rejected, taken = bench.send(reads=forged), bench.send()
            os.close(here)
            os.close(there)
            ctx = await handle._next_goal(accept_all)
            assert ctx is not None
            assert ctx.goal_id() == taken
            assert not bench.endpoint.decisions[rejected].accepted

        on_loop(claim)

    def test_a_goal_that_comes_again_is_not_decided_twice(self) -> None:
        async def claim(bench: Bench) -> None:
            handle = await bench.expose()
            goal_id, ctx = await accepted(bench, handle)
            again: Any = SimpleNamespace(goal_id=goal_id, doorbell=0)
            for _ in range(2):  # live, then ended
                bench.send(reads=again)
                assert (await accepted(bench, handle))[0] != goal_id
                decision = bench.endpoint.decisions[goal_id]
                assert (decision.accepted, "already in use" in (decision.error_message or "")) == (False, True)
                await ctx.complete(True)

        on_loop(claim)

    def test_a_large_goal_that_comes_again_leaves_no_descriptor(self) -> None:
        async def claim(bench: Bench) -> None:
            handle = await bench.expose()
            goal_id, _ctx = await accepted(bench, handle)
            before = open_descriptors()
            goal: Any = GOAL.encode(1)
            memfd = sealed([(goal, 0)], len(goal))
            frame = Deliver(99, 1, "c1", "core", monotonic_ns() + 60_000_000_000, goal_id, beside=len(goal))
            endpoint: Any = bench.endpoint
            bench.endpoint.queue.put_nowait(Delivery(endpoint, frame, Received(frame, 0, (memfd,))))
            await accepted(bench, handle)
            assert "already in use" in (bench.endpoint.decisions[goal_id].error_message or "")
            assert open_descriptors() == before

        on_loop(claim)

    def test_one_decider_runs_at_a_time(self) -> None:
        async def claim(bench: Bench) -> None:
            running = 0

            async def decide(_request: Any) -> GoalResponse:
                nonlocal running
                running += 1
                assert running == 1
                await bench.passes(3)
                running -= 1
                return GoalResponse.accept()

            handle = await bench.expose()
            ids = [bench.send() for _ in range(4)]
            found = await asyncio.gather(*(handle._next_goal(decide) for _ in ids))
            assert [ctx.goal_id() for ctx in found if ctx is not None] == ids

        on_loop(claim)

    def test_a_client_that_gave_up_during_the_decider_leaves_a_cancelled_goal(self) -> None:
        async def claim(bench: Bench) -> None:
            handle = await bench.expose()
            bench.send()
            delivery: Any = bench.endpoint.queue._queue[0]  # type: ignore[attr-defined]

            def decide(_request: Any) -> GoalResponse:
                delivery.withdrawn = True
                return GoalResponse.accept()

            ctx = await handle._next_goal(decide)
            assert ctx is not None
            assert ctx.is_cancelled()
            await ctx.cancel_signal()

        on_loop(claim)

    def test_a_cancelled_decider_is_a_rejection_unless_the_node_ends(self) -> None:
        async def claim(bench: Bench) -> None:
            async def decide(_request: Any) -> GoalResponse:
                await asyncio.Event().wait()
                return GoalResponse.accept()

            handle = await bench.expose()
            for ending in (False, True):
                bench.ending = ending
                goal_id = bench.send(reads=bench.reader())
                task = asyncio.create_task(handle._next_goal(decide))
                await bench.passes()
                task.cancel()
                await asyncio.wait([task])
                assert (goal_id in bench.endpoint.decisions) is not ending

        on_loop(claim)

    def test_there_is_no_next_goal_once_the_endpoint_has_ended(self) -> None:
        async def claim(bench: Bench) -> None:
            handle = await bench.expose()
            waiting = [asyncio.create_task(handle._next_goal(accept_all)) for _ in range(2)]
            await bench.passes()
            bench.endpoint.close()
            assert await asyncio.gather(*waiting, handle._next_goal(accept_all)) == [None, None, None]

        on_loop(claim)

    def test_an_endpoint_closes_with_the_last_reference_to_its_handle(self) -> None:
        async def claim(bench: Bench) -> None:
            handle = await bench.expose()
            goal_id, ctx = await accepted(bench, handle)
            del handle
            await bench.passes()
            assert bench.endpoint.closed
            await ctx.complete(True)
            assert bench.link.outcomes == {goal_id: COMPLETED}

        on_loop(claim)

    def test_a_goal_that_nobody_decides_is_told_why(self) -> None:
        async def claim(bench: Bench) -> None:
            await bench.expose()
            goal_id = bench.send()
            bench.endpoint.refuse(await bench.endpoint.queue.get(), "is overloaded")  # type: ignore[arg-type]
            assert bench.endpoint.decisions == {goal_id: Decision(1, False, "is overloaded")}

        on_loop(claim)


class TestCancelling:
    def test_the_flag_is_set_before_the_daemon_hears_of_it_and_wakes_who_waits(self) -> None:
        async def claim(bench: Bench) -> None:
            goal_id, ctx = await accepted(bench)
            waiting = asyncio.ensure_future(ctx.cancel_signal())
            await bench.passes()
            serve = bench.goals.frames()[SignalGoal]
            serve(Received(SignalGoal(goal_id), 0))
            assert ctx.is_cancelled()
            assert bench.link.sent == [GoalSignalled(goal_id)]
            await waiting
            await ctx.cancel_signal()

        on_loop(claim)

    def test_the_confirmation_never_comes_after_the_end_of_the_goal(self) -> None:
        async def claim(bench: Bench) -> None:
            goal_id, ctx = await accepted(bench)

            async def work() -> None:
                await ctx.cancel_signal()
                await ctx.complete_cancelled(False)

            spawn(work())
            await bench.passes()
            serve = bench.goals.frames()[SignalGoal]
            await asyncio.to_thread(serve, Received(SignalGoal(goal_id), 0))
            assert await bench.ended(goal_id) is CANCELLED
            assert bench.link.told == ["Decision", "GoalSignalled", "GoalEnded"]

        on_loop(claim)

    def test_a_goal_that_has_ended_is_not_confirmed(self) -> None:
        async def claim(bench: Bench) -> None:
            goal_id, ctx = await accepted(bench)
            await ctx.complete(True)
            bench.goals.frames()[SignalGoal](Received(SignalGoal(goal_id), 0))
            assert bench.link.sent == []

        on_loop(claim)


class TestEnding:
    def test_complete_returns_when_the_daemon_has_confirmed(self) -> None:
        async def claim(bench: Bench) -> None:
            _, ctx = await accepted(bench)
            bench.link.confirms = False
            completing = asyncio.create_task(ctx.complete(True))
            await bench.passes()
            assert not completing.done()
            bench.link.confirms, bench.link.generation = True, 2
            bench.goals.register_again()
            await completing

        on_loop(claim)

    def test_the_first_end_counts(self) -> None:
        async def claim(bench: Bench) -> None:
            goal_id, ctx = await accepted(bench)
            await ctx.complete_cancelled(False)
            await ctx.complete(True)
            bench.goals.abandon(ctx.goal)
            assert bench.link.outcomes == {goal_id: CANCELLED}
            assert bench.link.told.count("GoalEnded") == 1

        on_loop(claim)

    def test_a_result_that_is_too_large_leaves_the_goal_live(self) -> None:
        async def claim(bench: Bench) -> None:
            goal_id, ctx = await accepted(bench)
            with pytest.raises(ValueError, match="result of action `dock`"):
                await ctx._complete(bytes((256 << 20) + 1))
            assert bench.is_live(goal_id)
            await ctx.complete(True)
            assert bench.link.outcomes == {goal_id: COMPLETED}

        on_loop(claim)

    def test_without_a_daemon_an_outcome_is_kept_and_told_later(self) -> None:
        async def claim(bench: Bench) -> None:
            goal_id, ctx = await accepted(bench)
            bench.link.generation = 0
            await ctx.complete(True)
            assert bench.is_live(goal_id)
            bench.link.generation = 2
            bench.goals.register_again()
            assert bench.link.outcomes == {goal_id: COMPLETED}
            bench.link.generation = 3
            bench.goals.register_again()
            assert bench.link.told.count("GoalEnded") == 1

        on_loop(claim)

    def test_a_live_goal_is_told_to_the_next_daemon_with_its_stream(self) -> None:
        async def claim(bench: Bench) -> None:
            handle = await bench.expose()
            reader = bench.reader()
            goal_id = bench.send(reads=reader)
            ctx = await handle._next_goal(accept_all)
            assert ctx is not None
            decision = bench.endpoint.decisions[goal_id]
            bench.link.generation = 2
            bench.goals.register_again()
            row, ticket = decision.claim[3:5]
            assert bench.link.sent == [GoalKept(goal_id, 1, "c1", decision.stream_id, row, ticket)]

        on_loop(claim)

    def test_a_row_that_is_no_goals_is_a_topics(self) -> None:
        async def claim(bench: Bench) -> None:
            await accepted(bench)
            left = Received(RowLeft(7, 0, 1), 0)
            bench.goals.frames()[RowLeft](left)
            assert bench.topic_rows_left == [left]

        on_loop(claim)

    def test_the_outcome_names_the_last_message(self) -> None:
        async def claim(bench: Bench) -> None:
            handle = await bench.expose()
            for count, last in ((3, 3), (0, 0)):
                goal_id = bench.send(reads=bench.reader())
                ctx = await handle._next_goal(accept_all)
                assert ctx is not None
                for step in range(count):
                    await ctx.publish_feedback(step)
                await ctx.complete(True)
                assert bench.link.ends[goal_id].last_position == last

        on_loop(claim)


def test_the_result_travels_as_it_was_encoded() -> None:
    async def claim(bench: Bench) -> None:
        payloads: list[bytes] = []
        request = bench.link.request

        def keep(frame: Any, answered: Any, fds: Any = (), payload: bytes = b"") -> int:
            payloads.append(payload)
            return request(frame, answered, fds, payload)

        bench.link.request = keep  # type: ignore[method-assign]
        _, ctx = await accepted(bench)
        await ctx.complete(True)
        assert payloads == [RESULT.encode(True)]

    on_loop(claim)


def test_an_outcome_that_the_daemon_refuses_is_said_and_forgotten(capfd: pytest.CaptureFixture[str]) -> None:
    async def claim(bench: Bench) -> None:
        def refuse(_frame: Any, answered: Any, *_more: Any) -> int:
            answered(PeppyError("it is not yours", kind="NotFound"))
            return 1

        bench.link.request = refuse  # type: ignore[method-assign]
        goal_id, ctx = await accepted(bench)
        await ctx.complete(True)
        bench.link.generation = 2
        bench.goals.register_again()
        assert capfd.readouterr().err.count(goal_id) == 1

    on_loop(claim)
