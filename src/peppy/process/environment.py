"""The environment of builds and runs (docs/reference/daemon.md, Environment), and `${VAR}` in build commands."""

import re
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from peppy.errors import InvalidInput, Problem
from peppy.model.environment import forbidden
from peppy.model.names import Reference
from peppy.model.node import Language

NOT_INHERITED = frozenset({"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PWD", "OLDPWD"})
SETTABLE = frozenset({"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"})

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def check_variables(*sources: Mapping[str, str]) -> None:
    """Raises InvalidInput with one `EnvVarForbidden` for each variable that may reach no process."""
    names = sorted({name for variables in sources for name in forbidden(variables)})
    problems = [Problem("EnvVarForbidden", f"variable `{name}` is not allowed") for name in names]
    if problems:
        raise InvalidInput(problems, hint="remove it from the request or the launcher")


def build_environment(
    caller: Mapping[str, str], *, data_root: Path, node: Reference, language: Language
) -> dict[str, str]:
    """The environment of a `build_cmd`; `caller` is the CLI's. InvalidInput for forbidden variables."""
    check_variables(caller)
    environment = _inherited(caller)
    environment.update(_always(data_root, node, language), UV_NO_EDITABLE="1")
    return environment


def run_environment(
    caller: Mapping[str, str],
    env_vars: Mapping[str, str],
    *,
    data_root: Path,
    node: Reference,
    language: Language,
    runtime_config: Path,
    working_directory: Path,
) -> dict[str, str]:
    """The environment of a `run_cmd`; `env_vars` are the launcher's and come on top of the caller's.

    InvalidInput for forbidden variables of either.
    """
    check_variables(caller, env_vars)
    environment = _inherited(caller)
    environment.update({name: text for name, text in env_vars.items() if name not in NOT_INHERITED - SETTABLE})
    environment.update(
        _always(data_root, node, language),
        PEPPY_RUNTIME_CONFIG=str(runtime_config),
        PWD=str(working_directory),
        UV_NO_SYNC="1",
    )
    return environment


def _inherited(caller: Mapping[str, str]) -> dict[str, str]:
    environment = {name: text for name, text in caller.items() if name not in NOT_INHERITED}
    scripts = sysconfig.get_path("scripts")
    environment["PATH"] = f"{environment['PATH']}:{scripts}" if environment.get("PATH") else scripts
    return environment


def _always(data_root: Path, node: Reference, language: Language) -> dict[str, str]:
    variables = {"PEPPY_HOME": str(data_root), "PEPPY_NODE_NAME": node.name, "PEPPY_NODE_TAG": node.tag}
    if language is Language.PYTHON:
        variables["PYTHONUNBUFFERED"] = "1"
    return variables


def expand_command(command: tuple[str, ...], environment: Mapping[str, str]) -> tuple[str, ...]:
    """A `build_cmd` with `${VAR}` replaced from `environment`; unknown ones stay, and so does a single element.

    docs/reference/daemon.md, Build.
    """
    if len(command) < 2:
        return command
    return tuple(_VARIABLE.sub(lambda match: environment.get(match[1], match[0]), part) for part in command)
