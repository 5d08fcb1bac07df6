"""Topics that this node reads."""

from . import front_camera_detections, front_camera_frames, imu_attitude, ping_ping

__all__ = ["front_camera_detections", "front_camera_frames", "imu_attitude", "ping_ping"]
