"""Everybody else's side of the status board: never asks the daemon, so it works when the daemon hangs."""

import mmap
import os
import time
from pathlib import Path
from types import TracebackType

from peppy.board.layout import BODY_END, CHECKSUM_AT, SEQUENCE_WORD, Snapshot, unpacked
from peppy.board.segment import board_name, not_available, open_page

TRIES = 1000
"""How often a reader tries to find the page whole; a daemon killed while writing leaves it torn for ever."""

_TRIES_WITHOUT_PAUSE = 10
_PAUSE_SECS = 50e-6


class BoardReader:
    """The page that the name stood for when it was opened; after a restart of the daemon it may be another one."""

    def __init__(self, page: mmap.mmap, root: Path) -> None:
        self._page = page
        self._root = root

    @classmethod
    def open(cls, home: Path) -> "BoardReader":
        """The board of the data root `home`. Raises `DaemonUnavailable` when there is none that is this user's."""
        page, _ = open_page(board_name(home), read_only=True)
        return cls(page, Path(os.path.realpath(home)))

    def snapshot(self) -> Snapshot:
        """The board now. Raises `DaemonUnavailable` when it is not whole after 1 000 tries, or is another root's."""
        for attempt in range(TRIES):
            found = self._whole()
            if found is None:
                if attempt >= _TRIES_WITHOUT_PAUSE:
                    time.sleep(_PAUSE_SECS)
                continue
            if found.data_root != self._root:
                raise not_available(f"it is the board of `{found.data_root}`")
            return found
        raise not_available("the daemon has ended while writing it")

    def close(self) -> None:
        """Unmap the page."""
        self._page.close()

    def __enter__(self) -> "BoardReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _whole(self) -> Snapshot | None:
        with memoryview(self._page) as raw, raw.cast("Q") as words:
            before = words[SEQUENCE_WORD]
            if before % 2:
                return None
            data = bytes(raw[CHECKSUM_AT:BODY_END])
            if words[SEQUENCE_WORD] != before:
                return None
        return unpacked(data)
