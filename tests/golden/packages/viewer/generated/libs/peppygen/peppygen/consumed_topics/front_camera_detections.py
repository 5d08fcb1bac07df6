"""Topic `detections` of `camera:0.2.0`, read through the slot `front-camera`."""

from typing import TypeAlias

from peppy.codec import (
    F32,
    F64,
    I16,
    Annotated,
    Array,
    ArrayPayload,
    Bool,
    BoolArray,
    Bytes,
    Length,
    Payload,
    Plan,
    String,
    Time,
    U16Array,
    plan_of,
)
from peppy.runtime import NodeRunner
from peppy.runtime import topics as _topics


class MessageBoxesItemPose(Payload):
    """Field `boxes.pose`."""

    x: F64
    y: F64


class MessageBoxesItem(Payload):
    """Field `boxes`, one item."""

    label: String
    corners: Annotated[Array[F32], Length(4)]
    scores: Array[F32]
    crop: Bytes
    key: Annotated[Bytes, Length(4)]
    pose: MessageBoxesItemPose


class MessageLens(ArrayPayload):
    """Field `lens`."""

    model: String
    table: U16Array
    lit: BoolArray


class Message(Payload):
    """One message of `detections`."""

    stamp: Time
    boxes: Array[MessageBoxesItem]
    lens: MessageLens | None
    tags: Array[String]
    times: Array[Time] | None
    blobs: Array[Bytes]
    ok: Bool
    gains: Annotated[Array[I16], Length(3)] | None


_FORMAT = (
    '[["stamp","time",0],["boxes",[[["label","string",0],["corners",["f32",4],0],["scores",["f32",0],0],'
    '["crop","bytes",0],["key",["u8",4],0],["pose",[["x","f64",0],["y","f64",0]],0]],0],0],["lens",'
    '[["model","string",0],["table",["u16",20],0],["lit",["bool",0],0]],1],["tags",["string",0],0],'
    '["times",["time",0],1],["blobs",["bytes",0],0],["ok","bool",0],["gains",["i16",3],1]]'
)
_PLAN: Plan[Message] = plan_of(
    "front_camera_detections",
    _FORMAT,
    {"boxes.pose": MessageBoxesItemPose, "boxes": MessageBoxesItem, "lens": MessageLens, "": Message},
)
_TOPIC = _topics.ConsumedTopic("front-camera", "detections", _PLAN)

Subscription: TypeAlias = _topics.Subscription[Message]
ReadLoan: TypeAlias = _topics.ReadLoan[Message]


async def on_next_message_received(node_runner: NodeRunner, from_core_node: str | None = None) -> tuple[str, Message]:
    """Wait for the next message: the producer's instance id and the message."""
    return await _TOPIC.on_next_message_received(node_runner, from_core_node)


def subscribe(node_runner: NodeRunner, spin_us: int = 0) -> Subscription:
    """Open a subscription with a cursor of its own; a waiting read spins for `spin_us` before it sleeps."""
    return _TOPIC.subscribe(node_runner, spin_us)
