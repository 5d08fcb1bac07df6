"""The way into a node program: `NodeBuilder().run(setup)` (docs/reference/node_api.md, Runtime objects)."""

import asyncio
import copy
import faulthandler
import hashlib
import inspect
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import peppy
from peppy.errors import InvalidInput, NodeStartupError
from peppy.model.names import Reference
from peppy.model.parameters import from_json, resolve
from peppy.runtime.config import RuntimeConfig, read_config
from peppy.runtime.life import NodeLife
from peppy.runtime.package import Package, Parameters
from peppy.runtime.runner import NodeRunner
from peppy.runtime.standalone import StandaloneConfig, StandaloneProgram, ensure_daemon, standalone_values

T = TypeVar("T", bound=Parameters)

MANIFEST = "peppy.json5"


class NodeBuilder(Generic[T]):
    """Base of the generated builder, which says in `package` what node this is."""

    package: ClassVar[Package[Any]]

    def __init__(self) -> None:
        self._config_path = Path(MANIFEST)
        self._standalone = StandaloneConfig()

    def standalone(self, config: StandaloneConfig) -> Self:
        """A builder that uses `config` when the daemon did not start the program; otherwise it is ignored."""
        changed = copy.copy(self)
        changed._standalone = config
        return changed

    def with_config_path(self, path: str) -> Self:
        """A builder that reads the manifest at `path` instead of `peppy.json5` in the current directory."""
        changed = copy.copy(self)
        changed._config_path = Path(path)
        return changed

    def run(self, setup: Callable[[T, NodeRunner], Any]) -> None:
        """Run the node; returns when it has stopped.

        Raises NodeStartupError when the process cannot start as configured, DaemonUnavailable without a daemon, and
        whatever `setup` or one of the tasks it returned raised. RuntimeError inside a running event loop.
        """
        if _loop_is_running():
            raise RuntimeError("`NodeBuilder.run` starts an event loop of its own: call it outside of one")
        _prepare_output()
        config = read_config()
        _check_setup(setup)
        life = self._standalone_life() if config is None else self._life(config)
        life.run(setup)

    def _life(self, config: RuntimeConfig) -> NodeLife:
        self._check_fingerprint()
        return NodeLife(config, self.package.slots, self._parameters(config), peppy.__version__)

    def _standalone_life(self) -> NodeLife:
        package = self.package
        values = standalone_values(package.declared_parameters, self._standalone)
        parameters = package.parameters.from_dict(values)
        reference = Reference(package.name, package.tag)
        program = StandaloneProgram.of(reference, package.conforms_to, package.slots, self._standalone)
        ensure_daemon(program.home)
        return NodeLife(program.config(), package.slots, parameters, peppy.__version__, program)

    def _check_fingerprint(self) -> None:
        try:
            manifest = self._config_path.read_bytes()
        except OSError as error:
            raise NodeStartupError(f"cannot read the manifest `{self._config_path}`: {error.strerror}") from error
        found = hashlib.sha256(manifest).hexdigest()
        if found != self.package.fingerprint:
            raise NodeStartupError(
                f"Node config fingerprint mismatch: `{self._config_path}` is {found}, "
                f"the generated package was made from {self.package.fingerprint}",
                hint="run `peppy node sync`",
            )

    def _parameters(self, config: RuntimeConfig) -> Any:
        declared = self.package.declared_parameters
        try:
            values = resolve(declared, from_json(declared, config.node_instance.arguments))
        except InvalidInput as error:
            raise NodeStartupError(error.message, hint=error.hint) from error
        return self.package.parameters.from_dict(values)


def _check_setup(setup: object) -> None:
    try:
        inspect.signature(setup).bind(None, None)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError) as error:
        raise TypeError("`setup` takes two arguments: the parameters and the node runner") from error


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _prepare_output() -> None:
    """Whole lines reach the log at once, and a crash leaves the stacks of all threads there."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    faulthandler.enable()
