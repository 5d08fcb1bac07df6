"""Copies of files and whole directories, by sharing blocks where the file system can."""

import ctypes
import errno
import fcntl
import os
import shutil
import stat
from pathlib import Path

_FICLONE = 0x40049409
_LIBC = ctypes.CDLL(None, use_errno=True)
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def copy_file(source: Path, target: Path) -> None:
    """Copies a regular file to a new name with its mode and times. OSError (EINVAL) when `source` is none."""
    reader = os.open(source, _READ)
    try:
        status = os.fstat(reader)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(source))
        writer = os.open(target, _CREATE, 0o600)
        try:
            _copy_content(reader, writer, status.st_size)
            os.fchmod(writer, stat.S_IMODE(status.st_mode) & 0o777)
            os.utime(writer, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _copy_content(reader: int, writer: int, size: int) -> None:
    if size == 0:
        return
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        with open(reader, "rb", closefd=False) as source, open(writer, "wb", closefd=False) as target:
            shutil.copyfileobj(source, target, 1 << 20)


def sync_tree(directory: Path) -> None:
    """Makes everything below `directory` survive a crash, by syncing its file system. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _LIBC.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))
    finally:
        os.close(descriptor)


def remove_tree(directory: Path) -> None:
    """Deletes a directory with all it holds; one that is missing is no error. Raises OSError."""
    if not os.path.lexists(directory):
        return
    if directory.is_symlink() or not directory.is_dir():
        directory.unlink()
        return
    shutil.rmtree(directory)
