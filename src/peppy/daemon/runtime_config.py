"""What an instance is told at its start: `config.json` (docs/reference/daemon.md, Runtime config)."""

import os
from pathlib import Path

import msgspec

from peppy.daemon.config import runtime_groups
from peppy.daemon.core import Core
from peppy.daemon.registry import Instance

VERSION = 1


def runtime_config(core: Core, instance: Instance) -> dict[str, object]:
    """The document: strict JSON with every slot and all arguments, defaults filled in."""
    return {
        "version": VERSION,
        "socket": str(core.root.socket),
        "node_name": instance.reference.name,
        "node_tag": instance.reference.tag,
        "bound_core_node": core.registry.core_node_name,
        "node_instance": {
            "instance_id": instance.instance_id,
            "arguments": instance.arguments,
            "framework": {"use_sim_time": False},
            "slot_bindings": instance.slot_bindings,
        },
        **runtime_groups(core.configuration),
    }


def write_runtime_config(core: Core, instance: Instance, path: Path) -> None:
    """Writes it for this user only; OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(runtime_config(core, instance)))
