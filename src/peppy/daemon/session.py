"""One accepted connection after its hello (docs/design/protocol.md, Roles)."""

import asyncio
import contextlib
import itertools
import logging
import os

import msgspec

from peppy.daemon.standalone import StandaloneProgram
from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.protocol.answers import Answer
from peppy.protocol.calls import Carrier
from peppy.protocol.connection import Connection
from peppy.protocol.failures import error_of
from peppy.protocol.frame import ConnectionClosed, ProtocolViolation
from peppy.protocol.frames import Done, Failed, Frame
from peppy.protocol.payloads import sealed

REQUEST_SECS = 10.0
"""How long a node has to answer a request of the daemon."""

SPILL_ABOVE = 4 << 20
"""When so many bytes wait for a peer, further payloads wait in memfds."""

SPILLED = 4 << 10
"""Bytes of the smallest payload for which that is worth a descriptor."""

logger = logging.getLogger(__name__)


class Session:
    """A peer that has been welcomed."""

    def __init__(self, connection: Connection) -> None:
        self.pid = connection.peer.pid
        self.name = f"process {self.pid}"
        """How messages call the peer."""
        self.has_slots = True
        """Whether slots say whom it may call; a command line names who serves instead."""
        self.operations: dict[int, asyncio.Task[None]] = {}
        """Running requests of this peer by their ids."""
        self._connection = connection
        self._ids = itertools.count(1)
        self._requests: dict[int, tuple[type[msgspec.Struct], asyncio.Future[Answer]]] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the peer has gone; what is sent then is dropped."""
        return self._closed

    def send(self, frame: Frame, fds: tuple[int, ...] = (), *, request_id: int = 0) -> None:
        """Queues a frame; a peer that has gone gets nothing, which its own end will tell."""
        with contextlib.suppress(ConnectionClosed):
            self._connection.send(frame, request_id, fds)

    def carry(self, frame: Carrier, payload: bytes, fds: tuple[int, ...] = ()) -> None:
        """Queues a notice with its payload, which is inside the frame, or beside it in the last of `fds`.

        Payloads for a peer that is slow to read wait in memfds: the limit of what may be queued is for those that do
        not read at all.
        """
        if len(payload) >= SPILLED and self._connection.unsent >= SPILL_ABOVE:
            self._spill(frame, payload, fds)
            return
        with contextlib.suppress(ConnectionClosed):
            self._connection.send(frame, 0, fds, payload)

    def _spill(self, frame: Carrier, payload: bytes, fds: tuple[int, ...]) -> None:
        try:
            memfd = sealed(((payload, 0),), len(payload))
        except OSError as error:
            self._connection.close()
            logger.warning("%s does not read, and there is no room to keep what waits: %s", self.name, error.strerror)
            return
        try:
            with contextlib.suppress(ConnectionClosed):
                self._connection.send(msgspec.structs.replace(frame, beside=len(payload)), 0, (*fds, memfd))
        finally:
            os.close(memfd)

    def answer(self, result: Answer, request_id: int) -> None:
        """Answers a request of the peer."""
        self.send(Done(msgspec.Raw(msgspec.msgpack.encode(result))), request_id=request_id)

    async def request(self, frame: Frame, fds: tuple[int, ...] = (), timeout: float | None = REQUEST_SECS) -> Answer:
        """Asks the peer and gives its answer, which it has `timeout` seconds for; None: as long as it is there.

        Raises PeppyError: the peer's own refusal, `Timeout`, or `ConnectionClosed` when it goes before it answers.
        """
        assert frame.Answer is not None
        request_id = next(self._ids)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._requests[request_id] = frame.Answer, answer
        try:
            self._connection.send(frame, request_id, fds)
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError:
            raise PeppyError(
                f"{self.name} did not answer `{type(frame).__name__}` in {timeout:g} s", kind="Timeout"
            ) from None
        finally:
            del self._requests[request_id]

    def settle(self, frame: Done | Failed, request_id: int) -> None:
        """Gives an answer of the peer to whoever asked; a late one is dropped. Raises ProtocolViolation."""
        kind, answer = self._requests.get(request_id, (None, None))
        if kind is None or answer is None or answer.done():
            return
        if isinstance(frame, Failed):
            answer.set_exception(error_of(frame))
            return
        try:
            answer.set_result(msgspec.msgpack.decode(frame.result, type=kind))  # pyright: ignore[reportArgumentType]
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ProtocolViolation(f"an answer is no `{kind.__name__}`: {error}") from None

    def close(self) -> None:
        """Ends the connection; everybody who waits for an answer of this peer gets ConnectionClosed."""
        self._closed = True
        self._connection.close()
        for _, answer in list(self._requests.values()):
            if not answer.done():
                answer.set_exception(ConnectionClosed(f"{self.name} has closed its connection"))


class NodeSession(Session):
    """The process of an instance. `state` is what it did before this connection; None at its first one."""

    def __init__(self, connection: Connection, reference: Reference, instance_id: str, state: str | None) -> None:
        super().__init__(connection)
        self.reference = reference
        self.instance_id = instance_id
        self.state = state
        self.name = f"`{instance_id}`"


class StandaloneSession(NodeSession):
    """A program that a person started. `state` is what it did before this connection; None at its first one."""

    def __init__(self, connection: Connection, program: StandaloneProgram, state: str | None) -> None:
        super().__init__(connection, program.reference, program.instance_id, state)
        self.program = program


class CliSession(Session):
    """A command line. As a reader of topics it has the identity of docs/reference/cli.md, Topics of a running stack."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.instance_id = f"peppy-cli-{self.pid}"
        self.reference = Reference("peppy", "cli")
        self.has_slots = False
        self.name = f"`{self.instance_id}`"
