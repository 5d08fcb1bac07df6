"""Topic `image` of interface `image_source:v1`, emitted with the profile `sensor_data`."""

from collections.abc import Mapping

from peppy.codec import NO_SHAPES, Octets, Shape, Time, U8Array, plan_of
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import topics as _topics

_FORMAT = '[["stamp","time",0],["pixels",["u8",0],0]]'
_PLAN = plan_of("image", _FORMAT, {})
_TOPIC = _topics.EmittedTopic("image", QoSProfile.SensorData, _PLAN, "image_source:v1")


class WriteLoan(_topics.WriteLoan):
    """Room in the ring for one message: fill it, then publish it or leave the `with` block."""

    stamp: Time
    pixels: U8Array


class Publisher(_topics.Publisher):
    """Writes messages of `image`; every method may be called from any thread."""

    def publish(self, stamp: float, pixels: Octets) -> None:
        """Write one message."""
        self._put(_PLAN.encode(stamp, pixels))

    def loan(self, shapes: Mapping[str, Shape] = NO_SHAPES, body_reserve: int = 4096) -> WriteLoan:
        """Take room in the ring for one message. `shapes` gives element counts or shapes of bulk fields by name."""
        return self._loan(WriteLoan, shapes, body_reserve)


async def emit(node_runner: NodeRunner, stamp: float, pixels: Octets) -> None:
    """Write one message."""
    await _TOPIC.emit(node_runner, _PLAN.encode(stamp, pixels))


def declare_publisher(node_runner: NodeRunner) -> Publisher:
    """Make a publisher; awaiting it gives the same object once the daemon has registered it."""
    return _TOPIC.publisher(node_runner, Publisher)
