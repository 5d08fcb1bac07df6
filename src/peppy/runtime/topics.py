"""What generated topic modules stand on: `EmittedTopic` and `ConsumedTopic` tie a declaration to a running node."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from peppy.codec import Gathered, Plan
from peppy.errors import SubscriptionClosed
from peppy.model.interface import member_key
from peppy.model.qos import QoSProfile
from peppy.runtime.loan import PendingLoan, ReadLoan
from peppy.runtime.publisher import Publisher, PublisherStats
from peppy.runtime.reliable import WaitingTopicWriter
from peppy.runtime.subscription import MessageInfo, Subscription, SubscriptionStats
from peppy.runtime.write_loan import WriteLoan

if TYPE_CHECKING:
    from peppy.runtime.runner import NodeRunner

__all__ = [
    "ConsumedTopic",
    "EmittedTopic",
    "MessageInfo",
    "PendingLoan",
    "Publisher",
    "PublisherStats",
    "ReadLoan",
    "Subscription",
    "SubscriptionStats",
    "WriteLoan",
]

M = TypeVar("M")
P = TypeVar("P", bound=Publisher)


class _Written:
    """Awaits nothing: there is nothing to run, not even a function of Python's."""

    __await__ = ().__iter__


_WRITTEN = cast("Awaitable[None]", _Written())


class EmittedTopic:
    """A topic that this node emits; `interface` is the `name:tag` that it is inherited from, if it is."""

    def __init__(self, name: str, qos: QoSProfile, plan: Plan[Any], interface: str | None = None) -> None:
        self.name = member_key(interface, name)
        self.qos = qos
        self.plan = plan

    def emit(self, node_runner: "NodeRunner", payload: bytes | Gathered) -> Awaitable[None]:
        """Write one encoded message; on `sensor_data` and `standard` it is written when this returns.

        Awaiting suspends the task on `reliable` and `critical` until there is room: PublishTimeout when a reader is too
        slow. It costs nothing where there is nothing to wait for.
        """
        topics = node_runner.topics
        writer = topics.writers.get(self.name) or topics.writer(self)
        if isinstance(writer, WaitingTopicWriter):
            return writer.put_async(payload)
        writer.put(payload)
        return _WRITTEN

    def publisher(self, node_runner: "NodeRunner", kind: type[P]) -> P:
        """A publisher of the generated class `kind`, sharing the topic's stream with all others of this process."""
        return kind(node_runner.topics.writer(self))


class ConsumedTopic(Generic[M]):
    """A topic that this node reads through the slot `link_id`; `interface` is that of an interface slot."""

    def __init__(self, link_id: str, name: str, plan: Plan[M], interface: str | None = None) -> None:
        self.link_id = link_id
        self.name = member_key(interface, name)
        self.plan = plan

    async def on_next_message_received(self, node_runner: "NodeRunner", from_core_node: str | None) -> tuple[str, M]:
        """The next message with its producer's instance id, from the one shared subscription of this topic.

        Calls that wait at the same time all receive the arriving message. Raises SubscriptionClosed at shutdown and
        ValueError for another core node than this node's own.
        """
        if from_core_node is not None and from_core_node != node_runner.bound_core_node():
            raise ValueError(
                f"`from_core_node` is `{from_core_node}`, this node belongs to `{node_runner.bound_core_node()}`"
            )
        return await node_runner.topics.receiver(self).next()

    def subscribe(self, node_runner: "NodeRunner", spin_us: int) -> Subscription[M]:
        """A subscription with its own cursor; a waiting read spins for `spin_us` microseconds before it sleeps."""
        if spin_us < 0:
            raise ValueError(f"`spin_us` is `{spin_us}`, it must not be negative")
        return node_runner.topics.subscribe(self, spin_us)


class SharedReceiver(Generic[M]):
    """One subscription for all callers of `on_next_message_received`: whoever waits gets the same message.

    Lives on the event loop. Whoever takes a message leaves it for all who are waiting, so a cancelled call loses none.
    """

    def __init__(self, subscription: Subscription[M]) -> None:
        self._subscription = subscription
        self._waiting: dict[object, tuple[str, M] | None] = {}  # by caller; None until its message is there

    async def next(self) -> tuple[str, M]:
        """The next message. Raises SubscriptionClosed, and whatever a read of the subscription raises."""
        caller = object()
        self._waiting[caller] = None
        try:
            if self._subscription.turn_is_long:
                await self._subscription.give_way()
            while True:
                if (message := self._waiting[caller]) is not None:
                    return message
                if (message := self._subscription.take()) is not None:
                    self._hand_out(message)
                    return message
                if not await self._subscription.wait():
                    break
        finally:
            del self._waiting[caller]
        raise SubscriptionClosed("the node is shutting down")

    def _hand_out(self, message: tuple[str, M]) -> None:
        for caller, found in self._waiting.items():
            if found is None:
                self._waiting[caller] = message
        self._subscription.wake_tasks()
