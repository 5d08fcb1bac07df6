"""What the package knows about `pilot:v1`."""

from peppy.codec import require_generator
from peppy.model.names import Reference
from peppy.model.node import Slot, SlotKind
from peppy.model.parameters import Group

GENERATOR_VERSION = 1
require_generator(GENERATOR_VERSION)

NAME = "pilot"
TAG = "v1"
FINGERPRINT = "eb2015090d32e147f2bdcc396929c850b3675f23945d039de995a4856bc770ea"
CONFORMS_TO: tuple[Reference, ...] = ()
SLOTS: tuple[Slot, ...] = (
    Slot(SlotKind.NODE, "base", Reference("base", "v1")),
    Slot(SlotKind.NODE, "any-base", Reference("base", "v1"), from_any=True),
)
DECLARED_PARAMETERS = Group(())
SCHEMA_HASHES: dict[str, int] = {
    "consumed_services/base_set_zero/request": 0xBC9CEDF02EAA895F,
    "consumed_services/base_set_zero/response": 0xE8E1A1D8C2F75DBE,
    "consumed_services/base_reset/request": 0x0000000000000000,
    "consumed_services/base_reset/response": 0x0000000000000000,
    "consumed_services/base_log/request": 0x8FACAC04FEBD8437,
    "consumed_services/base_log/response": 0x0000000000000000,
    "consumed_services/any_base_read_status/request": 0x0000000000000000,
    "consumed_services/any_base_read_status/response": 0x2D4B80960DFCF2E0,
    "consumed_services/base_plan/request": 0xAFB104EEE2C3F4F5,
    "consumed_services/base_plan/response": 0x5B6B4DC3A76A0913,
    "consumed_actions/base_dock/goal": 0x15159C49D9AF8099,
    "consumed_actions/base_dock/feedback": 0x20A99F0EAA3F71EA,
    "consumed_actions/base_dock/result": 0x114FF54DBF309ED4,
    "consumed_actions/base_wave/goal": 0x0000000000000000,
    "consumed_actions/base_wave/feedback": 0x0000000000000000,
    "consumed_actions/base_wave/result": 0x0000000000000000,
    "consumed_actions/any_base_move/goal": 0x3FB61955B948600E,
    "consumed_actions/any_base_move/feedback": 0x0000000000000000,
    "consumed_actions/any_base_move/result": 0xF4F2C6A351FFD596,
    "consumed_actions/base_patrol/goal": 0x0000000000000000,
    "consumed_actions/base_patrol/feedback": 0xF20EE95B4637E6F9,
    "consumed_actions/base_patrol/result": 0x0000000000000000,
}
