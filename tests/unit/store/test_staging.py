"""docs/reference/daemon.md, Add: what is copied, what is left out."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from peppy.errors import PeppyError
from peppy.store import staging
from peppy.store.staging import (
    DEPTH_LIMIT,
    LEFT_OUT,
    Contents,
    check_space,
    copy_contents,
    install_snapshot,
    new_snapshot,
    survey,
    sync_snapshot,
)

from .disks import needs_root, small_disk


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "src" / "deep").mkdir(parents=True)
    (source / "peppy.json5").write_text("{}")
    (source / "src" / "main.py").write_text("print()")
    (source / "src" / "deep" / "data.bin").write_bytes(b"\0" * 1000)
    return source


def take(source: Path, target: Path) -> Contents:
    contents = survey(source, outside=target.parent)
    copy_contents(source, contents, target)
    return contents


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "root").mkdir()
    return tmp_path / "root" / "snapshot"


def test_files_and_directories_are_copied_with_content_mode_and_time(source: Path, target: Path):
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    os.utime(source / "run", (1_000_000, 1_000_000))
    (source / "empty").mkdir()
    contents = take(source, target)
    assert files(target) == {"peppy.json5", "src/main.py", "src/deep/data.bin", "run"}
    assert (target / "src/deep/data.bin").read_bytes() == b"\0" * 1000
    assert stat.S_IMODE((target / "run").stat().st_mode) == 0o755
    assert (target / "run").stat().st_mtime == 1_000_000
    assert (target / "empty").is_dir()
    assert contents.size == 2 + 7 + 1000 + 10


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_caches_and_builds_are_left_out_at_any_depth(source: Path, target: Path, name: str):
    for place in (source / name, source / "src" / "deep" / name):
        place.mkdir()
        (place / "file").write_text("x")
    contents = take(source, target)
    assert files(target) == {"peppy.json5", "src/main.py", "src/deep/data.bin"}
    assert contents.left_out == (name,)


def test_a_script_with_the_name_of_a_build_directory_is_copied(source: Path, target: Path):
    (source / "build").write_text("#!/bin/sh\n")
    take(source, target)
    assert "build" in files(target)


def test_the_git_file_of_a_work_tree_is_left_out(source: Path, target: Path):
    (source / ".git").write_text("gitdir: /elsewhere")
    assert take(source, target).left_out == (".git",)
    assert ".git" not in files(target)


def test_links_and_special_files_are_skipped_and_counted(source: Path, target: Path):
    (source / "link").symlink_to("/etc/passwd")
    (source / "src" / "tree").symlink_to("/etc")
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(source, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
        contents = take(source, target)
    assert contents.skipped == 4
    assert files(target) == {"peppy.json5", "src/main.py", "src/deep/data.bin"}


def test_the_data_root_inside_the_source_is_left_out(source: Path):
    root = source / "home"
    root.mkdir()
    contents = take(source, root / "snapshot")
    assert "home" in contents.left_out
    assert "home" not in {path.name for path in (root / "snapshot").iterdir()}


def test_a_file_that_becomes_a_link_is_not_followed(source: Path, target: Path):
    contents = survey(source, outside=target.parent)
    (source / "peppy.json5").unlink()
    (source / "peppy.json5").symlink_to("/etc/passwd")
    with pytest.raises(PeppyError):
        copy_contents(source, contents, target)
    assert not target.exists()


def test_a_file_that_becomes_a_pipe_does_not_block(source: Path, target: Path):
    contents = survey(source, outside=target.parent)
    (source / "peppy.json5").unlink()
    os.mkfifo(source / "peppy.json5")
    with pytest.raises(PeppyError, match="not a regular file"):
        copy_contents(source, contents, target)


def test_a_deep_source_is_copied(source: Path, target: Path):
    deep = "/".join(["d"] * DEPTH_LIMIT)
    (source / deep).mkdir(parents=True)
    (source / deep / "file").write_text("x")
    take(source, target)
    assert (target / deep / "file").read_text() == "x"


def test_a_source_that_is_too_deep_is_refused(source: Path, target: Path):
    (source / "/".join(["d"] * (DEPTH_LIMIT + 1))).mkdir(parents=True)
    with pytest.raises(PeppyError, match="directories in each other"):
        take(source, target)


def test_a_missing_source_is_named(tmp_path: Path):
    with pytest.raises(PeppyError, match="No such file") as failed:
        survey(tmp_path / "missing", outside=tmp_path)
    assert f"`{tmp_path / 'missing'}`" in failed.value.message


def test_three_times_the_source_has_to_be_free(tmp_path: Path):
    free = staging.shutil.disk_usage(tmp_path).free
    check_space(free // 4, tmp_path)
    with pytest.raises(PeppyError, match="3 times the source"):
        check_space(free // 2, tmp_path)


def test_a_new_snapshot_takes_the_place_of_the_old_one(source: Path, target: Path):
    target.mkdir()
    (target / "old").write_text("x")
    with new_snapshot(target.parent, "wheels_1") as unfinished:
        take(source, unfinished)
        install_snapshot(unfinished, target)
    assert files(target) == {"peppy.json5", "src/main.py", "src/deep/data.bin"}
    assert list(target.parent.iterdir()) == [target]


def test_a_snapshot_whose_way_was_cut_off_is_installed_again(source: Path, target: Path):
    unfinished = target.with_name(".wheels_1.1.abcd")
    take(source, unfinished)
    sync_snapshot(unfinished)
    target.with_name(f"{unfinished.name}.former").mkdir()  # the old one was moved away, the new one not yet in
    install_snapshot(unfinished, target)
    assert "peppy.json5" in files(target)
    assert list(target.parent.iterdir()) == [target]


def test_a_snapshot_that_is_missing_leaves_the_old_one(target: Path):
    target.mkdir()
    with pytest.raises(PeppyError, match="No such file"):
        install_snapshot(target.with_name(".wheels_1.1.abcd"), target)
    assert list(target.parent.iterdir()) == [target]


def test_the_first_snapshot_has_nothing_to_replace(source: Path, target: Path):
    with new_snapshot(target.parent, "wheels_1") as unfinished:
        take(source, unfinished)
        install_snapshot(unfinished, target)
    assert "peppy.json5" in files(target)


def test_a_failed_add_leaves_the_old_snapshot_alone(source: Path, target: Path):
    target.mkdir()
    (target / "old").write_text("x")

    def failing() -> None:
        with new_snapshot(target.parent, "wheels_1") as unfinished:
            take(source, unfinished)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert files(target) == {"old"}
    assert list(target.parent.iterdir()) == [target]


@needs_root
def test_a_full_disk_leaves_no_half_snapshot(source: Path, tmp_path: Path):
    (source / "large").write_bytes(b"x" * 200_000)
    with small_disk(tmp_path, "128k") as disk:
        with pytest.raises(PeppyError, match="No space left on device") as failed:
            take(source, disk / "snapshot")
        assert list(disk.iterdir()) == []
    assert str(disk / "snapshot") in failed.value.message
