"""The runtime config that the daemon writes for an instance (docs/reference/daemon.md, Runtime config)."""

import os
from pathlib import Path
from typing import Any

import msgspec

from peppy.errors import NodeStartupError
from peppy.model.qos import QoSProfile

VARIABLE = "PEPPY_RUNTIME_CONFIG"
"""Names the file; without it the process is a standalone program."""


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    pass


class Framework(_Strict, frozen=True):
    use_sim_time: bool = False


class SlotBinding(_Strict, frozen=True, omit_defaults=True):
    """`kind` is `pinned`, `from_any_bound` or `from_any_unbound`."""

    kind: str
    producer_instance_id: str | None = None
    producer_instance_ids: tuple[str, ...] = ()


class NodeInstance(_Strict, frozen=True):
    instance_id: str
    arguments: dict[str, Any] = {}
    framework: Framework = Framework()
    slot_bindings: dict[str, SlotBinding] = {}


class Lifecycle(_Strict, frozen=True):
    """Seconds: without a daemon until the node ends; for the shutdown sequence."""

    daemon_grace_secs: float = 180.0
    shutdown_grace_secs: float = 5.0


class Reliable(_Strict, frozen=True):
    publish_timeout_secs: float = 5.0


class Depths(_Strict, frozen=True):
    sensor_data: int = 32
    standard: int = 128
    reliable: int = 128
    critical: int = 128


class TopicSettings(_Strict, frozen=True):
    """Depths in messages, sizes in bytes (docs/reference/qos.md, Ring depth)."""

    depth: Depths = Depths()
    ring_bytes: int = 64 << 20
    max_message_bytes: int = 256 << 20

    def depth_of(self, qos: QoSProfile) -> int:
        """The configured depth of a profile."""
        return getattr(self.depth, qos.word)


class ActionSettings(_Strict, frozen=True):
    feedback_ring_bytes: int = 8 << 20
    result_retention_secs: float = 30.0


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
        config = msgspec.json.decode(Path(name).read_bytes(), type=RuntimeConfig)
    except OSError as error:
        raise NodeStartupError(f"cannot read the runtime config `{name}`: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise NodeStartupError(
            f"the runtime config `{name}` is not valid: {error}", hint="start the instance with `peppy node run`"
        ) from error
    if config.version != 1:
        raise NodeStartupError(
            f"the runtime config `{name}` has version `{config.version}`, this library reads version 1",
            hint=f"peppy node build --force {config.node_name}:{config.node_tag}",
        )
    return config
