"""An action server and its clients in one process, joined without a daemon: rings, eventfds and tasks are real."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic_ns
from types import SimpleNamespace
from typing import Any, NamedTuple

import loops
import pytest
from fake_daemon import open_descriptors

from peppy.codec import plan_of
from peppy.errors import PeppyError
from peppy.model.goals import ResultStatus
from peppy.model.qos import QoSProfile
from peppy.protocol.answers import GoalEndKept
from peppy.protocol.calls import Decided, Decision, Deliver, GoalEnded
from peppy.protocol.frame import Received, close_all
from peppy.protocol.frames import Frame
from peppy.protocol.streams import RowLeft
from peppy.runtime import goals as goals_module
from peppy.runtime.actions import ExposedAction, GoalContext, GoalResponse, ServerHandle
from peppy.runtime.config import Depths, NodeInstance, Reliable, RuntimeConfig, TopicSettings
from peppy.runtime.delivery import Delivery
from peppy.runtime.feedback_reader import FeedbackReader, FeedbackReaders
from peppy.runtime.goals import Goals

GOAL = plan_of("dock goal", '[["bay","u8",0]]', {})
STEP = plan_of("dock feedback", '[["step","u32",0]]', {})
TEXT = plan_of("dock feedback", '[["text","string",0]]', {})
RESULT = plan_of("dock result", '[["docked","bool",0]]', {})
WATCHDOG_SECS = 20.0


class GoalRequest(NamedTuple):
    instance_id: str
    core_node: str
    data: Any


class Context(GoalContext[GoalRequest]):
    """As it is generated."""

    async def publish_feedback(self, step: int) -> None:
        await self._publish_feedback(STEP.encode(step))

    async def complete(self, docked: bool) -> None:
        await self._complete(RESULT.encode(docked))

    async def complete_cancelled(self, docked: bool) -> None:
        await self._complete_cancelled(RESULT.encode(docked))


class Handle(ServerHandle[GoalRequest, Context]):
    """As it is generated."""


class Link:
    """Stands where the daemon stands. `generation` (0: there is none) and `confirms` are a test's to change."""

    def __init__(self) -> None:
        self.generation = 1
        self.confirms = True
        self.sent: list[Frame] = []
        self.told: list[str] = []
        self.outcomes: dict[str, ResultStatus] = {}
        self.ends: dict[str, GoalEnded] = {}

    def send(self, frame: Frame, _fds: tuple[int, ...] = (), _payload: bytes = b"") -> int:
        if self.generation:
            self.sent.append(frame)
            self.told.append(type(frame).__name__)
        return self.generation

    def request(
        self, frame: GoalEnded, answered: Callable[[Any], None], _fds: tuple[int, ...] = (), _payload: bytes = b""
    ) -> int:
        if not self.generation:
            return 0
        self.told.append(type(frame).__name__)
        if self.confirms:
            self.outcomes[frame.goal_id] = ResultStatus(frame.outcome)
            self.ends[frame.goal_id] = frame
            answered(GoalEndKept())
        return self.generation


class Endpoint:
    """Stands where the queue of an action stands."""

    def __init__(self, bench: "Bench", refuse: Callable[[Delivery, str], None]) -> None:
        self.endpoint_id = 1
        self.queue: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self.decisions: dict[str, Decision] = {}
        self.streams: dict[str, tuple[int, ...]] = {}
        self.refuse = refuse
        self.closed = False
        self._bench = bench

    async def next(self) -> Delivery | None:
        return None if self.closed else await self.queue.get()

    def answer(self, delivery: Delivery, frame: Decision, fds: tuple[int, ...] = ()) -> int:
        goal_id = delivery.goal_id or ""
        self.decisions[goal_id] = frame
        self.streams[goal_id] = tuple(os.dup(fd) for fd in fds)
        self._bench.link.told.append("Decision")
        return self._bench.link.generation

    def close(self) -> None:
        self.closed = True
        self.queue.put_nowait(None)


class Bench:
    """One action `dock` with feedback; `depth` messages are held."""

    def __init__(self, *, depth: int = 8, bound: float = 30.0, feedback: Any = STEP) -> None:
        loop = asyncio.get_running_loop()
        self.link = Link()
        self.topic_rows_left: list[Received] = []
        self.ending = False
        settings = TopicSettings(depth=Depths(depth, depth, depth, depth))
        instance = NodeInstance("s1")
        config = RuntimeConfig(1, "", "base", "v1", "core", instance, reliable=Reliable(bound), topics=settings)
        streams = SimpleNamespace(frames=lambda: {RowLeft: self.topic_rows_left.append})
        endpoints = SimpleNamespace(open=self._open)
        control: Any = SimpleNamespace(link=self.link, streams=streams, endpoints=endpoints)
        self.goals = Goals(config, control, loop, lambda: self.ending)
        link: Any = self.link
        self.readers = FeedbackReaders(link, loop, [])
        self.endpoint: Endpoint
        self.tasks: set[asyncio.Task[Any]] = set()
        self.action = ExposedAction("dock", GOAL, feedback, QoSProfile.Standard, RESULT, GoalRequest)
        self.feedback = feedback
        self._numbers = 0
        loop.set_task_factory(self._keep_task)

    def _keep_task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> "asyncio.Task[Any]":
        task = asyncio.Task(work, loop=loop, **options)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        self.goals.task_created(task, work)
        return task

    def _open(self, _kind: str, _name: str, _interface: Any, _hashes: Any, refuse: Any) -> Endpoint:
        self.endpoint = Endpoint(self, refuse)
        return self.endpoint

    async def expose(self) -> Handle:
        node_runner: Any = SimpleNamespace(goals=self.goals)
        return await Handle._expose(node_runner, self.action, Context)

    def send(
        self, *, reads: FeedbackReader[Any] | None = None, qos: QoSProfile | None = None, payload: bytes | None = None
    ) -> str:
        """A goal of client `c1`; its id."""
        self._numbers += 1
        goal_id = f"{self._numbers:016x}" if reads is None else reads.goal_id
        fds = () if reads is None else (os.dup(reads.doorbell),)
        deadline = monotonic_ns() + 60_000_000_000
        frame = Deliver(self._numbers, 1, "c1", "core", deadline, goal_id, -1 if qos is None else int(qos))
        encoded = GOAL.encode(self._numbers % 256)
        assert isinstance(encoded, bytes)
        received = Received(frame, 0, fds, payload=encoded if payload is None else payload)
        endpoint: Any = self.endpoint
        self.endpoint.queue.put_nowait(Delivery(endpoint, frame, received))
        return goal_id

    def reader(self) -> FeedbackReader[Any]:
        """A client's reader for a goal to come."""
        self._numbers += 1
        return self.readers.open(f"{self._numbers:016x}", self.feedback)

    def attach(self, reader: FeedbackReader[Any]) -> None:
        """Hand the decision of its goal to the client."""
        decision = self.endpoint.decisions[reader.goal_id]
        fds = self.endpoint.streams.pop(reader.goal_id)
        stream_id, qos, claim = decision.stream_id, decision.qos, decision.claim
        reader.attach(Decided(1, "s1", "core", True, None, stream_id, qos, claim), fds)
        close_all(fds)

    async def passes(self, number: int = 10) -> None:
        """Let the loop go round."""
        for _ in range(number):
            await asyncio.sleep(0)

    async def looked(self) -> None:
        """Time for the runtime to look at goals several times and do what it must not."""
        await asyncio.sleep(5 * goals_module.LOOK_SECS)

    async def ended(self, goal_id: str) -> ResultStatus:
        """How a goal has ended."""
        async with asyncio.timeout(WATCHDOG_SECS):
            while goal_id not in self.link.outcomes:
                await asyncio.sleep(0.001)
        return self.link.outcomes[goal_id]

    def is_live(self, goal_id: str) -> bool:
        return goal_id not in self.link.outcomes

    async def end(self) -> None:
        for task in self.tasks - {asyncio.current_task()}:
            task.cancel()
            with suppress(asyncio.CancelledError, PeppyError, ValueError):
                await task
        self.readers.close()
        await self.goals.abandon_all(asyncio.get_running_loop().time() + 1)
        for fds in self.endpoint.streams.values():
            close_all(fds)


def accept_all(_request: Any) -> Any:
    return GoalResponse.accept()


def spawn(work: Coroutine[Any, Any, Any]) -> None:
    """A task that nobody stores, as programs make them: the runtime keeps it."""
    asyncio.get_running_loop().create_task(work)


def on_loop(claim: Callable[[Bench], Coroutine[Any, Any, None]], **how: Any) -> None:
    """Run a claim about goals on an event loop of its own; no descriptor may be left."""
    before = open_descriptors()

    async def run() -> None:
        bench = Bench(**how)
        try:
            async with asyncio.timeout(WATCHDOG_SECS):
                await claim(bench)
        finally:
            await bench.end()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(goals_module, "LOOK_SECS", 0.01)
        loops.run(run())
    assert open_descriptors() == before
