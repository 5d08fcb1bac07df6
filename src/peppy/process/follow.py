"""Following a log that a shim writes and rotates."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from peppy.process.logs import LogLine, parse_line, rotated

POLL_SECS = 0.05
_BLOCK_BYTES = 256 << 10
_KEEP_LIMIT = 99


async def follow(log: Path, ended: asyncio.Event, *, from_start: bool = True) -> AsyncIterator[LogLine]:
    """Yields the lines of `log` as they are written, through its rotations, until `ended` is set and all are out.

    With `from_start` false only lines that are written from now on. A log that does not exist yet is waited for.
    """
    source = _Source(log, from_start=from_start)
    try:
        while True:
            last_round = ended.is_set()  # asked before reading: what was written until then is read below
            progress = False
            for line in source.read():
                progress = True
                yield line
            if not progress and last_round:
                return
            if not progress:
                await _pause(ended)
    finally:
        source.close()


async def _pause(ended: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(ended.wait(), POLL_SECS)
    except TimeoutError:
        return


class _Source:
    """A position in the sequence of files that a log is."""

    def __init__(self, log: Path, *, from_start: bool) -> None:
        self._log = log
        self._rest = b""
        self._file: BinaryIO | None = self._open(0)
        if self._file is not None and not from_start:
            self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def read(self) -> list[LogLine]:
        """What is there now, at most one block; moves on to the next file at the end of a rotated one."""
        if self._file is None:
            self._file = self._open(0)
        if self._file is None:
            return []
        newer = self._newer()  # before reading: a file that has been rotated away grows no more
        block = self._file.read(_BLOCK_BYTES)
        if not block and newer is not None:
            self._file.close()
            self._file = newer
            block = self._file.read(_BLOCK_BYTES)
        elif newer is not None:
            newer.close()
        *lines, self._rest = (self._rest + block).split(b"\n")
        return [parse_line(line.decode(errors="replace")) for line in lines]

    def _open(self, number: int) -> BinaryIO | None:
        try:
            return rotated(self._log, number).open("rb")
        except FileNotFoundError:
            return None

    def _newer(self) -> BinaryIO | None:
        """The file after the open one; the oldest one when the open one has been deleted; None while it is current."""
        assert self._file is not None
        current = os.fstat(self._file.fileno())
        newer: BinaryIO | None = None
        for number in range(_KEEP_LIMIT + 1):
            candidate = self._open(number)
            if candidate is None and rotated(self._log, number + 1).exists():
                continue  # a rotation is going on, file by file: behind the gap there may be the open one
            if candidate is None:
                break
            if os.path.samestat(os.fstat(candidate.fileno()), current):
                candidate.close()
                return newer
            if newer is not None:
                newer.close()
            newer = candidate
        return newer
