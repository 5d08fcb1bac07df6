"""Topics that this node emits."""

from . import ping

__all__ = ["ping"]
