"""docs/reference/daemon.md, Build: the artifact."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from peppy.errors import PeppyError
from peppy.store.archive import check_digest, pack_artifact
from peppy.store.extract import extract_artifact

from .disks import needs_root, small_disk


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "src").mkdir(parents=True)
    (tree / "src/main.py").write_text("print()")
    (tree / "link").symlink_to("src/main.py")
    return tree


def test_the_digest_is_that_of_the_archive(tree: Path, tmp_path: Path):
    digest = pack_artifact(tree, tmp_path / "a.tar.zst")
    assert digest == hashlib.sha256((tmp_path / "a.tar.zst").read_bytes()).hexdigest()


def test_the_same_tree_gives_the_same_archive(tree: Path, tmp_path: Path):
    """Whatever the order in which its files were made, their owner, and the name of the directory."""
    other = tmp_path / "other"
    (other / "src").mkdir(parents=True)
    (other / "link").symlink_to("src/main.py")
    (other / "src/main.py").write_text("print()")
    for root in (tree, other):
        for name in ("src/main.py", "src", "link"):
            os.utime(root / name, (1_000_000, 1_000_000), follow_symlinks=False)
    if os.geteuid() == 0:
        os.chown(other / "src/main.py", 12345, 12345)
    assert pack_artifact(tree, tmp_path / "a") == pack_artifact(other, tmp_path / "b")


def test_files_that_are_one_on_the_disk_stay_whole(tree: Path, tmp_path: Path):
    """uv links the files of a virtual environment to its cache; an archive of hard links would lack their content."""
    (tree / "again").hardlink_to(tree / "src/main.py")
    pack_artifact(tree, tmp_path / "a.tar.zst")
    extract_artifact(tmp_path / "a.tar.zst", tmp_path / "target")
    assert (tmp_path / "target/again").read_text() == (tmp_path / "target/src/main.py").read_text() == "print()"


def test_sockets_and_pipes_stay_out(tree: Path, tmp_path: Path):
    expected = pack_artifact(tree, tmp_path / "a")
    times = tree.stat()
    os.mkfifo(tree / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(tree, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)
        os.utime(tree, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert pack_artifact(tree, tmp_path / "b") == expected


def test_names_that_are_no_text_are_kept(tree: Path, tmp_path: Path):
    Path(os.fsdecode(bytes(tree / "n") + b"\xff\xfe")).write_text("x")
    pack_artifact(tree, tmp_path / "a.tar.zst")
    extract_artifact(tmp_path / "a.tar.zst", tmp_path / "target")
    assert b"n\xff\xfe" in {os.fsencode(path.name) for path in (tmp_path / "target").iterdir()}


def test_a_wrong_digest_is_named_with_both(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"x")
    right = hashlib.sha256(b"x").hexdigest()
    check_digest(tmp_path / "a", right.upper())
    with pytest.raises(PeppyError, match="SHA256 checksum mismatch") as failed:
        check_digest(tmp_path / "a", "0" * 64)
    assert right in failed.value.message
    assert "0" * 64 in failed.value.message


@needs_root
def test_a_full_disk_leaves_the_old_artifact(tree: Path, tmp_path: Path):
    (tree / "large").write_bytes(os.urandom(300_000))
    with small_disk(tmp_path, "128k") as disk:
        (disk / "a.tar.zst").write_bytes(b"old")
        with pytest.raises(PeppyError, match="No space left on device") as failed:
            pack_artifact(tree, disk / "a.tar.zst")
        assert (disk / "a.tar.zst").read_bytes() == b"old"
        assert list(disk.iterdir()) == [disk / "a.tar.zst"]
    assert f"`{disk / 'a.tar.zst'}`" in failed.value.message
