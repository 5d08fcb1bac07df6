"""Topics that this node reads."""

from . import eye_image, source_image

__all__ = ["eye_image", "source_image"]
