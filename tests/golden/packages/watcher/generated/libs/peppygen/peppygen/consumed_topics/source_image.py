"""Topic `image` of interface `image_source:v1`, read through the slot `source`."""

from typing import TypeAlias

from peppy.codec import Bytes, Payload, Plan, Time, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import topics as _topics


class Message(Payload):
    """One message of `image`."""

    stamp: Time
    pixels: Bytes


_FORMAT = '[["stamp","time",0],["pixels",["u8",0],0]]'
_PLAN: Plan[Message] = plan_of("source_image", _FORMAT, {"": Message})
_TOPIC = _topics.ConsumedTopic("source", "image", _PLAN, "image_source:v1")

Subscription: TypeAlias = _topics.Subscription[Message]
ReadLoan: TypeAlias = _topics.ReadLoan[Message]


async def on_next_message_received(node_runner: NodeRunner, from_core_node: str | None = None) -> tuple[str, Message]:
    """Wait for the next message: the producer's instance id and the message."""
    return await _TOPIC.on_next_message_received(node_runner, from_core_node)


def subscribe(node_runner: NodeRunner, spin_us: int = 0) -> Subscription:
    """Open a subscription with a cursor of its own; a waiting read spins for `spin_us` before it sleeps."""
    return _TOPIC.subscribe(node_runner, spin_us)
