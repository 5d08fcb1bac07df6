"""Topics that this node emits, inherited from an interface."""

from . import image

__all__ = ["image"]
