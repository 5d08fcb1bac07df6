"""Services that this node calls."""

from . import source_zoom

__all__ = ["source_zoom"]
