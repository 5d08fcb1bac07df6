"""docs/reference/daemon.md, Data root."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.store.root import DataRoot, data_root

WHEELS = Reference("wheels", "0.2.0")


def test_peppy_home_names_the_data_root():
    assert data_root({"PEPPY_HOME": "/srv/robot", "HOME": "/home/ada"}).path == Path("/srv/robot")


def test_a_relative_data_root_becomes_absolute():
    assert data_root({"PEPPY_HOME": "robot"}).path == Path.cwd() / "robot"


@pytest.mark.parametrize("environment", [{}, {"PEPPY_HOME": ""}])
def test_an_unset_or_empty_peppy_home_is_the_home_directory(environment: dict[str, str]):
    assert data_root(environment).path == Path.home() / ".peppy"


@pytest.mark.parametrize(
    ("found", "path"),
    [
        (lambda root: root.program, "bin/peppy"),
        (lambda root: root.config, "conf/peppy_config.json5"),
        (lambda root: root.repositories, "conf/repositories.json5"),
        (lambda root: root.state, "state/stack.json"),
        (lambda root: root.state_backup, "state/stack.json.bak"),
        (lambda root: root.socket, "run/daemon.sock"),
        (lambda root: root.daemon_lock, "run/daemon.lock"),
        (lambda root: root.daemon_record, "run/daemon.json"),
        (lambda root: root.run_instance("left"), "run/instances/left"),
        (lambda root: root.runtime_config("left"), "run/instances/left/config.json"),
        (lambda root: root.run_build(WHEELS), "run/builds/wheels_0.2.0"),
        (lambda root: root.snapshot(WHEELS), "staging/wheels_0.2.0"),
        (lambda root: root.built_link(WHEELS), "built_nodes/wheels_0.2.0"),
        (lambda root: root.artifact(WHEELS), "built_nodes/wheels_0.2.0.tar.zst"),
        (lambda root: root.instance("left"), "instances/left"),
        (lambda root: root.node_index, "cache/nodes.json5"),
        (lambda root: root.launcher_index, "cache/launchers.json5"),
        (lambda root: root.interface_index, "cache/interfaces.json5"),
        (lambda root: root.git_checkouts, "cache/git_checkouts"),
        (lambda root: root.http_bundles, "cache/http_bundles"),
        (lambda root: root.extracted_artifact("ab"), "cache/artifacts/ab"),
        (lambda root: root.wheels, "cache/wheels"),
        (lambda root: root.benchmark, "cache/benchmark"),
        (lambda root: root.temporary, "tmp"),
        (lambda root: root.add_logs, "logs/add"),
        (lambda root: root.build_logs, "logs/build"),
        (lambda root: root.launch_logs, "logs/launch"),
        (lambda root: root.run_log("left"), "logs/run/left.log"),
        (lambda root: root.daemon_log, "logs/daemon.log"),
        (lambda root: root.stack_log, "logs/stack.log"),
    ],
)
def test_everything_has_its_place(found, path: str):
    assert found(DataRoot(Path("/home/ada/.peppy"))) == Path("/home/ada/.peppy") / path


def test_creating_twice_is_the_same_as_once(tmp_path: Path):
    root = DataRoot(tmp_path / "deep" / "home")
    root.create()
    (root.instances / "left").mkdir()
    root.create()
    assert (root.instances / "left").is_dir()


def test_only_this_user_reaches_the_run_directory(tmp_path: Path):
    root = DataRoot(tmp_path / "home")
    former = os.umask(0)
    try:
        root.create()
    finally:
        os.umask(former)
    assert stat.S_IMODE(root.run.stat().st_mode) == 0o700
    assert stat.S_IMODE(root.run_instances.stat().st_mode) == 0o700


def test_a_socket_path_that_is_too_long_is_refused_before_anything_is_made(tmp_path: Path):
    root = DataRoot(tmp_path / ("x" * 107))
    with pytest.raises(PeppyError, match="more than 107"):
        root.create()
    assert not root.path.exists()


def test_a_socket_path_of_the_longest_length_is_fine(tmp_path: Path):
    length = 107 - len(os.fsencode(tmp_path / "run/daemon.sock")) - 1
    DataRoot(tmp_path / ("x" * length)).create()


def test_a_run_directory_that_is_open_to_others_is_refused(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(PeppyError, match="open to other users"):
        DataRoot(tmp_path).create()


def test_a_run_directory_that_is_a_link_is_refused(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PeppyError, match="not a directory"):
        DataRoot(tmp_path / "home").create()


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away takes root")
def test_a_run_directory_of_another_user_is_refused(tmp_path: Path):
    (tmp_path / "run").mkdir(mode=0o700)
    os.chown(tmp_path / "run", 12345, 12345)
    with pytest.raises(PeppyError, match="belongs to user 12345"):
        DataRoot(tmp_path).create()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system takes root")
def test_a_read_only_data_root_is_named(tmp_path: Path):
    root = DataRoot(tmp_path / "home")
    root.create()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", root.path], check=True)
    try:
        with pytest.raises(PeppyError, match="Read-only file system") as refused:
            root.create()
    finally:
        subprocess.run(["umount", root.path], check=True)
    assert f"`{root.path}" in refused.value.message
    assert refused.value.hint


def test_a_file_in_the_place_of_the_data_root_is_named(tmp_path: Path):
    (tmp_path / "home").write_text("")
    with pytest.raises(PeppyError) as refused:
        DataRoot(tmp_path / "home").create()
    assert str(tmp_path / "home") in refused.value.message
