"""What the package knows about `ping:v1`."""

from peppy.codec import require_generator
from peppy.model.names import Reference
from peppy.model.node import Slot
from peppy.model.parameters import Group

GENERATOR_VERSION = 1
require_generator(GENERATOR_VERSION)

NAME = "ping"
TAG = "v1"
FINGERPRINT = "61f099b57dd95eecd32a2a4b5f3b12740fb57410b1d21a37a508e7a691115e27"
CONFORMS_TO: tuple[Reference, ...] = ()
SLOTS: tuple[Slot, ...] = ()
DECLARED_PARAMETERS = Group(())
SCHEMA_HASHES: dict[str, int] = {"emitted_topics/ping": 0x0000000000000000}
