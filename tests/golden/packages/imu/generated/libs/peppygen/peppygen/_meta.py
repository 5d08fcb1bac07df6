"""What the package knows about `imu:v1`."""

from peppy.codec import require_generator
from peppy.model.names import Reference
from peppy.model.node import Slot
from peppy.model.parameters import Group, Leaf, Parameter
from peppy.model.types import Token

GENERATOR_VERSION = 1
require_generator(GENERATOR_VERSION)

NAME = "imu"
TAG = "v1"
FINGERPRINT = "3ecb518d9041c05d3530c11b6af797608b42e3be2b1092af7169e5e860bbc5b3"
CONFORMS_TO: tuple[Reference, ...] = ()
SLOTS: tuple[Slot, ...] = ()
DECLARED_PARAMETERS = Group((Parameter("rate_hz", Leaf(Token.F64, 100.0)),))
SCHEMA_HASHES: dict[str, int] = {"emitted_topics/attitude": 0x886A9992B5A512F8}
