"""What the package knows about `eye:v1`."""

from peppy.codec import require_generator
from peppy.model.names import Reference
from peppy.model.node import Slot
from peppy.model.parameters import Group

GENERATOR_VERSION = 1
require_generator(GENERATOR_VERSION)

NAME = "eye"
TAG = "v1"
FINGERPRINT = "6b7a09a38542237591226d5b84f286e8237cf881f0def7ce56ad204d3e8779e2"
CONFORMS_TO: tuple[Reference, ...] = (Reference("image_source", "v1"), Reference("light", "0.2.0"))
SLOTS: tuple[Slot, ...] = ()
DECLARED_PARAMETERS = Group(())
SCHEMA_HASHES: dict[str, int] = {
    "emitted_topics/image": 0x29CCD6003A2A42EF,
    "emitted_topics/image_source": 0x0000000000000000,
    "emitted_topics/image_source_1/v1/image": 0xED24FA03170F328F,
    "exposed_services/zoom/request": 0x0000000000000000,
    "exposed_services/zoom/response": 0x0000000000000000,
    "exposed_services/image_source/v1/zoom/request": 0x374A216535450241,
    "exposed_services/image_source/v1/zoom/response": 0x374A216535450241,
    "exposed_services/light/_0_2_0/switch/request": 0x629B6098DA95C1E1,
    "exposed_services/light/_0_2_0/switch/response": 0x0000000000000000,
    "exposed_actions/image_source/v1/track/goal": 0xB52A814C34A2B635,
    "exposed_actions/image_source/v1/track/feedback": 0x20A99F0EAA3F71EA,
    "exposed_actions/image_source/v1/track/result": 0x1EB52CEE7C4B1989,
}
