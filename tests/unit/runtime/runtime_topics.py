"""Publishers and subscriptions of one process, joined without a daemon: the rings and eventfds are real."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import loops

from peppy.codec import plan_of
from peppy.errors import TooManyReaders
from peppy.model.qos import QoSProfile
from peppy.ring import History
from peppy.runtime.config import Depths, TopicSettings
from peppy.runtime.publisher import Publisher, TopicWriter
from peppy.runtime.reliable import WaitingTopicWriter
from peppy.runtime.runner import Topics
from peppy.runtime.subscription import Subscription
from peppy.runtime.topics import ConsumedTopic

SMALL = '[["number","u64",0]]'
BULK = '[["number","u64",0],["data",["u8",0],0]]'
PRODUCER = "t1"
READER = "r1"


class Joined:
    """Stands where the control thread stands and attaches every subscription to every stream of its topic."""

    def __init__(self) -> None:
        self.writers: list[TopicWriter] = []
        self.subscriptions: list[Subscription[Any]] = []
        self._only: dict[TopicWriter, list[Subscription[Any]]] = {}

    def attach_only(self, writer: TopicWriter, subscriptions: list[Subscription[Any]]) -> None:
        """Let nobody else read what this writer will write."""
        self._only[writer] = subscriptions

    def check_process(self) -> None:
        """Nobody forks here."""

    def open_stream(self, writer: TopicWriter) -> None:
        self.writers.append(writer)
        subscriptions = self._only.get(writer, self.subscriptions)
        for subscription in subscriptions:
            self.attach(writer, subscription, History.ALL)
        writer.opened(len(subscriptions))

    def close_stream(self, writer: TopicWriter) -> None:
        if writer in self.writers:
            self.writers.remove(writer)
        for subscription in self.subscriptions:
            subscription.stream_gone(writer.stream_id)

    def open_subscription(self, subscription: Subscription[Any]) -> None:
        self.subscriptions.append(subscription)
        for writer in self.writers:
            self.attach(writer, subscription, History.LAST if writer.qos is QoSProfile.Critical else History.NONE)
        subscription.registered(None)

    def close_subscription(self, subscription: Subscription[Any]) -> None:
        self.subscriptions.remove(subscription)

    def attach(self, writer: TopicWriter, subscription: Subscription[Any], history: History) -> None:
        try:
            claim = writer.reserve_row(subscription.doorbell, history, READER)
        except TooManyReaders as error:
            subscription.refused(writer.stream_id, PRODUCER, error.kind, error.message)
            return
        with writer.kept_open() as fds:
            assert fds is not None
            subscription.attach(writer.stream_id, PRODUCER, int(writer.qos), fds, claim)


class Bench:
    """One topic named `t`: `topics` is what a node has, `format_text` its format."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        format_text: str | None = SMALL,
        *,
        depth: int = 8,
        control: Any = None,
        bound: float = 30.0,
    ) -> None:
        self.bound = bound
        self.loop = loop
        self.plan = plan_of("t", format_text, {})
        self.settings = TopicSettings(depth=Depths(sensor_data=depth, standard=depth, reliable=depth, critical=depth))
        self.control: Any = control or Joined()
        self.made: list[TopicWriter] = []
        self.topics = Topics(self.settings, self.control, loop)
        self.consumed = ConsumedTopic("slot", "t", self.plan)

    def writer(self, *, format_text: str | None = None, qos: QoSProfile = QoSProfile.Standard) -> TopicWriter:
        """A producer; with another format its messages cannot be decoded."""
        plan = self.plan if format_text is None else plan_of("t", format_text, {})
        what = "t", qos, plan, self.settings, self.control
        self.made.append(WaitingTopicWriter(*what, self.bound) if qos.waits else TopicWriter(*what))
        return self.made[-1]

    def waiting_writer(self, qos: QoSProfile = QoSProfile.Reliable) -> WaitingTopicWriter:
        """A producer that waits for slow readers."""
        writer = self.writer(qos=qos)
        assert isinstance(writer, WaitingTopicWriter)
        return writer

    def publisher(self, writer: TopicWriter | None = None) -> Publisher:
        return Publisher(writer or self.writer())

    def subscribe(self, spin_us: int = 0) -> Subscription[Any]:
        return self.topics.subscribe(self.consumed, spin_us)

    def end(self) -> None:
        self.topics.close_subscriptions()
        for writer in self.made:
            writer.close()


def put(writer: TopicWriter, *values: Any) -> None:
    """Publish one message of these fields."""
    writer.put(writer.plan.encode(*values))


def on_loop(claim: Callable[[Bench], Coroutine[Any, Any, None]], format_text: str | None = SMALL, **how: Any) -> None:
    """Run a claim about topics on an event loop of its own."""

    async def run() -> None:
        bench = Bench(asyncio.get_running_loop(), format_text, **how)
        try:
            async with asyncio.timeout(60):
                await claim(bench)
        finally:
            bench.end()

    loops.run(run())


class Ran:
    """A call on a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._result: list[Any] = []
        self._thread = threading.Thread(target=lambda: self._result.append(call()))
        self._thread.start()

    async def result(self) -> Any:
        await asyncio.to_thread(self._thread.join, 60)
        return self._result[0]
