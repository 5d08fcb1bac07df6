"""The named shared-memory page, checked before anybody uses it (docs/reference/daemon.md, Status board)."""

import hashlib
import mmap
import os
import stat
from pathlib import Path

import posix_ipc

from peppy.board.layout import BODY_AT, IDENTITY, LAYOUT, MAGIC, SIZE
from peppy.errors import DaemonUnavailable

_ROOT_DIGITS = 12


def board_name(home: Path) -> str:
    """`/peppy-<uid>-<first 12 hex digits of SHA-256 of the real path of the data root>`."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(home))).hexdigest()
    return f"/peppy-{os.geteuid()}-{digest[:_ROOT_DIGITS]}"


def not_available(reason: str) -> DaemonUnavailable:
    """The board cannot be read."""
    return DaemonUnavailable(
        f"the status board is not available: {reason}", kind="DaemonUnreachable", hint="run peppy service status"
    )


def open_page(name: str, *, read_only: bool) -> tuple[mmap.mmap, int]:
    """Map the page of that name, with its inode. Raises `DaemonUnavailable` unless it is a board of this user."""
    try:
        segment = posix_ipc.SharedMemory(name, read_only=read_only)
    except (posix_ipc.Error, OSError) as error:
        raise not_available(f"`{name}`: {error}") from None
    try:
        problem = _problem(os.fstat(segment.fd))
        if problem:
            raise not_available(f"`{name}` {problem}")
        page = mmap.mmap(segment.fd, SIZE, access=mmap.ACCESS_READ if read_only else mmap.ACCESS_WRITE)
        inode = os.fstat(segment.fd).st_ino
    finally:
        segment.close_fd()
    if page[: IDENTITY.size] != IDENTITY.pack(MAGIC, LAYOUT, SIZE):
        page.close()
        raise not_available(f"`{name}` has another layout")
    return page, inode


def create_page(name: str) -> tuple[mmap.mmap, int]:
    """Make and map a new page of that name, with its inode; raises OSError when it exists or memory is short."""
    try:
        segment = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o600)
    except posix_ipc.ExistentialError:
        raise FileExistsError(f"`{name}` exists") from None
    try:
        os.fchmod(segment.fd, 0o600)
        os.posix_fallocate(segment.fd, 0, SIZE)  # not sparse: a full /dev/shm is an error here, not a SIGBUS later
        page = mmap.mmap(segment.fd, SIZE, access=mmap.ACCESS_WRITE)
        inode = os.fstat(segment.fd).st_ino
    except BaseException:
        unlink(name)
        raise
    finally:
        segment.close_fd()
    page[BODY_AT:SIZE] = bytes(SIZE - BODY_AT)
    page[: IDENTITY.size] = IDENTITY.pack(MAGIC, LAYOUT, SIZE)
    return page, inode


def inode_of(name: str) -> int | None:
    """The inode that the name stands for now; None when there is none that we may open."""
    try:
        segment = posix_ipc.SharedMemory(name, read_only=True)
    except (posix_ipc.Error, OSError):
        return None
    try:
        return os.fstat(segment.fd).st_ino
    finally:
        segment.close_fd()


def unlink(name: str) -> None:
    """Take the name away, if it is there; raises PermissionError when it is somebody else's."""
    try:
        posix_ipc.unlink_shared_memory(name)
    except posix_ipc.ExistentialError:
        return
    except posix_ipc.PermissionsError:
        raise PermissionError(f"`{name}` belongs to another user") from None


def _problem(status: os.stat_result) -> str | None:
    """Why a segment is no board of ours, before a byte of it is read."""
    if not stat.S_ISREG(status.st_mode):
        return "is no shared memory"
    if status.st_uid != os.geteuid():
        return f"belongs to the user with uid {status.st_uid}"
    if status.st_mode & 0o077:
        return f"has the mode {stat.S_IMODE(status.st_mode):o}"
    if status.st_size != SIZE:
        return f"has {status.st_size} bytes"
    return None
