"""Topic `detections`, emitted with the profile `standard`."""

from collections.abc import Mapping, Sequence

from peppy.codec import (
    F32,
    F64,
    I16,
    NO_SHAPES,
    Annotated,
    Array,
    ArrayPayload,
    Bool,
    BoolArray,
    Bytes,
    Integers,
    Length,
    Octets,
    Payload,
    Shape,
    String,
    Time,
    U16Array,
    plan_of,
)
from peppy.runtime import NodeRunner, QoSProfile
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


_FORMAT = (
    '[["stamp","time",0],["boxes",[[["label","string",0],["corners",["f32",4],0],["scores",["f32",0],0],'
    '["crop","bytes",0],["key",["u8",4],0],["pose",[["x","f64",0],["y","f64",0]],0]],0],0],["lens",'
    '[["model","string",0],["table",["u16",20],0],["lit",["bool",0],0]],1],["tags",["string",0],0],'
    '["times",["time",0],1],["blobs",["bytes",0],0],["ok","bool",0],["gains",["i16",3],1]]'
)
_PLAN = plan_of(
    "detections", _FORMAT, {"boxes.pose": MessageBoxesItemPose, "boxes": MessageBoxesItem, "lens": MessageLens}
)
_TOPIC = _topics.EmittedTopic("detections", QoSProfile.Standard, _PLAN)


class WriteLoan(_topics.WriteLoan):
    """Room in the ring for one message: fill it, then publish it or leave the `with` block."""

    stamp: Time
    boxes: Array[MessageBoxesItem]
    lens: MessageLens | None
    tags: Array[String]
    times: Array[Time] | None
    blobs: Array[Bytes]
    ok: Bool
    gains: Annotated[Array[I16], Length(3)] | None


class Publisher(_topics.Publisher):
    """Writes messages of `detections`; every method may be called from any thread."""

    def publish(
        self,
        stamp: float,
        boxes: Sequence[MessageBoxesItem],
        lens: MessageLens | None,
        tags: Sequence[str],
        times: Sequence[float] | None,
        blobs: Sequence[Octets],
        ok: bool,
        gains: Integers | None,
    ) -> None:
        """Write one message."""
        self._put(_PLAN.encode(stamp, boxes, lens, tags, times, blobs, ok, gains))

    def loan(self, shapes: Mapping[str, Shape] = NO_SHAPES, body_reserve: int = 4096) -> WriteLoan:
        """Take room in the ring for one message. `shapes` gives element counts or shapes of bulk fields by name."""
        return self._loan(WriteLoan, shapes, body_reserve)


async def emit(
    node_runner: NodeRunner,
    stamp: float,
    boxes: Sequence[MessageBoxesItem],
    lens: MessageLens | None,
    tags: Sequence[str],
    times: Sequence[float] | None,
    blobs: Sequence[Octets],
    ok: bool,
    gains: Integers | None,
) -> None:
    """Write one message."""
    await _TOPIC.emit(node_runner, _PLAN.encode(stamp, boxes, lens, tags, times, blobs, ok, gains))


def declare_publisher(node_runner: NodeRunner) -> Publisher:
    """Make a publisher; awaiting it gives the same object once the daemon has registered it."""
    return _TOPIC.publisher(node_runner, Publisher)
