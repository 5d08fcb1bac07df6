"""What a stream is made of, as its segments say."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from peppy.ring._core import lib

if TYPE_CHECKING:
    from peppy.ring._core import ConfigStruct


class StreamConfig(NamedTuple):
    """The immutable part of a stream generation; `capacity` in bytes, `mode` the number of the QoS profile."""

    epoch_hi: int
    epoch_lo: int
    generation: int
    topic_hash: int
    schema_hash: int
    first_seq: int
    capacity: int
    depth: int
    rows: int
    pins: int
    loans: int
    mode: int
    flags: int


def stream_config(struct: ConfigStruct) -> StreamConfig:
    """Copy the C struct."""
    return StreamConfig(*(int(getattr(struct, name)) for name in StreamConfig._fields))


def layout_hash() -> int:
    """Names the layout of the segments: two processes of different values cannot read each other's streams."""
    return lib.peppy_layout_hash()
