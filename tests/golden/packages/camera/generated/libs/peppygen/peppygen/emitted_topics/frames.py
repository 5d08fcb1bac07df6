"""Topic `frames`, emitted with the profile `sensor_data`."""

from collections.abc import Mapping

from peppy.codec import NO_SHAPES, U32, F32Array, Floats, Octets, Payload, Shape, String, Time, U8Array, plan_of
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import topics as _topics


class MessageHeader(Payload):
    """Field `header`."""

    seq: U32
    stamp: Time
    frame_id: String


_FORMAT = (
    '[["header",[["seq","u32",0],["stamp","time",0],["frame_id","string",0]],0],["width","u32",0],'
    '["height","u32",0],["note","string",1],["frame",["u8",0],0],["depths",["f32",0],0],'
    '["mask","bytes",1]]'
)
_PLAN = plan_of("frames", _FORMAT, {"header": MessageHeader})
_TOPIC = _topics.EmittedTopic("frames", QoSProfile.SensorData, _PLAN)


class WriteLoan(_topics.WriteLoan):
    """Room in the ring for one message: fill it, then publish it or leave the `with` block."""

    header: MessageHeader
    width: U32
    height: U32
    note: String | None
    frame: U8Array
    depths: F32Array
    mask: U8Array | None


class Publisher(_topics.Publisher):
    """Writes messages of `frames`; every method may be called from any thread."""

    def publish(
        self,
        header: MessageHeader,
        width: int,
        height: int,
        note: str | None,
        frame: Octets,
        depths: Floats,
        mask: Octets | None,
    ) -> None:
        """Write one message."""
        self._put(_PLAN.encode(header, width, height, note, frame, depths, mask))

    def loan(self, shapes: Mapping[str, Shape] = NO_SHAPES, body_reserve: int = 4096) -> WriteLoan:
        """Take room in the ring for one message. `shapes` gives element counts or shapes of bulk fields by name."""
        return self._loan(WriteLoan, shapes, body_reserve)


async def emit(
    node_runner: NodeRunner,
    header: MessageHeader,
    width: int,
    height: int,
    note: str | None,
    frame: Octets,
    depths: Floats,
    mask: Octets | None,
) -> None:
    """Write one message."""
    await _TOPIC.emit(node_runner, _PLAN.encode(header, width, height, note, frame, depths, mask))


def declare_publisher(node_runner: NodeRunner) -> Publisher:
    """Make a publisher; awaiting it gives the same object once the daemon has registered it."""
    return _TOPIC.publisher(node_runner, Publisher)
