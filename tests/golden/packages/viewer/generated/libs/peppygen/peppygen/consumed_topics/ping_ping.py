"""Topic `ping` of `ping:v1`, read through the slot `ping`."""

from typing import TypeAlias

from peppy.codec import Plan, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import topics as _topics

_PLAN: Plan[None] = plan_of("ping_ping", None, {})
_TOPIC = _topics.ConsumedTopic("ping", "ping", _PLAN)

Subscription: TypeAlias = _topics.Subscription[None]
ReadLoan: TypeAlias = _topics.ReadLoan[None]


async def on_next_message_received(node_runner: NodeRunner, from_core_node: str | None = None) -> tuple[str, None]:
    """Wait for the next message: the producer's instance id and the message."""
    return await _TOPIC.on_next_message_received(node_runner, from_core_node)


def subscribe(node_runner: NodeRunner, spin_us: int = 0) -> Subscription:
    """Open a subscription with a cursor of its own; a waiting read spins for `spin_us` before it sleeps."""
    return _TOPIC.subscribe(node_runner, spin_us)
