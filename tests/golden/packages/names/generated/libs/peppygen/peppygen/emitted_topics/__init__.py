"""Topics that this node emits."""

from . import _2d, class_, point_cloud, point_cloud_1, point_cloud_1_1, point_cloud_2

__all__ = ["_2d", "class_", "point_cloud", "point_cloud_1", "point_cloud_1_1", "point_cloud_2"]
