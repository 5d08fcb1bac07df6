"""Files that survive a crash or a full disk: temporary name, sync, rename, sync of the directory.

docs/reference/daemon.md, Data root.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from peppy.errors import PeppyError

_HINTS = {
    errno.ENOSPC: "free some space on its file system",
    errno.EDQUOT: "free some space or raise the quota",
    errno.EROFS: "choose a writable directory with PEPPY_HOME",
    errno.EACCES: "give yourself the permission, or choose another directory with PEPPY_HOME",
}


@contextlib.contextmanager
def storage_errors(action: str, path: Path) -> Generator[None]:
    """Turns an OSError into a PeppyError: ``cannot <action> `<path>`: <reason>``, with a hint where there is one."""
    try:
        yield
    except OSError as error:
        raise PeppyError(
            f"cannot {action} `{path}`: {error.strerror or error}",
            kind="Internal",
            hint=_HINTS.get(error.errno or 0),
        ) from error


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o600) -> Generator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends, as a whole or not at all.

    If the block or the disk fails, the old file stays and nothing is left of the new one. Raises PeppyError with path
    and reason.
    """
    with storage_errors("write", path):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                yield file
                file.flush()
                os.fsync(descriptor)
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def write_file(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Writes `content` to `path` so that always either the old or the new file is there. Raises PeppyError."""
    with replacing(path, mode=mode) as file:
        file.write(content)


def remove_unfinished(directory: Path) -> None:
    """Deletes what a process that was killed has left of files that it was writing here. Raises PeppyError."""
    with storage_errors("clean", directory):
        for path in directory.glob(".*.new"):
            path.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Makes the names in `directory` survive a crash. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
