"""docs/reference/daemon.md, Data root: files that must survive a crash."""

import stat
from pathlib import Path

import pytest

from peppy.errors import PeppyError
from peppy.store.atomic import remove_unfinished, replacing, write_file

from .disks import fill, needs_root, small_disk


def test_a_file_is_replaced_as_a_whole(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_what_a_killed_writer_leaves_is_removed_and_nothing_else(tmp_path: Path):
    with replacing(tmp_path / "file"):
        (unfinished,) = tmp_path.iterdir()
        kept = [tmp_path / name for name in ("file.new", ".file", ".new")]
        unfinished.with_name(".other.abcdefgh.new").touch()
        for path in kept:
            path.touch()
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "file.new", ".file", ".new"}


def test_a_file_has_the_asked_mode(tmp_path: Path):
    write_file(tmp_path / "secret", b"")
    write_file(tmp_path / "public", b"", mode=0o644)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644


def test_the_old_file_is_whole_until_the_new_one_is(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"half")
        file.flush()
        assert path.read_bytes() == b"old"


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_directory_is_named_with_the_path(tmp_path: Path):
    with pytest.raises(PeppyError, match="No such file or directory") as failed:
        write_file(tmp_path / "missing" / "file", b"")
    assert f"`{tmp_path / 'missing' / 'file'}`" in failed.value.message


@needs_root
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path: Path):
    with small_disk(tmp_path, "128k") as disk:
        path = disk / "file"
        write_file(path, b"old")
        fill(disk)
        with pytest.raises(PeppyError, match="No space left on device") as failed:
            write_file(path, b"n" * 50_000)
        assert path.read_bytes() == b"old"
        assert sorted(disk.iterdir()) == [disk / "ballast", path]
    assert f"`{path}`" in failed.value.message
    assert failed.value.hint
