"""Topic `image`, emitted with the profile `standard`."""

from collections.abc import Mapping

from peppy.codec import NO_SHAPES, U32, Shape, plan_of
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import topics as _topics

_FORMAT = '[["number","u32",0]]'
_PLAN = plan_of("image", _FORMAT, {})
_TOPIC = _topics.EmittedTopic("image", QoSProfile.Standard, _PLAN)


class WriteLoan(_topics.WriteLoan):
    """Room in the ring for one message: fill it, then publish it or leave the `with` block."""

    number: U32


class Publisher(_topics.Publisher):
    """Writes messages of `image`; every method may be called from any thread."""

    def publish(self, number: int) -> None:
        """Write one message."""
        self._put(_PLAN.encode(number))

    def loan(self, shapes: Mapping[str, Shape] = NO_SHAPES, body_reserve: int = 4096) -> WriteLoan:
        """Take room in the ring for one message. `shapes` gives element counts or shapes of bulk fields by name."""
        return self._loan(WriteLoan, shapes, body_reserve)


async def emit(node_runner: NodeRunner, number: int) -> None:
    """Write one message."""
    await _TOPIC.emit(node_runner, _PLAN.encode(number))


def declare_publisher(node_runner: NodeRunner) -> Publisher:
    """Make a publisher; awaiting it gives the same object once the daemon has registered it."""
    return _TOPIC.publisher(node_runner, Publisher)
