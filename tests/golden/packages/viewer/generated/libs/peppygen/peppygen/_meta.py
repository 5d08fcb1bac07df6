"""What the package knows about `viewer:v1`."""

from peppy.codec import require_generator
from peppy.model.names import Reference
from peppy.model.node import Slot, SlotKind
from peppy.model.parameters import Group

GENERATOR_VERSION = 1
require_generator(GENERATOR_VERSION)

NAME = "viewer"
TAG = "v1"
FINGERPRINT = "e9f573cc7b53f6fdffb6ceb81dd4f7c516c7221c16401633b6995d2c84d67008"
CONFORMS_TO: tuple[Reference, ...] = ()
SLOTS: tuple[Slot, ...] = (
    Slot(SlotKind.NODE, "imu", Reference("imu", "v1")),
    Slot(SlotKind.NODE, "front-camera", Reference("camera", "0.2.0"), from_any=True),
    Slot(SlotKind.NODE, "ping", Reference("ping", "v1")),
)
DECLARED_PARAMETERS = Group(())
SCHEMA_HASHES: dict[str, int] = {
    "consumed_topics/imu_attitude": 0x886A9992B5A512F8,
    "consumed_topics/front_camera_frames": 0xEECC70B6218647D2,
    "consumed_topics/front_camera_detections": 0xFA6A88C3E12EC967,
    "consumed_topics/ping_ping": 0x0000000000000000,
}
