"""Topics that this node emits, inherited from an interface."""

from . import v1

__all__ = ["v1"]
