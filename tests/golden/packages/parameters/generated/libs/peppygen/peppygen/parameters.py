"""Parameters of `parameters:v1`, checked before the node starts."""

from collections.abc import Mapping as _Mapping
from dataclasses import dataclass as _dataclass
from typing import ClassVar as _ClassVar

from peppy import codec as _codec

from . import _meta


@_dataclass(kw_only=True)
class VideoResolution(_codec.ParameterGroup):
    """Parameters `video.resolution`."""

    DECLARED = _codec.group_at(_meta.DECLARED_PARAMETERS, "video", "resolution")

    width: _codec.U32
    height: _codec.U32 = 480


@_dataclass(kw_only=True)
class VideoMappingItemAt(_codec.ParameterGroup):
    """Parameters `video.mapping.at`."""

    DECLARED = _codec.group_at(_meta.DECLARED_PARAMETERS, "video", "mapping", "at")

    x: _codec.F64


@_dataclass(kw_only=True)
class VideoMappingItem(_codec.ParameterGroup):
    """Parameters `video.mapping`, one item."""

    DECLARED = _codec.group_at(_meta.DECLARED_PARAMETERS, "video", "mapping")
    GROUPS: _ClassVar[_Mapping[str, type[_codec.ParameterGroup]]] = {"at": VideoMappingItemAt}

    name: _codec.String
    gain: _codec.F64 = 1.0
    at: VideoMappingItemAt


@_dataclass(kw_only=True)
class Video(_codec.ParameterGroup):
    """Parameters `video`."""

    DECLARED = _codec.group_at(_meta.DECLARED_PARAMETERS, "video")
    GROUPS: _ClassVar[_Mapping[str, type[_codec.ParameterGroup]]] = {
        "resolution": VideoResolution,
        "mapping": VideoMappingItem,
    }

    device: _codec.String
    resolution: VideoResolution
    mapping: _codec.Array[VideoMappingItem]


@_dataclass(kw_only=True)
class T2nd(_codec.ParameterGroup):
    """Parameters `2nd`."""

    DECLARED = _codec.group_at(_meta.DECLARED_PARAMETERS, "2nd")

    any: _codec.String = ""


@_dataclass(kw_only=True)
class Parameters(_codec.ParameterGroup):
    """The parameters of `parameters:v1`."""

    DECLARED = _meta.DECLARED_PARAMETERS
    GROUPS: _ClassVar[_Mapping[str, type[_codec.ParameterGroup]]] = {"video": Video, "2nd": T2nd}

    enabled: _codec.Bool
    level: _codec.U8 = 3
    offset: _codec.I64 = -9223372036854775808
    gain: _codec.F32 = 0.5
    scale: _codec.F64
    title: _codec.String = 'it\'s "so" \\ {x} \n \xfc \U0001f600'
    key: _codec.Bytes
    since: _codec.Time
    int: _codec.U16 = 1
    class_: _codec.Bool = True
    from_dict_: _codec.U8
    weights: _codec.Array[_codec.F32]
    corner: _codec.Array[_codec.I32]
    video: Video
    _2nd: T2nd
