"""Actions that this node calls."""

from . import source_track

__all__ = ["source_track"]
