"""What the package knows about `watcher:v1`."""

from peppy.codec import require_generator
from peppy.model.names import Reference
from peppy.model.node import Slot, SlotKind
from peppy.model.parameters import Group

GENERATOR_VERSION = 1
require_generator(GENERATOR_VERSION)

NAME = "watcher"
TAG = "v1"
FINGERPRINT = "ec5c2c6fe780b9d22d4c39ef655f8c5a095119708e64916eef3b7df91e61650f"
CONFORMS_TO: tuple[Reference, ...] = ()
SLOTS: tuple[Slot, ...] = (
    Slot(SlotKind.NODE, "eye", Reference("eye", "v1")),
    Slot(SlotKind.INTERFACE, "source", Reference("image_source", "v1"), from_any=True),
)
DECLARED_PARAMETERS = Group(())
SCHEMA_HASHES: dict[str, int] = {
    "consumed_topics/eye_image": 0x29CCD6003A2A42EF,
    "consumed_topics/source_image": 0xED24FA03170F328F,
    "consumed_services/source_zoom/request": 0x374A216535450241,
    "consumed_services/source_zoom/response": 0x374A216535450241,
    "consumed_actions/source_track/goal": 0xB52A814C34A2B635,
    "consumed_actions/source_track/feedback": 0x20A99F0EAA3F71EA,
    "consumed_actions/source_track/result": 0x1EB52CEE7C4B1989,
}
