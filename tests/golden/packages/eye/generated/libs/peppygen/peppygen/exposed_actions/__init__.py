"""Actions that this node offers."""

from . import image_source

__all__ = ["image_source"]
