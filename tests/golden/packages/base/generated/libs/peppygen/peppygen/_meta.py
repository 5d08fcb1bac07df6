"""What the package knows about `base:v1`."""

from peppy.codec import require_generator
from peppy.model.names import Reference
from peppy.model.node import Slot
from peppy.model.parameters import Group

GENERATOR_VERSION = 1
require_generator(GENERATOR_VERSION)

NAME = "base"
TAG = "v1"
FINGERPRINT = "f612e4f80390526e8b26d99ea1c2b979c555df012da89d054b63eb6c2b0f2bb6"
CONFORMS_TO: tuple[Reference, ...] = ()
SLOTS: tuple[Slot, ...] = ()
DECLARED_PARAMETERS = Group(())
SCHEMA_HASHES: dict[str, int] = {
    "exposed_services/set_zero/request": 0xBC9CEDF02EAA895F,
    "exposed_services/set_zero/response": 0xE8E1A1D8C2F75DBE,
    "exposed_services/reset/request": 0x0000000000000000,
    "exposed_services/reset/response": 0x0000000000000000,
    "exposed_services/log/request": 0x8FACAC04FEBD8437,
    "exposed_services/log/response": 0x0000000000000000,
    "exposed_services/read_status/request": 0x0000000000000000,
    "exposed_services/read_status/response": 0x2D4B80960DFCF2E0,
    "exposed_services/plan/request": 0xAFB104EEE2C3F4F5,
    "exposed_services/plan/response": 0x5B6B4DC3A76A0913,
    "exposed_actions/dock/goal": 0x15159C49D9AF8099,
    "exposed_actions/dock/feedback": 0x20A99F0EAA3F71EA,
    "exposed_actions/dock/result": 0x114FF54DBF309ED4,
    "exposed_actions/wave/goal": 0x0000000000000000,
    "exposed_actions/wave/feedback": 0x0000000000000000,
    "exposed_actions/wave/result": 0x0000000000000000,
    "exposed_actions/move/goal": 0x3FB61955B948600E,
    "exposed_actions/move/feedback": 0x0000000000000000,
    "exposed_actions/move/result": 0xF4F2C6A351FFD596,
    "exposed_actions/patrol/goal": 0x0000000000000000,
    "exposed_actions/patrol/feedback": 0xF20EE95B4637E6F9,
    "exposed_actions/patrol/result": 0x0000000000000000,
}
