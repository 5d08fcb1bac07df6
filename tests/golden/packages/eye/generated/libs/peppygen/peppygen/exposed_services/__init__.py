"""Services that this node offers."""

from . import image_source, light, zoom

__all__ = ["image_source", "light", "zoom"]
