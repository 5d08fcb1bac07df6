"""One daemon per data root: a lock held for life decides, nothing else does (docs/reference/daemon.md, Process)."""

import fcntl
import os
from pathlib import Path

from peppy.errors import PeppyError
from peppy.store.atomic import storage_errors

_PID_LIMIT = 32


class Lock:
    """The lock of a data root; it ends with the process that holds it."""

    def __init__(self, path: Path, root: Path) -> None:
        """Takes the lock at `path`. Raises PeppyError when another daemon has it, and then has changed nothing."""
        with storage_errors("open", path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = self._holder()
            os.close(self._descriptor)
            raise PeppyError(
                f"another peppy daemon (pid {holder}) uses {root}", kind="Refused", hint="run `peppy service stop`"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _holder(self) -> str:
        """The pid that the holder has written; it may not have come to that yet."""
        return os.pread(self._descriptor, _PID_LIMIT, 0).decode(errors="replace").strip() or "unknown"

    def release(self) -> None:
        """Lets another daemon have the data root."""
        os.close(self._descriptor)
