"""Artifacts extracted once, and the directories of instances made from them (docs/reference/daemon.md, Run)."""

import contextlib
import errno
import os
import re
from collections.abc import Container, Iterator
from pathlib import Path

from peppy.errors import PeppyError
from peppy.faults import fault
from peppy.store.archive import check_digest
from peppy.store.atomic import storage_errors, sync_directory
from peppy.store.copying import copy_file, remove_tree, sync_tree
from peppy.store.extract import extract_artifact
from peppy.store.root import DataRoot

_SHARED = frozenset({".venv", "site-packages"})
_SCRIPT_HEAD = 4096  # bytes; the line that names the interpreter, and the second one that long paths need
_REWRITTEN_BYTES = 1 << 20
_NOT_LINKABLE = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP})


def extracted_artifact(root: DataRoot, archive: Path, digest: str) -> Path:
    """The directory that the artifact with this SHA-256 is extracted to, made when it is missing.

    Raises PeppyError: archive missing, another digest, full disk.
    """
    extracted = root.extracted_artifact(digest)
    if extracted.is_dir():
        return extracted
    check_digest(archive, digest)
    unfinished = root.extracted_artifacts / f".{digest}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        extract_artifact(archive, unfinished)
        fault("build.unpacking")
        with storage_errors("write", extracted):
            sync_tree(unfinished)
            _take_place(unfinished, extracted)
            sync_directory(extracted.parent)
    finally:
        with contextlib.suppress(OSError):
            remove_tree(unfinished)
    return extracted


def _take_place(unfinished: Path, extracted: Path) -> None:
    try:
        unfinished.rename(extracted)
    except OSError:
        if not extracted.is_dir():  # otherwise another start of the same node was faster
            raise


def install_artifact(unfinished: Path, archive: Path) -> None:
    """Puts a new artifact in the place of the old one. Raises PeppyError; then the old one stays."""
    with storage_errors("write", archive):
        unfinished.replace(archive)
        sync_directory(archive.parent)


def finish_artifact(unfinished: Path, archive: Path, digest: str) -> None:
    """Installs the artifact with this SHA-256 if somebody was killed just before that. Raises PeppyError."""
    if not unfinished.exists():
        return
    with contextlib.suppress(PeppyError):
        check_digest(unfinished, digest)
        install_artifact(unfinished, archive)


def remove_extracted_but(root: DataRoot, digests: Container[str]) -> None:
    """Deletes what other artifacts than these were extracted to, and what is half extracted. Raises PeppyError."""
    with storage_errors("clean", root.extracted_artifacts):
        for path in list(root.extracted_artifacts.iterdir()):
            if path.name not in digests:
                remove_tree(path)


def remove_extracted(root: DataRoot, digest: str) -> None:
    """Deletes what an artifact was extracted to. Raises PeppyError."""
    extracted = root.extracted_artifact(digest)
    with storage_errors("delete", extracted):
        remove_tree(extracted)


def make_instance(extracted: Path, snapshot: Path, target: Path) -> None:
    """Makes the new directory `target` of an instance from an extracted artifact.

    Virtual environments and site-packages are hard links, everything else copies. Files that name `snapshot`, where
    they were built, as the place of their interpreter are replaced by copies that name `target`. On failure nothing
    is left of `target`. Raises PeppyError.
    """
    moved = _Move(snapshot, target)
    with storage_errors("create", target):
        target.mkdir(parents=True)
    try:
        with storage_errors("write", target):
            for relative, entry in _walk(extracted):
                _place(entry, target / relative, relative, moved)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_tree(target)
        raise


def _walk(directory: Path) -> Iterator[tuple[Path, "os.DirEntry[str]"]]:
    """All entries with their relative path, parents first."""
    waiting = [Path()]
    while waiting:
        relative = waiting.pop()
        with os.scandir(directory / relative) as entries:
            for entry in entries:
                path = relative / entry.name
                yield path, entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)


def _place(entry: "os.DirEntry[str]", target: Path, relative: Path, moved: "_Move") -> None:
    source = Path(entry.path)
    if entry.is_symlink():
        target.symlink_to(source.readlink())
    elif entry.is_dir():
        target.mkdir()
    elif (content := moved.rewritten(source, relative)) is not None:
        target.write_bytes(content)
        target.chmod(entry.stat().st_mode & 0o777)
    elif _SHARED.isdisjoint(relative.parts[:-1]):
        copy_file(source, target)
    else:
        _link(source, target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NOT_LINKABLE:
            raise
        copy_file(source, target)


class _Move:
    """The files of a virtual environment that name the directory they lie in, after it was moved.

    `bin/` has scripts whose interpreter is in their first line (in the second, behind `#!/bin/sh`, when the path is
    long or has blanks) and `activate` scripts; `pyvenv.cfg` may have the command that made it; `.pth` files and
    `__editable__` modules lead to the sources of packages that were installed in place.
    """

    def __init__(self, snapshot: Path, target: Path) -> None:
        # tools write the path as they were given it, or the real one
        names = {os.fsencode(snapshot), os.fsencode(snapshot.resolve())}
        alternatives = b"|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
        self._old = re.compile(rb"(?:" + alternatives + rb")(?![A-Za-z0-9._-])")
        self._new = os.fsencode(target)

    def rewritten(self, source: Path, relative: Path) -> bytes | None:
        """The new content of a file that has to change, None for any other."""
        name, parent = relative.name, relative.parent.name
        if parent == "bin":
            return self._script(source, name)
        if name == "pyvenv.cfg" or (parent == "site-packages" and self._leads_to_sources(name)):
            return self._text(source)
        return None

    @staticmethod
    def _leads_to_sources(name: str) -> bool:
        return name.endswith(".pth") or (name.startswith("__editable__") and name.endswith(".py"))

    def _script(self, source: Path, name: str) -> bytes | None:
        if name.startswith("activate"):
            return self._text(source)
        with source.open("rb") as file:
            head = file.read(_SCRIPT_HEAD)
            if not head.startswith(b"#!"):
                return None
            changed = self._lines(head)
            return None if changed == head else changed + file.read()

    def _lines(self, head: bytes) -> bytes:
        lines = head.split(b"\n", 2)
        naming = 2 if lines[1:2] and lines[1].startswith(b"'''exec'") else 1
        lines[:naming] = [self._replaced(line) for line in lines[:naming]]
        return b"\n".join(lines)

    def _text(self, source: Path) -> bytes | None:
        if source.stat().st_size > _REWRITTEN_BYTES:
            return None
        content = source.read_bytes()
        changed = self._replaced(content)
        return None if changed == content else changed

    def _replaced(self, text: bytes) -> bytes:
        return self._old.sub(lambda _: self._new, text)
