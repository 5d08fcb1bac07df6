"""Feedback from a goal's worker to its client (docs/reference/qos.md, Feedback)."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from fake_daemon import open_descriptors
from goals_bench import TEXT, Bench, Context, accept_all, on_loop

from peppy.errors import ActionFeedbackClosed
from peppy.model.qos import QoSProfile
from peppy.protocol.calls import FeedbackEnd, FollowGoal
from peppy.protocol.frame import Received
from peppy.protocol.streams import RowLeft
from peppy.runtime.feedback import RINGS_KEPT
from peppy.runtime.feedback_reader import FeedbackReader

pytestmark = pytest.mark.usefixtures("kind_of_loop")

SENSOR, RELIABLE = QoSProfile.SensorData, QoSProfile.Reliable


class Pair:
    """A worker's context and its client's reader, of one goal."""

    def __init__(self, bench: Bench, ctx: Context, reader: FeedbackReader[Any]) -> None:
        self.bench = bench
        self.ctx = ctx
        self.reader = reader

    async def publish(self, steps: int) -> None:
        for step in range(steps):
            await self.ctx.publish_feedback(step)

    async def complete(self) -> None:
        await self.ctx.complete(True)
        last = self.bench.link.ends[self.reader.goal_id].last_position
        self.bench.readers.frames()[FeedbackEnd](Received(FeedbackEnd(self.reader.goal_id, last), 0))

    async def rest(self) -> list[int]:
        """Everything up to the end."""
        found: list[int] = []
        try:
            while True:
                found.append((await self.reader.next()).step)
        except ActionFeedbackClosed:
            return found


async def pair(bench: Bench, handle: Any, qos: QoSProfile | None = None, *, attached: bool = True) -> Pair:
    reader = bench.reader()
    bench.send(reads=reader, qos=qos)
    ctx = await handle._next_goal(accept_all)
    assert ctx is not None
    if attached:
        bench.attach(reader)
    return Pair(bench, ctx, reader)


@pytest.mark.parametrize("qos", [None, *QoSProfile])
def test_everything_arrives_in_order_and_then_the_end_for_ever(qos: QoSProfile | None) -> None:
    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose(), qos)
        await both.publish(5)
        await both.complete()
        assert await both.rest() == [0, 1, 2, 3, 4]
        assert await both.rest() == []
        assert both.reader.lost == 0

    on_loop(claim)


def test_a_client_that_attaches_late_misses_nothing() -> None:
    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose(), attached=False)
        await both.publish(5)
        await both.complete()
        bench.attach(both.reader)
        assert await both.rest() == [0, 1, 2, 3, 4]

    on_loop(claim)


def test_lossless_feedback_waits_for_its_reader() -> None:
    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose(), RELIABLE)
        publishing = asyncio.create_task(both.publish(100))
        await bench.passes(20)
        assert not publishing.done()
        reading = asyncio.create_task(both.rest())
        await publishing
        await both.complete()
        assert await reading == list(range(100))

    on_loop(claim)


def test_concurrent_publishers_are_served_in_their_order() -> None:
    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose(), RELIABLE)
        publishing = [asyncio.create_task(both.ctx.publish_feedback(step)) for step in range(30)]
        await bench.passes()
        reading = asyncio.create_task(both.rest())
        await asyncio.gather(*publishing)
        await both.complete()
        assert await reading == list(range(30))

    on_loop(claim)


def test_at_the_bound_the_stream_overwrites_for_good_with_one_warning(capfd: pytest.CaptureFixture[str]) -> None:
    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose(), RELIABLE)
        began = asyncio.get_running_loop().time()
        await both.publish(100)
        assert asyncio.get_running_loop().time() - began >= 0.05
        await both.complete()
        found = await both.rest()
        assert found == list(range(100 - len(found), 100))
        assert both.reader.lost == 100 - len(found)
        warnings = capfd.readouterr().err.splitlines()
        assert len(warnings) == 1
        assert f"`c1` of goal `{both.reader.goal_id}`" in warnings[0]

    on_loop(claim, bound=0.05)


def test_sensor_data_never_waits_and_counts_what_was_overwritten() -> None:
    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose(), SENSOR)
        await both.publish(1000)
        await both.complete()
        found = await both.rest()
        assert found[-1] == 999
        assert len(found) + both.reader.lost == 1000

    on_loop(claim)


def test_the_end_of_the_goal_ends_a_waiting_publish() -> None:
    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose(), RELIABLE)
        publishing = asyncio.create_task(both.publish(100))
        await bench.passes(20)
        await both.complete()
        await publishing
        assert await both.rest() == list(range(8))

    on_loop(claim)


@pytest.mark.parametrize("leave", ["closed", "never came"])
def test_a_client_that_is_gone_is_not_waited_for(leave: str) -> None:
    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose(), RELIABLE, attached=leave == "closed")
        publishing = asyncio.create_task(both.publish(100))
        await bench.passes(20)
        both.reader.close()
        if leave == "never came":
            decision = bench.endpoint.decisions[both.reader.goal_id]
            left = RowLeft(decision.stream_id, *decision.claim[3:5])
            bench.goals.frames()[RowLeft](Received(left, 0))
        await publishing
        await both.ctx.complete(True)

    on_loop(claim)


def test_publishing_after_the_end_does_nothing() -> None:
    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose())
        await both.complete()
        await both.publish(3)
        assert await both.rest() == []

    on_loop(claim)


def test_reads_are_served_in_their_order_and_a_cancelled_one_loses_nothing() -> None:
    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose())
        reads = [asyncio.create_task(both.reader.next()) for _ in range(4)]
        await bench.passes()
        reads[0].cancel()
        await both.publish(3)
        assert [(await read).step for read in reads[1:]] == [0, 1, 2]

    on_loop(claim)


def test_rings_serve_goal_after_goal() -> None:
    async def claim(bench: Bench) -> None:
        handle = await bench.expose()
        for _ in range(3):  # the second and third find the ring of the first
            both = await pair(bench, handle)
            await both.publish(3)
            await both.complete()
            assert await both.rest() == [0, 1, 2]
            descriptors = open_descriptors()
        for _ in range(20):
            both = await pair(bench, handle)
            await both.complete()
            assert await both.rest() == []
        assert open_descriptors() == descriptors

    on_loop(claim)


def test_a_ring_whose_client_has_not_come_yet_serves_nobody_else() -> None:
    async def claim(bench: Bench) -> None:
        handle = await bench.expose()
        first = await pair(bench, handle, attached=False)
        await first.publish(2)
        await first.complete()
        second = await pair(bench, handle)
        await second.publish(1)
        bench.attach(first.reader)
        await second.complete()
        assert await first.rest() == [0, 1]
        assert await second.rest() == [0]

    on_loop(claim)


def test_rings_that_rest_are_few_and_those_that_were_closed_are_read_to_their_end() -> None:
    async def claim(bench: Bench) -> None:
        handle = await bench.expose()
        pairs = [await pair(bench, handle) for _ in range(RINGS_KEPT + 5)]
        for both in pairs:
            await both.publish(2)
            await both.ctx.complete(True)
        for both in pairs[:5]:
            assert await both.rest() == [0, 1]  # without the word of the daemon
        for both in pairs:
            both.reader.close()

    on_loop(claim)


def test_no_message_is_longer_than_the_ring_but_the_next_ring_has_room() -> None:
    async def claim(bench: Bench) -> None:
        handle = await bench.expose()
        for attempt in range(2):
            reader = bench.reader()
            bench.send(reads=reader)
            ctx = await handle._next_goal(accept_all)
            assert ctx is not None
            bench.attach(reader)
            if attempt:
                await ctx._publish_feedback(TEXT.encode("x" * 4_000_000))
                assert len((await reader.next()).text) == 4_000_000
            else:
                with pytest.raises(ValueError, match="hint: "):
                    await ctx._publish_feedback(TEXT.encode("x" * 4_000_000))
            reader.close()

    on_loop(claim, feedback=TEXT)


def test_a_message_that_cannot_be_decoded_counts_as_lost(capfd: pytest.CaptureFixture[str]) -> None:
    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose())
        await both.ctx._publish_feedback(b"junk")
        await both.publish(1)
        await both.complete()
        assert await both.rest() == [0]
        assert both.reader.lost == 1
        assert both.reader.goal_id in capfd.readouterr().err

    on_loop(claim)


def test_after_a_reconnect_the_end_is_asked_for_again() -> None:
    async def claim(bench: Bench) -> None:
        handle = await bench.expose()
        both = await pair(bench, handle)
        bench.reader()  # of a goal that is not decided
        bench.readers.register_again()
        assert [frame for frame in bench.link.sent if isinstance(frame, FollowGoal)] == [
            FollowGoal(both.reader.goal_id)
        ]

    on_loop(claim)


def test_a_client_that_attaches_after_the_reconnect_asks_for_the_end_as_well() -> None:
    """The decision came on the former connection, while the loop was busy: its end may have been told to nobody."""

    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose(), attached=False)
        bench.link.generation += 1
        bench.readers.register_again()
        assert FollowGoal(both.reader.goal_id) not in bench.link.sent
        bench.attach(both.reader)
        assert FollowGoal(both.reader.goal_id) in bench.link.sent

    on_loop(claim)


def test_a_worker_is_not_slowed_by_a_client_that_was_killed() -> None:
    """The reader's process ends with the row still its own."""

    async def claim(bench: Bench) -> None:
        both = await pair(bench, await bench.expose(), RELIABLE, attached=False)
        decision = bench.endpoint.decisions[both.reader.goal_id]
        fds = bench.endpoint.streams[both.reader.goal_id]
        code = (
            "import os, sys; from peppy.ring import Claim, Reader\n"
            f"reader = Reader.open({fds[0]}, {fds[1]}, Claim(*{tuple(decision.claim)}), newest=False)\n"
            "os.kill(os.getpid(), 9)\n"
        )

        process = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], pass_fds=fds, check=False)
        assert process.returncode == -9
        await both.publish(100)
        await both.complete()

    on_loop(claim)
