"""The snapshot that add takes of a source (docs/reference/daemon.md, Add)."""

import contextlib
import os
import shutil
import stat
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from peppy.errors import PeppyError
from peppy.faults import fault
from peppy.store.atomic import storage_errors, sync_directory
from peppy.store.copying import copy_file, remove_tree, sync_tree

LEFT_OUT = frozenset(
    {
        ".peppy",
        ".venv",
        ".pixi",
        "__pypackages__",
        "__pycache__",
        ".tox",
        ".nox",
        ".conda",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        "target",
        "node_modules",
        ".next",
        ".nuxt",
        ".turbo",
        ".parcel-cache",
        ".svelte-kit",
        "bower_components",
        "build",
        "cmake-build-debug",
        "cmake-build-release",
        ".cache",
        ".git",
    }
)
DEPTH_LIMIT = 256  # directories within each other; deleting a tree takes a piece of stack for each
SPACE_FACTOR = 3  # the snapshot, what its build adds, and the artifact


@dataclass(frozen=True, slots=True)
class Contents:
    """What a snapshot of a source consists of.

    `directories` and `files` are relative, parents first; `size` is in bytes; `left_out` are the top-level names that
    stay behind; `skipped` counts symbolic links and special files.
    """

    directories: tuple[Path, ...]
    files: tuple[Path, ...]
    size: int
    left_out: tuple[str, ...]
    skipped: int


def survey(source: Path, *, outside: Path) -> Contents:
    """What add would copy of `source`. The directory `outside` (the data root) is left out if it lies in the source.

    Raises PeppyError when a directory cannot be read, or one lies deeper than 256 others.
    """
    walk = _Walk(source, outside.stat() if outside.exists() else None)
    with storage_errors("read", source):
        walk.run()
    top = tuple(sorted(name for name in walk.left_out if os.sep not in name))
    return Contents(tuple(walk.directories), tuple(walk.files), walk.size, top, walk.skipped)


class _Walk:
    def __init__(self, source: Path, outside: os.stat_result | None) -> None:
        self.source = source
        self.outside = outside
        self.directories: list[Path] = []
        self.files: list[Path] = []
        self.left_out: list[str] = []
        self.size = 0
        self.skipped = 0

    def run(self) -> None:
        waiting = [Path()]
        while waiting:
            directory = waiting.pop()
            if len(directory.parts) > DEPTH_LIMIT:
                raise PeppyError(
                    f"`{self.source}` has more than {DEPTH_LIMIT} directories in each other", kind="Refused"
                )
            with os.scandir(self.source / directory) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if self.enters(directory / entry.name, entry.stat(follow_symlinks=False)):
                        self.directories.append(directory / entry.name)
                        waiting.append(directory / entry.name)

    def enters(self, relative: Path, status: os.stat_result) -> bool:
        """Whether the entry is a directory to be copied; files are noted here."""
        if stat.S_ISDIR(status.st_mode):
            left_out = relative.name in LEFT_OUT or self.is_outside(status)
            if left_out:
                self.left_out.append(str(relative))
            return not left_out
        if not stat.S_ISREG(status.st_mode):
            self.skipped += 1
        elif relative.name == ".git":  # of a work tree: it names a repository elsewhere
            self.left_out.append(str(relative))
        else:
            self.files.append(relative)
            self.size += status.st_size
        return False

    def is_outside(self, status: os.stat_result) -> bool:
        return self.outside is not None and os.path.samestat(status, self.outside)


def check_space(size: int, place: Path) -> None:
    """Raises PeppyError unless the file system of `place` has room for three times `size` bytes."""
    with storage_errors("read", place):
        free = shutil.disk_usage(place).free
    if free < SPACE_FACTOR * size:
        raise PeppyError(
            f"`{place}` has {free} bytes free, {SPACE_FACTOR * size} are needed ({SPACE_FACTOR} times the source)",
            kind="Refused",
            hint="free some space on its file system",
        )


def copy_contents(source: Path, contents: Contents, target: Path) -> None:
    """Copies what `survey` found to the new directory `target`; on failure nothing is left of it. Raises PeppyError."""
    with storage_errors("create", target):
        target.mkdir(parents=True)
    try:
        with storage_errors("copy to", target):
            for relative in contents.directories:
                (target / relative).mkdir()
            for relative in contents.files:
                copy_file(source / relative, target / relative)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_tree(target)
        raise


def sync_snapshot(new: Path) -> None:
    """Makes a snapshot survive a crash, before anybody names it. Raises PeppyError."""
    with storage_errors("write", new):
        sync_tree(new)
        sync_directory(new.parent)


def install_snapshot(new: Path, current: Path) -> None:
    """Puts the directory `new` in the place of `current`; the old one is deleted.

    Whoever was killed on the way does it again: as long as `new` exists it is the one to take the place. Raises
    PeppyError; then `new` exists and `current`, if the disk allows, is still the old one.
    """
    former = new.with_name(f"{new.name}.former")
    with storage_errors("write", current):
        if os.path.lexists(current):
            current.rename(former)
        fault("add.moved_away")
        try:
            new.rename(current)
        except OSError:
            with contextlib.suppress(OSError):
                former.rename(current)
            raise
        fault("add.moved_in")
        sync_directory(current.parent)
    with storage_errors("delete", former):
        remove_tree(former)


@contextlib.contextmanager
def new_snapshot(snapshots: Path, path_key: str) -> Generator[Path]:
    """A name below `snapshots` for a copy in the making; whatever lies there when the block ends is deleted."""
    path = snapshots / f".{path_key}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        yield path
    finally:
        with storage_errors("delete", path):
            remove_tree(path)
