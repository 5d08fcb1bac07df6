"""New nodes: what `peppy node init` writes (docs/reference/node_api.md, `node init` scaffolds)."""

import json
import sys
from pathlib import Path

from peppy.model.names import identifier

_TAG = "v1"
_TAKEN = frozenset({"peppy", "peppygen", "test", "tests"}) | sys.stdlib_module_names
"""Packages that a node's own must not be called like: they would hide it."""

_GITIGNORE = "/.peppy/\n/.venv/\n/build/\n*.egg-info/\n__pycache__/\n"

_PIP_BUILD = "python3 -m venv .venv && ./.venv/bin/python -m pip install ./.peppy/libs/peppygen ."

_MAIN = '''\
"""The program of the node: `main` runs it until it is stopped."""

from peppygen import NodeBuilder, NodeRunner
from peppygen.parameters import Parameters


async def setup(_params: Parameters, runner: NodeRunner) -> None:
    """Start what the node does; return at once."""
    print(f"{runner.node_name()} is up as {runner.bound_instance_id()}")


def main() -> None:
    """Run the node."""
    NodeBuilder().run(setup)


if __name__ == "__main__":
    main()
'''


def scaffold(name: str, toolchain: str) -> dict[str, str]:
    """The files of a new node by their path; `toolchain` is `uv` or `pip`."""
    package = package_name(name)
    return {
        "peppy.json5": _manifest(name, package, toolchain),
        "pyproject.toml": _pyproject(name, package, toolchain),
        f"src/{package}/__init__.py": f'"""The node `{name}`."""\n',
        f"src/{package}/__main__.py": _MAIN,
        ".gitignore": _GITIGNORE,
    }


def write_scaffold(directory: Path, name: str, toolchain: str) -> None:
    """Make `directory` and fill it; FileExistsError when it exists. A failure leaves nothing behind."""
    directory.mkdir(parents=True)
    try:
        (directory / ".peppy").mkdir()
        for path, text in scaffold(name, toolchain).items():
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    except BaseException:
        _remove(directory)
        raise


def package_name(name: str) -> str:
    """The Python package of a node; `_node` keeps it apart from a module that would hide it."""
    package = identifier(name)
    return f"{package}_node" if package in _TAKEN else package


def _manifest(name: str, package: str, toolchain: str) -> str:
    build, run = {
        "uv": (["uv", "sync"], ["uv", "run", name]),
        "pip": (["sh", "-c", _PIP_BUILD], ["./.venv/bin/python", "-m", package]),
    }[toolchain]
    return f"""\
{{
  peppy_schema: "node_v1",
  manifest: {{
    name: "{name}",
    tag: "{_TAG}",
  }},
  interfaces: {{}},
  execution: {{
    language: "python",
    build_cmd: {json.dumps(build)},
    run_cmd: {json.dumps(run)},
  }},
}}
"""


def _pyproject(name: str, package: str, toolchain: str) -> str:
    source = '\n[tool.uv.sources]\npeppygen = { path = ".peppy/libs/peppygen" }\n' if toolchain == "uv" else ""
    return f"""\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "{_project(name, package)}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["peppygen"]

[project.scripts]
{name} = "{package}.__main__:main"

[tool.setuptools.packages.find]
where = ["src"]
{source}"""


def _project(name: str, package: str) -> str:
    """The distribution's name: it must end with a letter or digit and be none that the node depends on."""
    return (package if package.endswith("_node") else name).strip("_-")


def _remove(directory: Path) -> None:
    import shutil

    shutil.rmtree(directory, ignore_errors=True)
