"""The daemon's side of the status board."""

import contextlib
import mmap
import os
import time
from pathlib import Path

from peppy.board.layout import BODY_END, CHECKSUM_AT, SEQUENCE_WORD, Counts, Identity
from peppy.board.segment import board_name, create_page, inode_of, open_page, unlink
from peppy.errors import DaemonUnavailable


class BoardWriter:
    """Owns the page of one data root for the life of a daemon, which holds the lock of that root."""

    def __init__(self, name: str, identity: Identity) -> None:
        self.name = name
        self._identity = identity
        self._counts = Counts()
        self._page, self._inode = _reused_or_new(name)
        self._write()

    @classmethod
    def create(cls, home: Path, version: str, core_node_name: str, epoch: str) -> "BoardWriter":
        """Take over the page of an earlier daemon of `home`, or make one, and write the first heartbeat.

        Raises OSError when it cannot be made, ValueError when a text is too long for the board.
        """
        root = os.path.realpath(home)
        identity = Identity(root, os.getpid(), epoch, version, core_node_name, time.time_ns())
        identity.packed(Counts())
        return cls(board_name(home), identity)

    def heartbeat(self, counts: Counts) -> None:
        """Stamp the board; to be called every second. Makes it anew when somebody has taken its name away.

        Raises OSError when that fails; the next heartbeat tries again.
        """
        self._counts = counts
        self._write()
        if inode_of(self.name) != self._inode:
            page, self._inode = _reused_or_new(self.name)
            self._page.close()
            self._page = page
            self._write()

    def close(self) -> None:
        """Take the name away, unless it is not ours any more. Mappings of readers stay and go stale."""
        if inode_of(self.name) == self._inode:
            unlink(self.name)
        self._page.close()

    def _write(self) -> None:
        data = self._identity.packed(self._counts)
        sequence = _sequence(self._page) | 1  # odd already when an earlier daemon was killed here
        _set_sequence(self._page, sequence)
        self._page[CHECKSUM_AT:BODY_END] = data
        _set_sequence(self._page, sequence + 1)


def _reused_or_new(name: str) -> tuple[mmap.mmap, int]:
    with contextlib.suppress(DaemonUnavailable):
        return open_page(name, read_only=False)
    unlink(name)
    return create_page(name)


def _sequence(page: mmap.mmap) -> int:
    with memoryview(page) as raw, raw.cast("Q") as words:
        return words[SEQUENCE_WORD]


def _set_sequence(page: mmap.mmap, value: int) -> None:
    with memoryview(page) as raw, raw.cast("Q") as words:
        words[SEQUENCE_WORD] = value  # one aligned store: a `struct` of standard size would store byte by byte
