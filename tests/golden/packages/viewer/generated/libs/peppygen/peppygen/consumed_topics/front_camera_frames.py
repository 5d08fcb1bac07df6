"""Topic `frames` of `camera:0.2.0`, read through the slot `front-camera`."""

from typing import TypeAlias

from peppy.codec import U32, ArrayPayload, Bytes, F32Array, Payload, Plan, String, Time, plan_of
from peppy.runtime import NodeRunner
from peppy.runtime import topics as _topics


class MessageHeader(Payload):
    """Field `header`."""

    seq: U32
    stamp: Time
    frame_id: String


class Message(ArrayPayload):
    """One message of `frames`."""

    header: MessageHeader
    width: U32
    height: U32
    note: String | None
    frame: Bytes
    depths: F32Array
    mask: Bytes | None


_FORMAT = (
    '[["header",[["seq","u32",0],["stamp","time",0],["frame_id","string",0]],0],["width","u32",0],'
    '["height","u32",0],["note","string",1],["frame",["u8",0],0],["depths",["f32",0],0],'
    '["mask","bytes",1]]'
)
_PLAN: Plan[Message] = plan_of("front_camera_frames", _FORMAT, {"header": MessageHeader, "": Message})
_TOPIC = _topics.ConsumedTopic("front-camera", "frames", _PLAN)

Subscription: TypeAlias = _topics.Subscription[Message]
ReadLoan: TypeAlias = _topics.ReadLoan[Message]


async def on_next_message_received(node_runner: NodeRunner, from_core_node: str | None = None) -> tuple[str, Message]:
    """Wait for the next message: the producer's instance id and the message."""
    return await _TOPIC.on_next_message_received(node_runner, from_core_node)


def subscribe(node_runner: NodeRunner, spin_us: int = 0) -> Subscription:
    """Open a subscription with a cursor of its own; a waiting read spins for `spin_us` before it sleeps."""
    return _TOPIC.subscribe(node_runner, spin_us)
