"""Topic `class`, emitted with the profile `standard`."""

from collections.abc import Mapping

from peppy.codec import I8, NO_SHAPES, U8, Payload, Shape, String, plan_of
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import topics as _topics


class MessageT2dBox(Payload):
    """Field `2d_box`."""

    _3rd_corner: I8


_FORMAT = '[["import","u8",0],["2d_box",[["3rd-Corner","i8",0]],0],["Frame-ID","string",0]]'
_PLAN = plan_of("class", _FORMAT, {"2d_box": MessageT2dBox})
_TOPIC = _topics.EmittedTopic("class", QoSProfile.Standard, _PLAN)


class WriteLoan(_topics.WriteLoan):
    """Room in the ring for one message: fill it, then publish it or leave the `with` block."""

    import_: U8
    _2d_box: MessageT2dBox
    frame_id: String


class Publisher(_topics.Publisher):
    """Writes messages of `class`; every method may be called from any thread."""

    def publish(self, import_: int, _2d_box: MessageT2dBox, frame_id: str) -> None:
        """Write one message."""
        self._put(_PLAN.encode(import_, _2d_box, frame_id))

    def loan(self, shapes: Mapping[str, Shape] = NO_SHAPES, body_reserve: int = 4096) -> WriteLoan:
        """Take room in the ring for one message. `shapes` gives element counts or shapes of bulk fields by name."""
        return self._loan(WriteLoan, shapes, body_reserve)


async def emit(node_runner: NodeRunner, import_: int, _2d_box: MessageT2dBox, frame_id: str) -> None:
    """Write one message."""
    await _TOPIC.emit(node_runner, _PLAN.encode(import_, _2d_box, frame_id))


def declare_publisher(node_runner: NodeRunner) -> Publisher:
    """Make a publisher; awaiting it gives the same object once the daemon has registered it."""
    return _TOPIC.publisher(node_runner, Publisher)
