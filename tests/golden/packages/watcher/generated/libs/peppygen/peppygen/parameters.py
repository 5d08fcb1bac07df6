"""Parameters of `watcher:v1`, checked before the node starts."""

from dataclasses import dataclass as _dataclass

from peppy import codec as _codec

from . import _meta


@_dataclass(kw_only=True)
class Parameters(_codec.ParameterGroup):
    """The parameters of `watcher:v1`."""

    DECLARED = _meta.DECLARED_PARAMETERS
