"""Build artifacts: a directory as one `.tar.zst` (docs/reference/daemon.md, Build)."""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from peppy.errors import PeppyError
from peppy.store.atomic import replacing, storage_errors

LEVEL = 3
_BLOCK_BYTES = 1 << 20


def pack_artifact(directory: Path, archive: Path) -> str:
    """Packs everything below `directory`, symbolic links and virtual environments included, and returns the SHA-256.

    Entries are in byte order, without owner, so the same tree gives the same archive. Sockets and the like stay out.
    Raises PeppyError with path and reason; then an old archive stays.
    """
    import zstandard

    with replacing(archive, mode=0o644) as file:
        compressor = zstandard.ZstdCompressor(level=LEVEL, threads=-1)
        with (
            compressor.stream_writer(file, closefd=False) as stream,
            tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_BLOCK_BYTES) as tar,
        ):
            for relative in _entries(directory):
                _add(tar, directory / relative, relative)
    return file_digest(archive)


def _entries(directory: Path) -> Iterator[str]:
    """Relative names, parents first, byte order."""
    waiting = [""]
    while waiting:
        relative = waiting.pop()
        if relative:
            yield relative
        path = directory / relative
        if path.is_symlink() or not path.is_dir():
            continue
        names = sorted((child.name for child in path.iterdir()), key=os.fsencode, reverse=True)
        waiting += [f"{relative}/{name}" if relative else name for name in names]


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    status = path.lstat()
    entry = tarfile.TarInfo(name)
    entry.mode = stat.S_IMODE(status.st_mode) & 0o777
    entry.mtime = int(status.st_mtime)
    if stat.S_ISDIR(status.st_mode):
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    elif stat.S_ISLNK(status.st_mode):
        entry.type = tarfile.SYMTYPE
        entry.linkname = str(path.readlink())
        tar.addfile(entry)
    elif stat.S_ISREG(status.st_mode):
        with path.open("rb") as file:
            entry.size = os.fstat(file.fileno()).st_size
            tar.addfile(entry, file)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file. Raises PeppyError when it cannot be read."""
    with storage_errors("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(path: Path, expected: str) -> None:
    """Raises PeppyError unless the file has this SHA-256."""
    actual = file_digest(path)
    if actual != expected.lower():
        raise PeppyError(
            f"SHA256 checksum mismatch: `{path}` has `{actual}`, expected `{expected.lower()}`", kind="Refused"
        )
