"""New nodes are valid and importable as they are (docs/reference/node_api.md, `node init` scaffolds)."""

import ast
import tomllib
from pathlib import Path

import pytest

from peppy.gen.package import generate
from peppy.gen.scaffold import scaffold, write_scaffold
from peppy.manifest.node import read_node

NAMES = ["hello_world", "My-Node", "class", "json", "peppygen", "n_", "Node_-9"]


@pytest.mark.parametrize("toolchain", ["uv", "pip"])
@pytest.mark.parametrize("name", NAMES)
def test_a_new_node_has_a_valid_manifest_project_and_program(tmp_path: Path, name: str, toolchain: str) -> None:
    write_scaffold(tmp_path / name, name, toolchain)
    document = read_node(tmp_path / name)
    assert (document.manifest.reference.name, document.manifest.reference.tag) == (name, "v1")
    assert generate(document.manifest, {}, sha256=document.sha256, peppy_wheel=Path("/p.whl"))
    project = tomllib.loads((tmp_path / name / "pyproject.toml").read_text())
    module, _, function = project["project"]["scripts"][name].partition(":")
    program = tmp_path / name / "src" / f"{module.replace('.', '/')}.py"
    defined = [node.name for node in ast.parse(program.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert function in defined
    assert (tmp_path / name / ".peppy").is_dir()


def test_uv_finds_the_generated_package_by_its_path() -> None:
    project = tomllib.loads(scaffold("hello_world", "uv")["pyproject.toml"])
    assert project["tool"]["uv"]["sources"] == {"peppygen": {"path": ".peppy/libs/peppygen"}}
    assert "uv" not in tomllib.loads(scaffold("hello_world", "pip")["pyproject.toml"])["tool"]


@pytest.mark.parametrize(
    ("toolchain", "build", "run"),
    [
        ("uv", ("uv", "sync"), ("uv", "run", "hello_world")),
        (
            "pip",
            ("sh", "-c", "python3 -m venv .venv && ./.venv/bin/python -m pip install ./.peppy/libs/peppygen ."),
            ("./.venv/bin/python", "-m", "hello_world"),
        ),
    ],
)
def test_commands_are_those_of_the_toolchain(
    tmp_path: Path, toolchain: str, build: tuple[str, ...], run: tuple[str, ...]
) -> None:
    write_scaffold(tmp_path / "hello_world", "hello_world", toolchain)
    execution = read_node(tmp_path / "hello_world").manifest.execution
    assert execution is not None
    assert (execution.build_cmd, execution.run_cmd) == (build, run)


def test_an_existing_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileExistsError):
        write_scaffold(tmp_path / "taken", "taken", "uv")
    assert list((tmp_path / "taken").iterdir()) == []


def test_a_failure_leaves_no_half_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: Path, _text: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_scaffold(tmp_path / "node", "node", "uv")
    assert list(tmp_path.iterdir()) == []
