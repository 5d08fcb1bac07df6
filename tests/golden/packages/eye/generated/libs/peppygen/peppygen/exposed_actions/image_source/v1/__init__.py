"""Actions that this node offers, inherited from an interface."""

from . import track

__all__ = ["track"]
