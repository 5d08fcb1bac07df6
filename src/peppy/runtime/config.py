"""The runtime config that the daemon writes for an instance (docs/reference/daemon.md, Runtime config)."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from peppy.errors import NodeStartupError
from peppy.model.qos import QoSProfile

VARIABLE = "PEPPY_RUNTIME_CONFIG"
"""Names the file; without it the process is a standalone program."""


VERSION = 1

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Depth = Annotated[int, msgspec.Meta(ge=4, le=16384)]
Size = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]


class _Version(msgspec.Struct):
    version: int
    node_name: str = "NAME"
    node_tag: str = "TAG"


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pass


class Framework(_Strict, frozen=True):
    use_sim_time: bool = False


class SlotBinding(_Strict, frozen=True, omit_defaults=True):
    kind: Literal["pinned", "from_any_bound", "from_any_unbound"]
    producer_instance_id: str | None = None
    producer_instance_ids: tuple[str, ...] = ()


class NodeInstance(_Strict, frozen=True):
    instance_id: str
    arguments: dict[str, Any] = {}
    framework: Framework = Framework()
    slot_bindings: dict[str, SlotBinding] = {}


class Lifecycle(_Strict, frozen=True):
    """Seconds: without a daemon until the node ends; for the shutdown sequence."""

    daemon_grace_secs: Seconds = 180.0
    shutdown_grace_secs: Seconds = 5.0


class Reliable(_Strict, frozen=True):
    publish_timeout_secs: Seconds = 5.0


class Depths(_Strict, frozen=True):
    sensor_data: Depth = 32
    standard: Depth = 128
    reliable: Depth = 128
    critical: Depth = 128


class TopicSettings(_Strict, frozen=True):
    """Depths in messages, sizes in bytes (docs/reference/qos.md, Ring depth)."""

    depth: Depths = Depths()
    ring_bytes: Size = 64 << 20
    max_message_bytes: Size = 256 << 20

    def depth_of(self, qos: QoSProfile) -> int:
        """The configured depth of a profile."""
        return getattr(self.depth, qos.word)


class ActionSettings(_Strict, frozen=True):
    feedback_ring_bytes: Size = 8 << 20
    result_retention_secs: Seconds = 30.0


class RuntimeConfig(_Strict, frozen=True):
    version: int
    socket: str
    node_name: str
    node_tag: str
    bound_core_node: str
    node_instance: NodeInstance
    lifecycle: Lifecycle = Lifecycle()
    reliable: Reliable = Reliable()
    topics: TopicSettings = TopicSettings()
    actions: ActionSettings = ActionSettings()


def read_config() -> RuntimeConfig | None:
    """The config of this process, or None for a standalone program. NodeStartupError when it cannot be used."""
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    try:
        text = Path(name).read_bytes()
        found = msgspec.json.decode(text, type=_Version)
        if found.version != VERSION:
            raise NodeStartupError(
                f"the runtime config `{name}` has version `{found.version}`, this library reads version {VERSION}",
                hint=f"run `peppy node build --force {found.node_name}:{found.node_tag}`",
            )
        return msgspec.json.decode(text, type=RuntimeConfig)
    except OSError as error:
        raise NodeStartupError(f"cannot read the runtime config `{name}`: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NodeStartupError(
            f"the runtime config `{name}` is not valid: {error}", hint="start the instance with `peppy node run`"
        ) from error
