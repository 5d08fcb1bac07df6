"""A running node as its program sees it."""

import asyncio
import inspect
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from peppy.model.node import Slot
from peppy.runtime.config import RuntimeConfig, TopicSettings
from peppy.runtime.control import ControlThread
from peppy.runtime.feedback_reader import FeedbackReaders
from peppy.runtime.goals import Goals
from peppy.runtime.publisher import PublisherStats, TopicWriter
from peppy.runtime.reliable import WaitingTopicWriter
from peppy.runtime.streams import Streams
from peppy.runtime.subscription import Subscription, SubscriptionStats
from peppy.runtime.token import CancellationToken
from peppy.runtime.topics import ConsumedTopic, EmittedTopic, SharedReceiver
from peppy.runtime.waiting import Waiting

if TYPE_CHECKING:
    from peppy.runtime.standalone import StandaloneConfig

LOOK_SECS = 0.005
"""How often a node that ends looks whether its readers have come."""

M = TypeVar("M")
Hook = Callable[[], Awaitable[None] | None]


class TopicStats(NamedTuple):
    """Counters of every topic this process writes (by name) and reads (by `link_id/name`, one per subscription).

    Subscriptions of a topic that are closed share the first entry.
    """

    written: dict[str, PublisherStats]
    read: dict[str, list[SubscriptionStats]]


class Topics:
    """The streams and subscriptions of one node; every method may be called from any thread."""

    def __init__(
        self,
        settings: TopicSettings,
        control: Streams,
        loop: asyncio.AbstractEventLoop,
        publish_timeout_secs: float = 5.0,
    ) -> None:
        self._settings = settings
        self._publish_timeout_secs = publish_timeout_secs
        self._control = control
        self._loop = loop
        self._lock = threading.RLock()
        self.writers: dict[str, TopicWriter] = {}  # by the topic's name
        self._subscriptions: list[Subscription[Any]] = []
        self.urgent: list[Waiting] = []  # what reads `critical` messages
        self._receivers: dict[tuple[str, str], SharedReceiver[Any]] = {}
        self._finished: dict[str, SubscriptionStats] = {}  # sums over closed subscriptions
        self._last_subscription = 0
        self._ended = False

    def writer(self, topic: EmittedTopic) -> TopicWriter:
        """The one writer of this topic in this process."""
        with self._lock:
            if topic.name not in self.writers:
                writer = self.writers[topic.name] = self._new_writer(topic)
                if self._ended:
                    writer.close()
            return self.writers[topic.name]

    def _new_writer(self, topic: EmittedTopic) -> TopicWriter:
        what = topic.name, topic.qos, topic.plan, self._settings, self._control
        return WaitingTopicWriter(*what, self._publish_timeout_secs) if topic.qos.waits else TopicWriter(*what)

    def subscribe(self, topic: ConsumedTopic[M], spin_us: int = 0) -> Subscription[M]:
        """A new subscription with its own cursor; once the node is ending, one that is closed."""
        with self._lock:
            self._forget_closed()
            self._last_subscription += 1
            number, link_id, name, plan = self._last_subscription, topic.link_id, topic.name, topic.plan
            subscription = Subscription(number, link_id, name, plan, spin_us, self._control, self._loop, self.urgent)
            self._subscriptions.append(subscription)
            if self._ended:
                subscription.close()
        return subscription

    def receiver(self, topic: ConsumedTopic[M]) -> SharedReceiver[M]:
        """The subscription that all `on_next_message_received` calls of this topic share; for the event loop."""
        key = (topic.link_id, topic.name)
        receiver = self._receivers.get(key)
        if receiver is None:
            receiver = self._receivers[key] = SharedReceiver(self.subscribe(topic))
        return receiver

    def stats(self) -> TopicStats:
        """All counters; those of closed subscriptions of a topic are one entry, the first."""
        with self._lock:
            self._forget_closed()
            writers, subscriptions = dict(self.writers), list(self._subscriptions)
            read = {key: [stats] for key, stats in self._finished.items()}
        for subscription in subscriptions:
            read.setdefault(_key(subscription), []).append(subscription.stats())
        return TopicStats({name: writer.stats() for name, writer in writers.items()}, read)

    def _forget_closed(self) -> None:
        """Keep the counters of closed subscriptions, and nothing else of them. Under the lock."""
        for subscription in [found for found in self._subscriptions if found.closed]:
            self._subscriptions.remove(subscription)
            before = self._finished.get(_key(subscription), SubscriptionStats(0, 0, 0, 0))
            after = (mine + more for mine, more in zip(before, subscription.stats(), strict=True))
            self._finished[_key(subscription)] = SubscriptionStats(*after)

    def close_subscriptions(self) -> None:
        """End all reads, those that begin later too."""
        with self._lock:
            self._ended = True
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.close()

    async def readers_attached(self, deadline: float) -> None:
        """Readers that waited for a stream get it, also when its writer ends at once; at most until the deadline."""
        while monotonic() < deadline and self._control.connected:
            if not any(writer.has_readers_due for writer in self.writers.values()):
                return
            await asyncio.sleep(LOOK_SECS)

    def close_writers(self) -> None:
        """Close all streams: their readers take what is left."""
        with self._lock:
            self._ended = True
            writers = list(self.writers.values())
        for writer in writers:
            writer.close()


def _key(subscription: Subscription[Any]) -> str:
    return f"{subscription.link_id}/{subscription.topic}"


class NodeRunner:
    """What `setup` gets beside its parameters. All methods are plain and may be called from any thread."""

    def __init__(
        self,
        config: RuntimeConfig,
        slots: tuple[Slot, ...],
        token: CancellationToken,
        control: ControlThread,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._config = config
        self._slots = {slot.link_id: slot for slot in slots}
        self._token = token
        self._hooks: list[Hook] = []
        self.topics = Topics(config.topics, control.streams, loop, config.reliable.publish_timeout_secs)
        self.calls = control.calls
        self.endpoints = control.endpoints
        self.calls.start(loop)
        self.endpoints.start(loop)
        self.loop = loop
        self.goals = Goals(config, control, loop, token.is_cancelled)
        self.feedback = FeedbackReaders(control.link, loop, self.topics.urgent)
        control.add(self.goals)
        control.add(self.feedback)
        self.living: asyncio.Task[None] | None = None
        """The life of a runner that `new_standalone` made; None when `NodeBuilder` runs the node."""

    @staticmethod
    async def new_standalone(path: str | PathLike[str], config: "StandaloneConfig | None" = None) -> "NodeRunner":
        """A connected runner of the node in the directory `path`, in the running event loop: for notebooks, tests and
        programs with a loop of their own (docs/reference/node_api.md, Standalone mode).

        It joins the stack as a standalone program; `close`, or leaving `async with`, ends it. Raises NodeStartupError
        and DaemonUnavailable.
        """
        from peppy.runtime.guest import join
        from peppy.runtime.standalone import StandaloneConfig

        return await join(Path(path), config if config is not None else StandaloneConfig())

    async def close(self) -> None:
        """End the node, as cancelling its token does. A runner of `new_standalone` has ended when this returns."""
        self._token.cancel()
        if self.living is not None:
            await asyncio.wait([self.living])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    def cancellation_token(self) -> CancellationToken:
        """Cancelled when the node is to end."""
        return self._token

    def on_shutdown(self, hook: Hook) -> None:
        """Run `hook`, sync or async, when the node ends; the last registered first."""
        self._hooks.append(hook)

    def bound_core_node(self) -> str:
        """The core node (the daemon) that this node belongs to."""
        return self._config.bound_core_node

    def bound_instance_id(self) -> str:
        """This instance's id."""
        return self._config.node_instance.instance_id

    def node_name(self) -> str:
        """The name in the node's manifest."""
        return self._config.node_name

    def node_tag(self) -> str:
        """The tag in the node's manifest."""
        return self._config.node_tag

    def pinned_target_for(self, link_id: str) -> str | None:
        """The instance id that a slot is pinned to, None for a `from_any` slot; KeyError for a slot never declared."""
        if link_id not in self._slots:
            raise KeyError(f"`{link_id}` is no slot of this node; declared: {', '.join(sorted(self._slots)) or 'none'}")
        binding = self._config.node_instance.slot_bindings.get(link_id)
        return None if binding is None else binding.producer_instance_id

    def whom(self, link_id: str) -> str:
        """Whom calls through a slot reach, for people: the instance it is pinned to, else the `name:tag` it admits."""
        slot = self._slots[link_id]
        return (self.pinned_target_for(link_id) if not slot.from_any else None) or str(slot.provider)

    def uses_sim_time(self) -> bool:
        """Whether this instance was started with simulated time."""
        return self._config.node_instance.framework.use_sim_time

    def topic_stats(self) -> TopicStats:
        """Counters of every topic this process writes or reads (docs/reference/qos.md, Drop accounting)."""
        return self.topics.stats()

    async def run_hooks(self) -> None:
        """Run the shutdown hooks one by one; one that fails leaves a traceback on stderr and stops nobody."""
        while self._hooks:
            hook = self._hooks.pop()
            try:
                result = hook()
                if inspect.isawaitable(result):
                    await result
            except (Exception, asyncio.CancelledError):
                if _is_being_cancelled():
                    raise  # the time is up; otherwise the hook has met a cancelled task of its own
                print(f"[ERROR] the shutdown hook `{hook}` failed", file=sys.stderr)
                traceback.print_exc()


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
