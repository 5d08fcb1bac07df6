"""What the package knows about `camera:0.2.0`."""

from peppy.codec import require_generator
from peppy.model.names import Reference
from peppy.model.node import Slot
from peppy.model.parameters import Group

GENERATOR_VERSION = 1
require_generator(GENERATOR_VERSION)

NAME = "camera"
TAG = "0.2.0"
FINGERPRINT = "309f2260c426de8155d41d67e986ea08c7503d44501aff64d06db9485abe579a"
CONFORMS_TO: tuple[Reference, ...] = ()
SLOTS: tuple[Slot, ...] = ()
DECLARED_PARAMETERS = Group(())
SCHEMA_HASHES: dict[str, int] = {
    "emitted_topics/frames": 0xEECC70B6218647D2,
    "emitted_topics/detections": 0xFA6A88C3E12EC967,
}
