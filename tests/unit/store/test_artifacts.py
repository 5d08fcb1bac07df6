"""docs/reference/daemon.md, Run: instance directories."""

import hashlib
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.store.archive import pack_artifact
from peppy.store.artifacts import (
    extracted_artifact,
    finish_artifact,
    install_artifact,
    make_instance,
    remove_extracted,
    remove_extracted_but,
)
from peppy.store.root import DataRoot

from .disks import fill, needs_root, small_disk

NODE = Reference("hello", "0.1.0")
SITE = Path(".venv/lib/python3.11/site-packages")


@dataclass
class Built:
    """A node that has been built: its snapshot and what its artifact was extracted to."""

    root: DataRoot
    digest: str
    extracted: Path

    @property
    def snapshot(self) -> Path:
        return self.root.snapshot(NODE)

    def instance(self, name: str = "left") -> Path:
        target = self.root.instance(name)
        make_instance(self.extracted, self.snapshot, target)
        return target


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    root = DataRoot(tmp_path / "home")
    root.create()
    return root


def build(root: DataRoot) -> Built:
    digest = pack_artifact(root.snapshot(NODE), root.artifact(NODE))
    return Built(root, digest, extracted_artifact(root, root.artifact(NODE), digest))


@pytest.fixture
def built(root: DataRoot) -> Built:
    """A node with the files that uv, venv and pip make, as far as they matter."""
    snapshot = root.snapshot(NODE)
    (snapshot / ".venv/bin").mkdir(parents=True)
    (snapshot / SITE / "numpy").mkdir(parents=True)
    (snapshot / "vendor/site-packages").mkdir(parents=True)
    (snapshot / "tools/bin").mkdir(parents=True)
    texts = {
        "peppy.json5": "{}",
        "notes.txt": f"built in {snapshot}",
        ".venv/pyvenv.cfg": f"home = /usr/bin\ncommand = python3 -m venv {snapshot}/.venv\n",
        ".venv/bin/hello": f"#!{snapshot}/.venv/bin/python\nprint('{snapshot}')\n",
        ".venv/bin/long": f"#!/bin/sh\n'''exec' '{snapshot}/.venv/bin/python' \"$0\" \"$@\"\n' '''\nprint()\n",
        ".venv/bin/other": "#!/usr/bin/env python3\n",
        ".venv/bin/neighbour": f"#!{snapshot}0/.venv/bin/python\n",
        ".venv/bin/activate": f"VIRTUAL_ENV='{snapshot}/.venv'\n",
        ".venv/bin/program": f"\x7fELF {snapshot}/lib",
        "tools/bin/tool": f"#!{snapshot}/.venv/bin/python\n",
        f"{SITE}/numpy/core.py": "x = 1",
        f"{SITE}/hello.pth": f"{snapshot}/src\n",
        f"{SITE}/__editable___hello_finder.py": f"MAPPING = {{'hello': '{snapshot}/src/hello'}}\n",
        "vendor/site-packages/shared.py": "x = 1",
    }
    for name, text in texts.items():
        (snapshot / name).write_text(text)
    (snapshot / ".venv/bin/hello").chmod(0o755)
    (snapshot / ".venv/bin/python").symlink_to(sys.executable)
    return build(root)


def same_file(first: Path, second: Path) -> bool:
    return first.stat().st_ino == second.stat().st_ino


def test_an_artifact_is_extracted_once(built: Built):
    before = built.extracted.stat()
    built.root.artifact(NODE).unlink()
    assert extracted_artifact(built.root, built.root.artifact(NODE), built.digest) == built.extracted
    assert built.extracted.stat() == before
    assert built.extracted == built.root.path / "cache/artifacts" / built.digest


def test_a_missing_tree_is_extracted_again(built: Built):
    remove_extracted(built.root, built.digest)
    assert not built.extracted.exists()
    assert extracted_artifact(built.root, built.root.artifact(NODE), built.digest).is_dir()
    assert list(built.root.extracted_artifacts.iterdir()) == [built.extracted]


def test_a_changed_artifact_is_not_extracted(built: Built):
    remove_extracted(built.root, built.digest)
    with built.root.artifact(NODE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(PeppyError, match="checksum mismatch"):
        extracted_artifact(built.root, built.root.artifact(NODE), built.digest)
    assert list(built.root.extracted_artifacts.iterdir()) == []


def test_a_missing_artifact_is_named(built: Built):
    remove_extracted(built.root, built.digest)
    built.root.artifact(NODE).unlink()
    with pytest.raises(PeppyError, match="No such file") as failed:
        extracted_artifact(built.root, built.root.artifact(NODE), built.digest)
    assert f"`{built.root.artifact(NODE)}`" in failed.value.message


def test_an_instance_has_every_file_of_the_artifact(built: Built):
    instance = built.instance()
    expected = {path.relative_to(built.snapshot) for path in built.snapshot.rglob("*")}
    assert {path.relative_to(instance) for path in instance.rglob("*")} == expected
    assert (instance / ".venv/bin/python").readlink() == Path(sys.executable)


@pytest.mark.parametrize("name", [f"{SITE}/numpy/core.py", "vendor/site-packages/shared.py", ".venv/bin/program"])
def test_environments_are_shared_by_hard_links(built: Built, name: str):
    assert same_file(built.instance("left") / name, built.instance("right") / name)


@pytest.mark.parametrize("name", ["peppy.json5", "tools/bin/tool", ".venv/bin/hello", ".venv/pyvenv.cfg"])
def test_everything_else_is_the_instances_own(built: Built, name: str):
    instance = built.instance()
    (instance / name).write_text("changed")
    assert (built.extracted / name).read_text() != "changed"


@pytest.mark.parametrize(
    "name",
    [
        ".venv/bin/long",
        ".venv/bin/activate",
        ".venv/pyvenv.cfg",
        "tools/bin/tool",
        f"{SITE}/hello.pth",
        f"{SITE}/__editable___hello_finder.py",
    ],
)
def test_what_names_the_snapshot_names_the_instance(built: Built, name: str):
    instance = built.instance()
    text = (built.snapshot / name).read_text()
    assert (instance / name).read_text() == text.replace(str(built.snapshot), str(instance))
    assert (built.extracted / name).read_text() == text, "the shared tree is never edited"


def test_a_script_changes_only_in_its_first_lines_and_stays_executable(built: Built):
    instance = built.instance()
    script = instance / ".venv/bin/hello"
    assert script.read_text() == f"#!{instance}/.venv/bin/python\nprint('{built.snapshot}')\n"
    assert stat.S_IMODE(script.stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["notes.txt", ".venv/bin/other", ".venv/bin/neighbour", ".venv/bin/program"])
def test_every_other_file_is_unchanged(built: Built, name: str):
    assert (built.instance() / name).read_text() == (built.snapshot / name).read_text()


def test_a_data_root_behind_a_link_is_known_by_both_names(root: DataRoot, tmp_path: Path):
    """A tool that asks for its working directory writes the real path, one that reads `PWD` the other."""
    (tmp_path / "link").symlink_to(root.path)
    linked = DataRoot(tmp_path / "link")
    for name, base in (("real", root), ("named", linked)):
        script = linked.snapshot(NODE) / ".venv/bin" / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(f"#!{base.snapshot(NODE)}/.venv/bin/python\n")
    instance = build(linked).instance()
    for name in ("real", "named"):
        assert (instance / ".venv/bin" / name).read_text() == f"#!{instance}/.venv/bin/python\n"


def test_an_instance_does_not_overwrite_what_is_there(built: Built):
    built.root.instance("left").mkdir()
    (built.root.instance("left") / "mine").write_text("x")
    with pytest.raises(PeppyError, match="File exists"):
        built.instance("left")
    assert (built.root.instance("left") / "mine").read_text() == "x"


def test_a_virtual_environment_works_in_its_new_place(root: DataRoot):
    """The real thing: venv and pip build it, the snapshot goes away, program and module start in the instance."""
    snapshot = root.snapshot(NODE)
    (snapshot / "hello").mkdir(parents=True)
    (snapshot / "hello/__init__.py").write_text("")
    (snapshot / "hello/__main__.py").write_text(
        "import sys\n\ndef main():\n    print(sys.prefix, __file__)\n\nmain()\n"
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=snapshot, check=True)
    site = next((snapshot / ".venv/lib").iterdir()) / "site-packages"
    (snapshot / "hello").rename(site / "hello")
    script = snapshot / ".venv/bin/hello"
    script.write_text(f"#!{snapshot}/.venv/bin/python\nimport hello.__main__\n")
    script.chmod(0o755)
    built = build(root)
    instance = built.instance()
    snapshot.rename(snapshot.with_name("gone"))
    for command in (["./.venv/bin/hello"], ["./.venv/bin/python", "-m", "hello"]):
        said = subprocess.run(command, cwd=instance, check=True, capture_output=True, text=True).stdout
        assert said.split()[0] == str(instance / ".venv")
        assert said.split()[1].startswith(str(instance))


@needs_root
def test_a_full_disk_leaves_no_half_instance(tmp_path: Path):
    with small_disk(tmp_path, "1m") as disk:
        root = DataRoot(disk)
        root.create()
        root.snapshot(NODE).mkdir()
        (root.snapshot(NODE) / "data").write_bytes(os.urandom(200_000))
        built = build(root)
        fill(disk)
        with pytest.raises(PeppyError, match="No space left on device") as failed:
            built.instance("left")
        assert not root.instance("left").exists()
        assert str(root.instances) in failed.value.message


# --- taking the place of another -------------------------------------------------------------------------------------


def test_a_new_artifact_takes_the_place_of_the_old_one(root: DataRoot):
    root.artifact(NODE).write_bytes(b"old")
    root.unfinished_artifact(NODE).write_bytes(b"new")
    install_artifact(root.unfinished_artifact(NODE), root.artifact(NODE))
    assert {path.name: path.read_bytes() for path in root.built_nodes.iterdir()} == {"hello_0.1.0.tar.zst": b"new"}


@pytest.mark.parametrize(("named", "found"), [(b"new", b"new"), (b"old", b"old")])
def test_an_unfinished_artifact_is_installed_if_it_is_the_one_that_is_named(root: DataRoot, named: bytes, found: bytes):
    root.artifact(NODE).write_bytes(b"old")
    root.unfinished_artifact(NODE).write_bytes(b"new")
    finish_artifact(root.unfinished_artifact(NODE), root.artifact(NODE), hashlib.sha256(named).hexdigest())
    assert root.artifact(NODE).read_bytes() == found


def test_nothing_is_finished_where_nothing_was_begun(root: DataRoot):
    root.artifact(NODE).write_bytes(b"old")
    finish_artifact(root.unfinished_artifact(NODE), root.artifact(NODE), "0" * 64)
    assert root.artifact(NODE).read_bytes() == b"old"


def test_only_the_trees_of_named_artifacts_stay(root: DataRoot):
    for name in ("a" * 64, "b" * 64, f".{'a' * 64}.1.abcd"):
        (root.extracted_artifacts / name / "deep").mkdir(parents=True)
    remove_extracted_but(root, {"a" * 64, "c" * 64})
    assert [path.name for path in root.extracted_artifacts.iterdir()] == ["a" * 64]
