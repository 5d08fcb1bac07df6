"""Waiting for processes by descriptor, never by a bare pid (docs/reference/daemon.md, Shim)."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from peppy.errors import PeppyError
from peppy.process.records import Exit, Pids, ProcessId, is_alive, is_same, read_exit, read_pids

EXIT_POLL_SECS = 0.01  # exit.json follows the end of the child by milliseconds: the shim empties the pipes first


class WatchedProcess:
    """A process held by a pidfd; its end is an event of the running loop.

    A process that is our own child is reaped at its end. `close` stops watching and leaves the process alone.
    """

    def __init__(self, process: ProcessId) -> None:
        """Starts watching; a process that is gone, or whose pid has a new owner, counts as ended."""
        self.pid = process.pid
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._descriptor = self._open(process)
        if self._descriptor is None:
            self.ended.set()
        else:
            self._loop.add_reader(self._descriptor, self._on_end)

    @staticmethod
    def _open(process: ProcessId) -> int | None:
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return None
        if is_same(process):
            return descriptor
        os.close(descriptor)
        return None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; a process that has ended is no error, any other failure is a PeppyError."""
        if self._descriptor is None:
            return
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return
        except OSError as error:
            raise PeppyError(
                f"cannot send {number.name} to process `{self.pid}`: {error.strerror}", kind="Internal"
            ) from error

    def close(self) -> None:
        """Gives the descriptor back. Waiters of a process that still lives stay waiting."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _on_end(self) -> None:
        assert self._descriptor is not None
        with contextlib.suppress(ChildProcessError):  # not our child: it outlived the daemon that started it
            os.waitid(os.P_PIDFD, self._descriptor, os.WEXITED | os.WNOHANG)
        self.close()
        self.ended.set()


class Shim:
    """A shim and its child, started by this daemon or by an earlier one."""

    def __init__(self, directory: Path, pids: Pids) -> None:
        """`directory` holds the shim's files; a running event loop is needed."""
        self.directory = directory
        self.pids = pids
        self._shim = WatchedProcess(pids.shim)
        self._child = WatchedProcess(pids.child)

    @property
    def child_has_ended(self) -> bool:
        """Whether the child is gone (its exit record may follow)."""
        return self._child.ended.is_set()

    @property
    def has_ended(self) -> bool:
        """Whether the shim, and with it every process of its tree, is gone."""
        return self._shim.ended.is_set()

    async def child_end(self) -> Exit | None:
        """Waits for the end of the child. None: the shim died without a record (`exit status unknown`)."""
        await self._child.ended.wait()
        while not self._shim.ended.is_set():
            record = read_exit(self.directory)
            if record is not None:
                return record
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._shim.ended.wait(), EXIT_POLL_SECS)
        return read_exit(self.directory)

    async def end(self) -> Exit | None:
        """Waits until no process of the tree is left. None: the shim died without a record."""
        await self._shim.ended.wait()
        return read_exit(self.directory)

    def terminate(self) -> None:
        """Asks the shim to end all its processes: TERM, after 1 s KILL until none is left. PeppyError if it cannot."""
        self._shim.signal(signal.SIGTERM)

    def close(self) -> None:
        """Stops watching; the processes run on."""
        self._shim.close()
        self._child.close()


def adopt(directory: Path) -> Shim | None:
    """The living shim of `directory` that an earlier daemon started, or None when it is gone.

    Alive means: the lock is held, and `pid.json` names processes with these start times (the child may have ended).
    """
    pids = read_pids(directory)
    if pids is None or not is_alive(directory) or not is_same(pids.shim):
        return None
    return Shim(directory, pids)
