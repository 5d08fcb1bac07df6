"""Forked processes that play one end of a stream, messages that show every torn byte, and what a process holds."""

import os
import signal
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from peppy.ring import Claim, History, Reader, Writer

WATCHDOG = 30.0  # seconds: no answer by then is a hang


class Peer:
    """A forked process and the socket to it."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.channel = channel
        self._ended = False

    def kill(self) -> None:
        """End it at whatever point it has reached, and wait until the kernel has taken everything it held."""
        if not self._ended:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """Its wait status."""
        self._ended = True
        return os.waitpid(self.pid, 0)[1]

    def stop(self) -> None:
        """SIGSTOP it, and return when it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(self.pid, os.WUNTRACED)[1])

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


@contextmanager
def forked(role: Callable[[socket.socket], None]) -> Iterator[Peer]:
    """Run `role` in a process of its own, which ends with the block at the latest."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            here.close()
            role(there)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    there.close()
    here.settimeout(WATCHDOG)
    peer = Peer(pid, here)
    try:
        yield peer
    finally:
        peer.kill()
        here.close()


class Invitation(NamedTuple):
    """What a reader needs: two descriptors and a claim."""

    data_fd: int
    ctrl_fd: int
    claim: Claim

    @classmethod
    def receive(cls, channel: socket.socket) -> Self:
        text, descriptors, _, _ = socket.recv_fds(channel, 4096, 2)
        return cls(*descriptors, Claim(*map(int, text.split())))

    def accept(self, *, newest: bool = False) -> Reader:
        """Open the reader and close the descriptors."""
        try:
            return Reader.open(self.data_fd, self.ctrl_fd, self.claim, newest=newest)
        finally:
            os.close(self.data_fd)
            os.close(self.ctrl_fd)


def invite(channel: socket.socket, writer: Writer, doorbell: int = -1, history: History = History.ALL) -> Claim:
    """Send an invitation through a socket, as the daemon does."""
    claim = writer.reserve_row(doorbell, history)
    socket.send_fds(channel, [" ".join(map(str, claim)).encode()], [writer.data_fd, writer.ctrl_fd])
    return claim


def pattern(sequence: int, length: int) -> bytes:
    """The payload of a message: every eight bytes differ from those of every other message."""
    word = (sequence * 0x9E3779B97F4A7C15 & (1 << 64) - 1).to_bytes(8, "little")
    return (word * (length // 8 + 1))[:length]


class Holdings(NamedTuple):
    """What this process holds open of any stream."""

    descriptors: int
    mappings: int

    @classmethod
    def now(cls) -> Self:
        maps = Path("/proc/self/maps").read_text()
        return cls(len(list(Path("/proc/self/fd").iterdir())), maps.count("memfd:peppy"))
