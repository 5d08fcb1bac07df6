"""A node program that the daemon did not start (docs/reference/node_api.md, Standalone mode)."""

import copy
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from peppy.errors import DaemonUnavailable, InvalidInput, NodeStartupError
from peppy.model.home import daemon_log, daemon_socket, data_root
from peppy.model.names import NAME_RULE, Reference, is_name
from peppy.model.node import Slot
from peppy.model.parameters import Group, resolve
from peppy.model.text import quoted
from peppy.protocol.blocking import DaemonNotRunning, connect
from peppy.protocol.frames import Hello, Welcome
from peppy.runtime.config import VERSION, NodeInstance, RuntimeConfig
from peppy.runtime.package import Parameters

CORE_NODE = "standalone-core"
"""What a standalone program calls its core node."""


class StandaloneConfig:
    """How the program runs when the daemon did not start it; each method returns a new object."""

    def __init__(self) -> None:
        self.parameters: Mapping[str, Any] = {}
        self.instance_id: str | None = None
        self.node_name: str | None = None

    def with_parameters(self, parameters: Mapping[str, Any] | Parameters) -> Self:
        """Use these values instead of the defaults: a dict by declared names, or the generated dataclass."""
        values = dict(parameters) if isinstance(parameters, Mapping) else parameters.to_dict()
        return self._with(parameters=values)

    def with_instance_id(self, instance_id: str) -> Self:
        """Join the stack under this id."""
        return self._with(instance_id=instance_id)

    def with_node_name(self, node_name: str) -> Self:
        """Join the stack under this node name."""
        return self._with(node_name=node_name)

    def _with(self, **changes: Any) -> Self:
        changed = copy.copy(self)
        changed.__dict__.update(changes)
        return changed


@dataclass(frozen=True, slots=True)
class StandaloneProgram:
    """What a program says of itself. `instance_id` None: the daemon chooses one."""

    reference: Reference
    conforms_to: tuple[Reference, ...]
    slots: tuple[Slot, ...]
    instance_id: str | None
    home: Path

    @classmethod
    def of(
        cls, reference: Reference, conforms_to: tuple[Reference, ...], slots: tuple[Slot, ...], config: StandaloneConfig
    ) -> Self:
        """The program of a generated package as `config` wants it. NodeStartupError for a name that is none."""
        for name in (config.node_name, config.instance_id):
            if name is not None and not is_name(name):
                raise NodeStartupError(f"{quoted(name)} is no name: {NAME_RULE}")
        if config.node_name is not None:
            reference = Reference(config.node_name, reference.tag)
        return cls(reference, conforms_to, slots, config.instance_id, data_root(os.environ))

    def config(self) -> RuntimeConfig:
        """What the program knows before the daemon has welcomed it."""
        return RuntimeConfig(
            version=VERSION,
            socket=str(daemon_socket(self.home)),
            node_name=self.reference.name,
            node_tag=self.reference.tag,
            bound_core_node=CORE_NODE,
            node_instance=NodeInstance(self.instance_id or ""),
        )

    def introduced(self, hello: Hello) -> Hello:
        """The hello of this program."""
        return msgspec.structs.replace(
            hello,
            role="standalone",
            instance_id=hello.instance_id or None,
            conforms_to=tuple(map(str, self.conforms_to)),
            slots=tuple(
                (slot.link_id, slot.kind.value, slot.provider.name, slot.provider.tag, slot.from_any)
                for slot in self.slots
            ),
        )

    def welcomed(self, config: RuntimeConfig, welcome: Welcome) -> RuntimeConfig:
        """The config with the id and the settings that the daemon gave; DaemonUnavailable when it gave none."""
        document = {**msgspec.to_builtins(config), **(welcome.settings or {})}
        document["node_instance"] = {"instance_id": welcome.instance_id}
        try:
            return msgspec.convert(document, RuntimeConfig)
        except msgspec.ValidationError as error:
            raise DaemonUnavailable(f"the welcome of the daemon at `{config.socket}` is not valid: {error}") from error


def standalone_values(declared: Group, config: StandaloneConfig) -> dict[str, Any]:
    """Every declared parameter by name: what `config` supplies, defaults for the rest. Raises NodeStartupError."""
    try:
        return dict(resolve(declared, config.parameters))
    except InvalidInput as error:
        missing = next((problem for problem in error.details if problem.kind == "MissingParameters"), None)
        hint = "give them with `StandaloneConfig().with_parameters()`"
        if missing is None:
            raise NodeStartupError(error.message, hint=hint) from error
        names = missing.message.partition(": ")[2]
        others = [str(problem) for problem in error.details if problem is not missing]
        text = "\n".join([f"missing required parameter(s) for standalone mode: {names}", *others])
        raise NodeStartupError(text, hint=hint) from error


def ensure_daemon(home: Path) -> None:
    """Starts a daemon for the data root when none listens, as the command line does. Raises DaemonUnavailable."""
    if _listens(home):
        return
    from peppy.client.autostart import start_daemon

    pid = start_daemon(home)
    print(f"[INFO] started the peppy daemon (pid {pid}, log {daemon_log(home)})", file=sys.stderr, flush=True)


def _listens(home: Path) -> bool:
    try:
        connect(daemon_socket(home)).close()
    except DaemonNotRunning:
        return False
    return True
