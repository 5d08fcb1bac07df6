"""Topic `2d`, emitted with the profile `standard`."""

from collections.abc import Mapping, Sequence

from peppy.codec import (
    F32,
    I32,
    I64,
    NO_SHAPES,
    U8,
    U64,
    Annotated,
    Array,
    Bool,
    F64Array,
    Floats,
    Integers,
    Length,
    Octets,
    Shape,
    String,
    Time,
    U8Array,
    plan_of,
)
from peppy.runtime import NodeRunner, QoSProfile
from peppy.runtime import topics as _topics

_FORMAT = (
    '[["int","u8",0],["list",["string",0],0],["str","string",0],["publish","bool",0],["discard",'
    '["f64",0],0],["float","f32",0],["bytes","bytes",0],["node","time",0],["shapes","i64",0],'
    '["body_reserve","u64",0],["a_rather_long_field_name_that_makes_the_signature_wrap",["i32",2],0]]'
)
_PLAN = plan_of("2d", _FORMAT, {})
_TOPIC = _topics.EmittedTopic("2d", QoSProfile.Standard, _PLAN)


class WriteLoan(_topics.WriteLoan):
    """Room in the ring for one message: fill it, then publish it or leave the `with` block."""

    int: U8
    list: Array[String]
    str: String
    publish_: Bool
    discard_: F64Array
    float: F32
    bytes: U8Array
    node: Time
    shapes: I64
    body_reserve: U64
    a_rather_long_field_name_that_makes_the_signature_wrap: Annotated[Array[I32], Length(2)]


class Publisher(_topics.Publisher):
    """Writes messages of `2d`; every method may be called from any thread."""

    def publish(
        self,
        int: int,
        list: Sequence[str],
        str: str,
        publish: bool,
        discard: Floats,
        float: float,
        bytes: Octets,
        node: float,
        shapes: int,
        body_reserve: int,
        a_rather_long_field_name_that_makes_the_signature_wrap: Integers,
    ) -> None:
        """Write one message."""
        self._put(
            _PLAN.encode(
                int,
                list,
                str,
                publish,
                discard,
                float,
                bytes,
                node,
                shapes,
                body_reserve,
                a_rather_long_field_name_that_makes_the_signature_wrap,
            )
        )

    def loan(self, shapes: Mapping[str, Shape] = NO_SHAPES, body_reserve: int = 4096) -> WriteLoan:
        """Take room in the ring for one message. `shapes` gives element counts or shapes of bulk fields by name."""
        return self._loan(WriteLoan, shapes, body_reserve)


async def emit(
    node_runner: NodeRunner,
    int: int,
    list: Sequence[str],
    str: str,
    publish: bool,
    discard: Floats,
    float: float,
    bytes: Octets,
    node: float,
    shapes: int,
    body_reserve: int,
    a_rather_long_field_name_that_makes_the_signature_wrap: Integers,
) -> None:
    """Write one message."""
    await _TOPIC.emit(
        node_runner,
        _PLAN.encode(
            int,
            list,
            str,
            publish,
            discard,
            float,
            bytes,
            node,
            shapes,
            body_reserve,
            a_rather_long_field_name_that_makes_the_signature_wrap,
        ),
    )


def declare_publisher(node_runner: NodeRunner) -> Publisher:
    """Make a publisher; awaiting it gives the same object once the daemon has registered it."""
    return _TOPIC.publisher(node_runner, Publisher)
