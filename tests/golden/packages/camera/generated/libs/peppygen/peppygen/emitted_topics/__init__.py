"""Topics that this node emits."""

from . import detections, frames

__all__ = ["detections", "frames"]
