"""The way to the daemon: whatever a node sends goes out here, from any thread, without waiting for the daemon."""

import threading
from collections.abc import Callable
from typing import cast

import msgspec

from peppy.errors import PeppyError
from peppy.protocol.answers import Answer
from peppy.protocol.blocking import BlockingConnection
from peppy.protocol.failures import error_of
from peppy.protocol.frame import ConnectionClosed, Received
from peppy.protocol.frames import Done, Failed, Frame

Answered = Callable[[Answer | PeppyError | None], None]
"""Told of a request's answer, on the control thread: None when the connection was lost first."""


class Link:
    """The present connection to the daemon, if there is one, and the requests that wait for answers.

    Connections are numbered from 1, their `generation`: what was said on one means nothing on the next.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: BlockingConnection | None = None
        self.epoch = ""
        """Names the run of the daemon that is, or was last, connected."""
        self._last_generation = 0
        self._last_request = 0
        self._asked: dict[int, tuple[type[Frame], Answered]] = {}

    @property
    def connected(self) -> bool:
        """Whether there is a daemon."""
        connection = self._connection
        return connection is not None and connection.closed is None

    @property
    def generation(self) -> int:
        """That of the present connection; 0 without a daemon."""
        return self._last_generation if self.connected else 0

    def send(self, frame: Frame, fds: tuple[int, ...] = (), payload: bytes = b"", *, only_on: int = 0) -> int:
        """Send a notice; the descriptors stay the caller's.

        Returns the generation that it went out on. 0: nothing was sent, for there is no daemon, or `only_on` names
        another generation than the present one. Raises PeppyError (`Refused`) for what is no frame.
        """
        with self._lock:
            connection, generation = self._connection, self._last_generation
        if connection is None or (only_on and only_on != generation):
            return 0
        try:
            connection.post(frame, 0, fds, payload)
        except ConnectionClosed:
            return 0
        return generation

    def request(
        self, frame: Frame, answered: Answered, fds: tuple[int, ...] = (), payload: bytes = b"", *, only_on: int = 0
    ) -> int:
        """Send a request; as `send`, and `answered` is told the answer unless nothing was sent."""
        with self._lock:
            connection, generation = self._connection, self._last_generation
            if connection is None or (only_on and only_on != generation):
                return 0
            self._last_request += 1
            number = self._last_request
            self._asked[number] = type(frame), answered
        try:
            connection.post(frame, number, fds, payload)
        except ConnectionClosed:
            with self._lock:
                untold = self._asked.pop(number, None)
            return 0 if untold is not None else generation
        except BaseException:
            with self._lock:
                self._asked.pop(number, None)
            raise
        return generation

    # --- for the control thread ----------------------------------------------------------------------------------

    def use(self, connection: BlockingConnection, epoch: str) -> None:
        """Send on this connection from now on."""
        with self._lock:
            self.epoch = epoch
            self._connection = connection
            self._last_generation += 1

    def lost(self) -> None:
        """The connection has ended: what was asked on it is never answered."""
        with self._lock:
            asked, self._asked = self._asked, {}
            self._connection = None
        for _, answered in asked.values():
            answered(None)

    def take_answer(self, received: Received) -> None:
        """Tell who asked. An answer to nothing is passed over."""
        with self._lock:
            asked = self._asked.pop(received.request_id, None)
        if asked is None:
            return
        question, answered = asked
        frame = received.frame
        if isinstance(frame, Failed):
            answered(error_of(frame))
        elif isinstance(frame, Done):
            answered(_answer(frame, question))


def _answer(frame: Done, question: type[Frame]) -> Answer | PeppyError:
    """What the daemon says; an error for what is no answer to the question, or its asker would wait for ever."""
    try:
        return msgspec.msgpack.decode(frame.result, type=cast("type[Answer]", question.Answer))
    except msgspec.MsgspecError as error:
        return PeppyError(f"the answer of the daemon to `{question.__name__}` cannot be read: {error}")
