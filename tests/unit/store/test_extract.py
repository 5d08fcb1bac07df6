"""docs/reference/daemon.md, Build: Archive policy. Archives are hostile until checked."""

import os
import random
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from peppy.errors import PeppyError
from peppy.store.archive import pack_artifact
from peppy.store.extract import extract_artifact, extract_source

from .disks import needs_root, small_disk
from .tars import (
    directory,
    entry,
    hard,
    padded,
    pax,
    raw_header,
    symbolic,
    tar_bytes,
    write_archive,
    write_stream,
)

END = b"\0" * 1024
LONG = "/".join(["d" * 50] * 20)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory whose only content is the archive and what is extracted."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def content_of(root: Path) -> dict[str, str]:
    """What lies below a directory: content of files, targets of links."""
    return {
        str(path.relative_to(root)): str(path.readlink()) if path.is_symlink() else path.read_bytes().decode("latin-1")
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def refuse(place: Path, archive: Path, extract: Callable[[Path, Path], None] = extract_source) -> str:
    """The message of the refusal; nothing but the archive is there afterwards, not even the target."""
    outside = content_of(place.parent)
    with pytest.raises(PeppyError) as refused:
        extract(archive, place / "target")
    assert content_of(place.parent) == outside
    assert not (place / "target").exists()
    return refused.value.message


# ---- what is extracted ---------------------------------------------------------------------------------------------

HONEST = tar_bytes(
    directory("./"),
    entry("./peppy.json5", b"{}"),
    directory("src"),
    entry("src/main.py", b"print()", mode=0o755),
    entry("implied/deep/file", b"x"),
    directory("src"),
    symbolic("latest", "src/main.py"),
    symbolic("src/up", "../peppy.json5"),
    symbolic("here", "."),
    hard("copy", "./peppy.json5"),
)


def test_an_honest_source_is_extracted(place: Path):
    extract_source(write_archive(place / "a.tar.zst", HONEST), place / "target")
    assert content_of(place / "target") == {
        "peppy.json5": "{}",
        "src/main.py": "print()",
        "implied/deep/file": "x",
        "latest": "src/main.py",
        "src/up": "../peppy.json5",
        "here": ".",
        "copy": "{}",
    }
    assert stat.S_IMODE((place / "target/src/main.py").stat().st_mode) == 0o755


def test_long_names_of_both_formats_are_extracted(place: Path):
    for format_ in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = place / f"{format_}.tar"
        with tarfile.open(path, "w", format=format_) as tar:
            info, _ = entry(f"{LONG}/é")
            tar.addfile(info)
        extract_source(write_archive(place / "a.tar.zst", path.read_bytes()), place / f"target{format_}")
        assert (place / f"target{format_}" / LONG / "é").is_file()


def test_bits_that_give_away_rights_are_dropped(place: Path):
    archive = write_archive(place / "a.tar.zst", tar_bytes(entry("su", b"x", mode=0o6755), directory("d", mode=0o1000)))
    extract_source(archive, place / "target")
    assert stat.S_IMODE((place / "target/su").stat().st_mode) == 0o755
    assert stat.S_IMODE((place / "target/d").stat().st_mode) == 0o700


def test_names_that_differ_in_case_are_two_files_here(place: Path):
    extract_source(write_archive(place / "a.tar.zst", tar_bytes(entry("A", b"1"), entry("a", b"2"))), place / "target")
    assert content_of(place / "target") == {"A": "1", "a": "2"}


def test_several_frames_are_one_archive(place: Path):
    first, second = place / "first", place / "second"
    write_archive(first, HONEST[:1000])
    write_archive(second, HONEST[1000:])
    (place / "a.tar.zst").write_bytes(first.read_bytes() + second.read_bytes())
    extract_source(place / "a.tar.zst", place / "target")
    assert (place / "target/peppy.json5").is_file()


# ---- what is refused -----------------------------------------------------------------------------------------------

UNSAFE = {
    "absolute": tar_bytes(entry("ok"), entry("/tmp/peppy-evil", b"x")),
    "absolute directory": tar_bytes(directory("//tmp/peppy-evil")),
    "dot dot": tar_bytes(entry("ok"), entry("../evil", b"x")),
    "dot dot inside": tar_bytes(entry("a/../../evil", b"x")),
    "dot dot that stays inside": tar_bytes(entry("a/../b", b"x")),
    "dot dot directory": tar_bytes(directory("..")),
    "link to an absolute path": tar_bytes(symbolic("a", "/etc/passwd")),
    "link out": tar_bytes(symbolic("a", "../evil")),
    "link out from below": tar_bytes(symbolic("a/b/c", "../../../evil")),
    "link to the parent": tar_bytes(symbolic("a", "..")),
    "link out through a link": tar_bytes(directory("a/b"), symbolic("a/b/l", ".."), symbolic("p", "a/b/l/../..")),
    "link through a name": tar_bytes(symbolic("a", "x/../../evil")),
    "link to nothing": tar_bytes(symbolic("a", "")),
    "file below a link": tar_bytes(symbolic("a", "."), entry("a/evil", b"x")),
    "file below a link that comes later": tar_bytes(entry("a/evil", b"x"), symbolic("a", "/tmp")),
    "link in the place of a directory": tar_bytes(directory("a"), symbolic("a", "/tmp"), entry("a/evil")),
    "file below a file": tar_bytes(entry("a", b"x"), entry("a/b", b"x")),
    "hard link out": tar_bytes(hard("a", "../../../../../../etc/passwd")),
    "hard link to an absolute path": tar_bytes(hard("a", "/etc/passwd")),
    "hard link to a symbolic link": tar_bytes(symbolic("a", "b"), hard("c", "a")),
    "hard link to nothing": tar_bytes(hard("a", "b")),
    "hard link to a later file": tar_bytes(hard("a", "b"), entry("b")),
    "duplicate": tar_bytes(entry("a", b"1"), entry("./a", b"2")),
    "duplicate link": tar_bytes(symbolic("a", "b"), symbolic("a", "c")),
    "file in the place of a directory": tar_bytes(directory("a"), entry("a", b"x")),
    "nameless file": tar_bytes(entry("./", b"x")),
    "character device": tar_bytes(entry("a", kind=tarfile.CHRTYPE)),
    "block device": tar_bytes(entry("a", kind=tarfile.BLKTYPE)),
    "pipe": tar_bytes(entry("a", kind=tarfile.FIFOTYPE)),
    "sparse file": tar_bytes(entry("a", kind=tarfile.GNUTYPE_SPARSE)),
    "unknown type": tar_bytes(entry("a", kind=b"Z")),
    "long component": tar_bytes(entry("x" * 256)),
    "long path": tar_bytes(entry("/".join(["x" * 200] * 16))),
    "size beyond octal": raw_header(b"a", b"\x80" + b"\0" * 3 + b"\xff" * 8, b"0") + END,
    "negative size": raw_header(b"a", b"\xff" * 12, b"0") + END,
    "directory with content": raw_header(b"a/", b"00000001000\0", b"5") + padded(b"x" * 512) + END,
    "old directory with content": raw_header(b"a/", b"00000001000\0", b"\0") + padded(b"x" * 512) + END,
    "link with content": raw_header(b"a", b"00000001000\0", b"2") + padded(b"x" * 512) + END,
    "second size": pax(b"size=0") + raw_header(b"a", b"00000001000\0", b"0") + padded(b"x" * 512) + END,
    "sparse by extension": pax(b"GNU.sparse.size=9999999999") + raw_header(b"a", b"0\0", b"0") + END,
    "dot dot by extension": pax(b"path=../evil") + raw_header(b"a", b"0\0", b"0") + END,
    "absolute by extension for all": pax(b"path=/tmp/evil", b"g") + raw_header(b"a", b"0\0", b"0") + END,
    "link out by extension": pax(b"linkpath=/etc/passwd") + raw_header(b"a", b"0\0", b"2") + END,
    "large extension": raw_header(b"x", b"%011o\0" % (65 << 10), b"x") + padded(b"x" * (65 << 10)) + END,
    "large long name": raw_header(b"x", b"%011o\0" % (65 << 10), b"L") + padded(b"x" * (65 << 10)) + END,
}


@pytest.mark.parametrize("content", UNSAFE.values(), ids=UNSAFE)
def test_an_unsafe_archive_is_refused_and_nothing_extracted(place: Path, content: bytes):
    archive = write_archive(place / "a.tar.zst", content)
    assert refuse(place, archive).startswith(f"unsafe archive `{archive}`: ")


def test_twenty_thousand_entries_are_the_limit(place: Path):
    one = tar_bytes(directory("d"))[:512]
    extract_source(write_archive(place / "good.tar.zst", one * 20_000 + END), place / "good")
    (place / "good/d").rmdir()
    (place / "good").rmdir()
    archive = write_archive(place / "bad.tar.zst", one * 20_001 + END)
    assert "more than 20000 entries" in refuse(place, archive)


def test_a_million_entries_are_refused_without_being_kept(place: Path):
    block = tar_bytes(directory("d"))[:512] * 10_000

    def produce(write: Callable[[bytes], object]) -> None:
        for _ in range(100):
            write(block)
        write(END)

    assert "entries" in refuse(place, write_stream(place / "a.tar.zst", produce))


def test_a_million_extensions_of_nothing_are_refused(place: Path):
    block = raw_header(b"x", b"0\0", b"x") * 10_000

    def produce(write: Callable[[bytes], object]) -> None:
        for _ in range(100):
            write(block)
        write(END)

    assert "entries" in refuse(place, write_stream(place / "a.tar.zst", produce))


def test_a_bomb_of_one_file_is_refused_by_its_header(place: Path):
    archive = write_archive(place / "a.tar.zst", raw_header(b"a", b"%011o\0" % ((2 << 30) + 1), b"0"))
    message = refuse(place, archive)
    assert "more than 2147483648 bytes" in message or "ends in the middle" in message


def test_a_bomb_of_many_files_is_refused(place: Path):
    """3 GiB of zeros in about 100 KiB, with honest headers."""
    zeros = b"\0" * (1 << 20)

    def produce(write: Callable[[bytes], object]) -> None:
        for number in range(3):
            write(raw_header(b"%d" % number, b"%011o\0" % (1 << 30), b"0"))
            for _ in range(1 << 10):
                write(zeros)
        write(END)

    archive = write_stream(place / "a.tar.zst", produce)
    assert archive.stat().st_size < 1 << 20
    assert "more than 2147483648 bytes" in refuse(place, archive)


@pytest.mark.parametrize(
    "content", [b"", b"peppy", b"\x28\xb5\x2f\xfd", b"\0" * 1000], ids=["empty", "text", "magic", "0"]
)
def test_what_is_no_zstd_is_refused(place: Path, content: bytes):
    (place / "a.tar.zst").write_bytes(content)
    assert "no whole .tar.zst archive" in refuse(place, place / "a.tar.zst")


@pytest.mark.parametrize("content", [b"", b"no tar archive" * 100, HONEST[:600], HONEST[: HONEST.rindex(b"copy")]])
def test_what_is_no_whole_tar_is_refused(place: Path, content: bytes):
    refuse(place, write_archive(place / "a.tar.zst", content))


def test_a_damaged_header_in_the_middle_is_refused_and_not_taken_for_the_end(place: Path):
    content = bytearray(tar_bytes(entry("a", b"1"), entry("b", b"2"), entry("c", b"3")))
    content[1024 + 148] ^= 1
    assert "damaged" in refuse(place, write_archive(place / "a.tar.zst", bytes(content)))


def test_a_cut_archive_is_refused(place: Path):
    archive = write_archive(place / "a.tar.zst", HONEST)
    whole = archive.read_bytes()
    for length in range(0, len(whole), 7):
        archive.write_bytes(whole[:length])
        refuse(place, archive)


def test_archives_with_random_damage_never_write_outside_the_target(place: Path):
    """Whatever a damaged archive does, it is a PeppyError or a good end, and everything stays below the target."""
    chance = random.Random(20261103)
    corpus = [HONEST, *UNSAFE.values()]
    sentinel = place.parent / "sentinel"
    sentinel.write_text("x")
    for round_ in range(300):
        content = bytearray(chance.choice(corpus))
        for _ in range(chance.randrange(1, 8)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        archive = write_archive(place / "a.tar.zst", bytes(content))
        target = place / f"target{round_}"
        try:
            extract_source(archive, target)
        except PeppyError:
            assert not target.exists()
        for link in (path for path in target.rglob("*") if path.is_symlink()):
            assert target in (link.parent.resolve() / link.readlink()).resolve().parents or link.resolve() == target
        assert {path.name for path in place.parent.iterdir()} == {"place", "sentinel"}


def test_a_missing_archive_is_named(place: Path):
    assert f"`{place / 'missing'}`" in refuse(place, place / "missing")


def test_a_target_that_exists_is_not_written_to(place: Path):
    archive = write_archive(place / "a.tar.zst", HONEST)
    (place / "target").mkdir()
    (place / "target" / "mine").write_text("x")
    with pytest.raises(PeppyError, match="File exists"):
        extract_source(archive, place / "target")
    assert content_of(place / "target") == {"mine": "x"}


# ---- artifacts -----------------------------------------------------------------------------------------------------


def test_an_artifact_may_have_links_that_leave_it(place: Path):
    content = tar_bytes(symbolic(".venv/bin/python", "/usr/bin/python3"), symbolic("up", "../.."), entry("a", b"x"))
    extract_artifact(write_archive(place / "a.tar.zst", content), place / "target")
    assert content_of(place / "target") == {".venv/bin/python": "/usr/bin/python3", "up": "../..", "a": "x"}


@pytest.mark.parametrize("name", ["absolute", "dot dot", "file below a link", "file below a link that comes later"])
def test_even_an_artifact_stays_in_its_directory(place: Path, name: str):
    archive = write_archive(place / "a.tar.zst", UNSAFE[name])
    assert refuse(place, archive, extract_artifact).startswith("unsafe archive")


def test_what_is_packed_is_extracted(place: Path):
    tree = place / "tree"
    (tree / "src/empty").mkdir(parents=True)
    (tree / "src/main.py").write_text("print()")
    (tree / "src/main.py").chmod(0o755)
    (tree / "é").write_text("é" * 100)
    (tree / "python").symlink_to("/usr/bin/python3")
    (tree / "dangling").symlink_to("nowhere")
    (tree / "loop").symlink_to("loop")
    os.utime(tree / "é", (1_000_000, 1_000_000))
    pack_artifact(tree, place / "a.tar.zst")
    extract_artifact(place / "a.tar.zst", place / "target")
    assert (place / "target/src/empty").is_dir()
    assert stat.S_IMODE((place / "target/src/main.py").stat().st_mode) == 0o755
    assert (place / "target/é").read_text() == "é" * 100
    assert (place / "target/é").stat().st_mtime == 1_000_000
    assert {name: str((place / "target" / name).readlink()) for name in ("python", "dangling", "loop")} == {
        "python": "/usr/bin/python3",
        "dangling": "nowhere",
        "loop": "loop",
    }


@needs_root
def test_a_full_disk_leaves_no_half_directory(tmp_path: Path):
    archive = write_archive(tmp_path / "a.tar.zst", tar_bytes(entry("a", b"x" * 50_000), entry("b", b"x" * 200_000)))
    with small_disk(tmp_path, "128k") as disk:
        with pytest.raises(PeppyError, match="No space left on device") as failed:
            extract_source(archive, disk / "target")
        assert list(disk.iterdir()) == []
    assert f"`{disk / 'target'}`" in failed.value.message
