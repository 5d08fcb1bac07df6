"""Topics that this node emits."""

from . import image, image_source, image_source_1

__all__ = ["image", "image_source", "image_source_1"]
