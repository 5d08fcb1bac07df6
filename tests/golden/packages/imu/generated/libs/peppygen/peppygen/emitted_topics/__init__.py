"""Topics that this node emits."""

from . import attitude

__all__ = ["attitude"]
