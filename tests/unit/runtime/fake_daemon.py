"""A daemon that says what a test makes it say, and a control thread that is connected to it."""

import os
import socket
import threading
from pathlib import Path
from time import monotonic

from peppy.protocol.blocking import BlockingConnection
from peppy.protocol.frame import Received
from peppy.protocol.frames import Frame, Hello, Welcome
from peppy.runtime.control import ControlThread

LIMIT = 60.0
WELCOME = Welcome(1, "0.1.0", 1, "core", "epoch")


class FakeDaemon:
    """Says what a test makes it say."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "run" / "daemon.sock"
        self.path.parent.mkdir()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._listener.settimeout(LIMIT)
        self.peers: list[BlockingConnection] = []

    def accept(self, answer: Frame = WELCOME) -> BlockingConnection:
        """Wait for a node, hear its hello and answer it."""
        connected, _ = self._listener.accept()
        peer = BlockingConnection(connected)
        self.peers.append(peer)
        assert isinstance(peer.receive(LIMIT).frame, Hello)
        peer.send(answer)
        return peer

    def close(self) -> None:
        self._listener.close()
        for peer in self.peers:
            peer.close()


def start(control: ControlThread, fake: FakeDaemon, answer: Frame = WELCOME) -> BlockingConnection:
    peers: list[BlockingConnection] = []
    accepting = threading.Thread(target=lambda: peers.append(fake.accept(answer)))
    accepting.start()
    try:
        control.start()
    finally:
        accepting.join()
    return peers[0]


def heard(peer: BlockingConnection, kind: type[Frame]) -> Received:
    """The next frame of this kind; others are passed over."""
    end = monotonic() + LIMIT
    while True:
        received = peer.receive(end - monotonic())
        for fd in received.fds:
            os.close(fd)
        if isinstance(received.frame, kind):
            return received


def open_descriptors() -> int:
    """How many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
