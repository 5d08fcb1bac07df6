"""docs/reference/node_api.md, Dependency on peppy."""

import base64
import hashlib
import importlib.metadata
import os
import re
import stat
import subprocess
import sys
import time
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from peppy.store import wheel as wheel_module
from peppy.store.root import DataRoot
from peppy.store.wheel import PACKAGE, installed_runtime, packed_wheel, remove_wheels


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    root = DataRoot(tmp_path / "home")
    root.create()
    return root


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package in the place of peppy, so that its files may change."""
    package = tmp_path / "site" / "peppy"
    (package / "ring").mkdir(parents=True)
    (package / "_bin").mkdir()
    (package / "__pycache__").mkdir()
    (package / "__init__.py").write_text("")
    (package / "py.typed").write_text("")
    (package / "__pycache__/x.pyc").write_text("")
    (package / "ring/_core.c").write_text("")
    (package / "ring/_core.abi3.so").write_bytes(b"\x7fELF")
    (package / "_bin/peppy-shim").write_bytes(b"\x7fELF")
    (package / "_bin/peppy-shim").chmod(0o755)
    monkeypatch.setattr(wheel_module, "PACKAGE", package)
    return package


def information(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/{name}").decode()


def test_the_name_carries_version_digest_and_tags(root: DataRoot):
    runtime = installed_runtime()
    name = packed_wheel(root).name
    assert runtime.version == importlib.metadata.version("peppy-stack")
    assert re.fullmatch(r"[0-9a-f]{12}", runtime.digest)
    assert re.fullmatch(
        rf"peppy_stack-{re.escape(runtime.version)}\+{runtime.digest}-cp311-abi3-linux_[a-z0-9_]+\.whl", name
    )


@pytest.mark.usefixtures("package")
def test_the_wheel_has_the_files_of_the_package(root: DataRoot):
    with zipfile.ZipFile(packed_wheel(root)) as archive:
        names = {name for name in archive.namelist() if name.startswith("peppy/")}
    assert names == {"peppy/__init__.py", "peppy/py.typed", "peppy/ring/_core.abi3.so", "peppy/_bin/peppy-shim"}


@pytest.mark.usefixtures("package")
def test_the_shim_stays_executable_and_nothing_else_becomes_so(root: DataRoot):
    with zipfile.ZipFile(packed_wheel(root)) as archive:
        modes = {item.filename: stat.S_IMODE(item.external_attr >> 16) for item in archive.infolist()}
    assert modes.pop("peppy/_bin/peppy-shim") == 0o755
    assert set(modes.values()) == {0o644}


def test_the_metadata_is_that_of_the_installed_distribution(root: DataRoot):
    metadata = Parser().parsestr(information(packed_wheel(root), "METADATA"))
    installed = importlib.metadata.metadata("peppy-stack")
    runtime = installed_runtime()
    assert metadata["Name"] == "peppy-stack"
    assert metadata["Version"] == f"{runtime.version}+{runtime.digest}"
    assert metadata.get_all("Requires-Dist") == installed.get_all("Requires-Dist")
    assert metadata["Requires-Python"] == installed["Requires-Python"]


def test_the_program_is_an_entry_point(root: DataRoot):
    assert "peppy = peppy.cli.main:main" in information(packed_wheel(root), "entry_points.txt")


@pytest.mark.usefixtures("package")
def test_the_record_has_every_file_with_its_digest(root: DataRoot):
    wheel = packed_wheel(root)
    rows = [line.rsplit(",", 2) for line in information(wheel, "RECORD").splitlines()]
    with zipfile.ZipFile(wheel) as archive:
        assert [row[0] for row in rows] == archive.namelist()
        for name, digest, size in rows[:-1]:
            content = archive.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, int(size)) == (f"sha256={expected}", len(content))


def test_the_same_files_give_the_same_bytes(root: DataRoot, package: Path):
    wheel = packed_wheel(root)
    first = wheel.read_bytes()
    wheel.unlink()
    os.utime(package / "__init__.py", (1_000_000_000, 1_000_000_000))
    assert packed_wheel(root) == wheel
    assert wheel.read_bytes() == first


@pytest.mark.usefixtures("package")
def test_an_existing_wheel_is_not_written_again(root: DataRoot):
    before = packed_wheel(root).stat()
    assert packed_wheel(root).stat() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda package: (package / "__init__.py").write_text("x = 1"),
        lambda package: (package / "new.py").write_text(""),
        lambda package: (package / "py.typed").unlink(),
        lambda package: (package / "py.typed").rename(package / "py.typed2"),
        lambda package: (package / "_bin/peppy-shim").chmod(0o644),
    ],
)
def test_a_changed_source_has_another_name(root: DataRoot, package: Path, change):
    before = packed_wheel(root)
    change(package)
    assert packed_wheel(root) != before


def test_what_builds_and_runs_leave_behind_does_not_matter(root: DataRoot, package: Path):
    before = packed_wheel(root)
    (package / "ring/__pycache__").mkdir()
    (package / "ring/__pycache__/y.pyc").write_text("x")
    (package / "ring/_core.c").write_text("changed")
    assert packed_wheel(root) == before


def test_older_wheels_go_unless_a_node_was_built_with_them(root: DataRoot, package: Path):
    wheels: list[Path] = []
    for version in ("1", "2", "3"):
        (package / "__init__.py").write_text(version)
        wheels.append(packed_wheel(root))
    kept = wheels[0].name.split("-")[1].partition("+")[2]
    remove_wheels(root, keep=[kept])
    assert set(root.wheels.iterdir()) == {wheels[0], wheels[2]}


def test_the_wheel_of_this_peppy_installs_and_runs(root: DataRoot, tmp_path: Path):
    """With pip, without an index and without a compiler; the dependencies are those of this environment."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env/bin/python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--disable-pip-version-check", packed_wheel(root)], check=True)
    script = (
        "import os, peppy; "
        "print(peppy.__file__, os.access(os.path.dirname(peppy.__file__) + '/_bin/peppy-shim', os.X_OK))"
    )
    said = subprocess.run(
        [python, "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stdout.split()
    assert said[0].startswith(str(tmp_path / "env"))
    assert said[1] == "True"
    assert (tmp_path / "env/bin/peppy").exists()


def test_an_existing_wheel_is_found_at_once(root: DataRoot):
    packed_wheel(root)
    begun = time.perf_counter()
    packed_wheel(root)
    assert time.perf_counter() - begun < 0.5, "ten times the 50 ms it may take"


def test_the_package_is_the_one_that_runs():
    import peppy

    assert Path(peppy.__file__).parent == PACKAGE
