"""A daemon that answers what a test tells it to, on a real socket, and remembers what it was asked."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from peppy.errors import PeppyError
from peppy.model.home import daemon_socket
from peppy.protocol import PROTOCOL_VERSION
from peppy.protocol.answers import Answer
from peppy.protocol.blocking import BlockingConnection
from peppy.protocol.failures import failed
from peppy.protocol.frame import ConnectionClosed, Received, close_all
from peppy.protocol.frames import Cancel, Done, Failed, Frame, Hello, Output, Welcome

Say = Callable[[str, str], None]


class Notice(NamedTuple):
    """Something that has no answer."""

    frame: Frame
    fds: tuple[int, ...] = ()
    payload: bytes = b""


Result = Answer | PeppyError | Sequence[Answer | Notice] | None
Reply = Callable[[Frame, Say], Result]
"""What to answer, and what else to say; None: nothing until it is cancelled."""


class ScriptedDaemon:
    """Serves one data root until the end of the `with` block."""

    def __init__(self, home: Path, replies: Mapping[type[Frame], Reply | Result]) -> None:
        self.asked: list[Frame] = []
        self.received: list[Received] = []
        """The same with payloads and descriptors, which are open until the end."""
        self.replies = dict(replies)
        path = daemon_socket(home)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(os.fspath(path))
        path.chmod(0o600)
        self._listener.listen()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def __enter__(self) -> "ScriptedDaemon":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()
        for received in self.received:
            close_all(received.fds)

    def requests(self, kind: type[Frame]) -> list[Frame]:
        """What has been asked of one kind."""
        return [frame for frame in self.asked if isinstance(frame, kind)]

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self._listener.accept()
                thread = threading.Thread(target=self._converse, args=(BlockingConnection(connected),))
                self._threads.append(thread)
                thread.start()

    def _converse(self, connection: BlockingConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                received = connection.receive()
                self.received.append(received)
                self._answer(connection, received.frame, received.request_id)
        connection.close()

    def _answer(self, connection: BlockingConnection, frame: Frame, request_id: int) -> None:
        if isinstance(frame, Hello):
            connection.send(Welcome(PROTOCOL_VERSION, "0.1.0", os.getpid(), "core-node-test", "epoch"))
            return
        self.asked.append(frame)
        if isinstance(frame, Cancel):
            connection.send(Failed("Aborted", "aborted by user"), request_id)
            return
        reply = self.replies[type(frame)]
        result = (
            reply(frame, lambda stream, text: connection.send(Output(stream, text), request_id))
            if callable(reply)
            else reply
        )
        if isinstance(result, PeppyError):
            connection.send(failed(result), request_id)
            return
        for said in [result] if isinstance(result, Answer) else result or ():
            if isinstance(said, Notice):
                connection.send(said.frame, 0, said.fds, said.payload)
            else:
                connection.send(Done(msgspec.Raw(msgspec.msgpack.encode(said))), request_id)
