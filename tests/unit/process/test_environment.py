"""docs/reference/daemon.md, Environment."""

import sysconfig
from pathlib import Path

import pytest

from peppy.errors import InvalidInput
from peppy.model.environment import FORBIDDEN_VARIABLES, allowed, forbidden
from peppy.model.names import Reference
from peppy.model.node import Language
from peppy.process.environment import build_environment, expand_command, run_environment

ROOT = Path("/home/ada/.peppy")
NODE = Reference("wheels", "0.2.0")


def build(caller: dict[str, str], language: Language = Language.PYTHON) -> dict[str, str]:
    return build_environment(caller, data_root=ROOT, node=NODE, language=language)


def run(caller: dict[str, str], env_vars: dict[str, str] | None = None) -> dict[str, str]:
    return run_environment(
        caller,
        env_vars or {},
        data_root=ROOT,
        node=NODE,
        language=Language.PYTHON,
        runtime_config=ROOT / "run/instances/left/config.json",
        working_directory=ROOT / "instances/left",
    )


@pytest.mark.parametrize("name", [*sorted(FORBIDDEN_VARIABLES), "ld_preload", "Env", "", "A=B", "A\0B"])
def test_a_forbidden_variable_is_refused_by_name(name: str):
    with pytest.raises(InvalidInput) as refused:
        build({name: "x", "HOME": "/root"})
    assert [problem.kind for problem in refused.value.details] == ["EnvVarForbidden"]
    assert f"`{name}`" in refused.value.message


def test_a_value_with_nul_is_refused():
    assert forbidden({"GOOD": "x", "BAD": "a\0b"}) == ("BAD",)


def test_all_forbidden_variables_of_caller_and_launcher_are_reported_together():
    with pytest.raises(InvalidInput) as refused:
        run({"IFS": " "}, {"LD_AUDIT": "x"})
    assert len(refused.value.details) == 2


def test_the_command_line_leaves_forbidden_variables_out():
    assert allowed({"HOME": "/root", "LD_PRELOAD": "x", "bash_env": "y"}) == {"HOME": "/root"}


def test_the_scripts_of_the_running_interpreter_come_last_on_the_path():
    assert build({"PATH": "/usr/bin"})["PATH"] == f"/usr/bin:{sysconfig.get_path('scripts')}"


def test_an_empty_path_becomes_the_scripts_of_the_running_interpreter():
    assert build({"PATH": ""})["PATH"] == sysconfig.get_path("scripts")


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "OLDPWD"])
def test_variables_of_the_callers_place_are_not_inherited(name: str):
    assert name not in build({name: "x"})
    assert name not in run({name: "x"})


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"])
def test_a_launcher_may_set_the_variables_of_an_interpreter(name: str):
    assert run({}, {name: "x"})[name] == "x"


def test_a_launcher_may_not_set_the_working_directory():
    environment = run({}, {"PWD": "/x", "OLDPWD": "/y"})
    assert environment["PWD"] == str(ROOT / "instances/left")
    assert "OLDPWD" not in environment


def test_a_launchers_variable_wins_over_the_callers():
    assert run({"SPEED": "1"}, {"SPEED": "2"})["SPEED"] == "2"


def test_what_is_always_set_overrides_everything():
    mine = {"PEPPY_HOME": "x", "PEPPY_NODE_NAME": "x", "UV_NO_SYNC": "0", "PYTHONUNBUFFERED": "", "UV_NO_EDITABLE": ""}
    environment = run(mine, mine)
    assert environment["PEPPY_HOME"] == str(ROOT)
    assert environment["PEPPY_NODE_NAME"] == "wheels"
    assert environment["PEPPY_NODE_TAG"] == "0.2.0"
    assert environment["UV_NO_SYNC"] == "1"
    assert environment["PYTHONUNBUFFERED"] == "1"
    assert environment["PEPPY_RUNTIME_CONFIG"] == str(ROOT / "run/instances/left/config.json")
    assert build(mine)["UV_NO_EDITABLE"] == "1"


def test_only_python_nodes_get_unbuffered_output():
    assert "PYTHONUNBUFFERED" not in build({}, Language.RUST)


@pytest.mark.parametrize(
    ("command", "expanded"),
    [
        (("sh", "-c", "echo ${HOME}"), ("sh", "-c", "echo /root")),
        (("${HOME}/build", "x"), ("/root/build", "x")),
        (("sh", "${UNKNOWN}", "$HOME", "${a b}"), ("sh", "${UNKNOWN}", "$HOME", "${a b}")),
        (("sh", "${NESTED}"), ("sh", "${HOME}")),
        (("${HOME}/build",), ("${HOME}/build",)),
    ],
)
def test_variables_are_replaced_in_commands_of_two_or_more_elements(
    command: tuple[str, ...], expanded: tuple[str, ...]
):
    assert expand_command(command, {"HOME": "/root", "NESTED": "${HOME}"}) == expanded
