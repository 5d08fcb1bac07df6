"""What the package knows about `Odd-Names:1.0-rc.1`."""

from peppy.codec import require_generator
from peppy.model.names import Reference
from peppy.model.node import Slot
from peppy.model.parameters import Group

GENERATOR_VERSION = 1
require_generator(GENERATOR_VERSION)

NAME = "Odd-Names"
TAG = "1.0-rc.1"
FINGERPRINT = "602a1860b303a5d4bcd18f240bad0a8b14bb353e7a3212d86cf892237668bbd1"
CONFORMS_TO: tuple[Reference, ...] = ()
SLOTS: tuple[Slot, ...] = ()
DECLARED_PARAMETERS = Group(())
SCHEMA_HASHES: dict[str, int] = {
    "emitted_topics/point_cloud": 0x4AF071B75414C85A,
    "emitted_topics/point_cloud_1": 0x4AF071B75414C85A,
    "emitted_topics/point_cloud_2": 0x4AF071B75414C85A,
    "emitted_topics/point_cloud_1_1": 0x4AF071B75414C85A,
    "emitted_topics/class_": 0x72606317E2A9468D,
    "emitted_topics/_2d": 0x4B3A48AC38939B09,
}
