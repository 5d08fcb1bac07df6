"""One accepted connection after its hello (docs/design/protocol.md, Roles)."""

import asyncio
import contextlib
import itertools

import msgspec

from peppy.errors import PeppyError, Problem
from peppy.model.names import Reference
from peppy.protocol import frames
from peppy.protocol.answers import Answer
from peppy.protocol.connection import Connection
from peppy.protocol.frame import ConnectionClosed, ProtocolViolation
from peppy.protocol.frames import Done, Failed, Frame, Hello

REQUEST_SECS = 10.0
"""How long a node has to answer a request of the daemon."""


class Session:
    """A peer that has been welcomed. `instance_id` is empty and `reference` None for the command line."""

    def __init__(self, connection: Connection, hello: Hello, reference: Reference | None = None) -> None:
        self.role = hello.role
        self.instance_id = hello.instance_id or ""
        self.pid = connection.peer.pid
        self.operations: dict[int, asyncio.Task[None]] = {}
        """Running requests of this peer by their ids."""
        self._reference = reference
        self._connection = connection
        self._ids = itertools.count(1)
        self._requests: dict[int, tuple[type[msgspec.Struct], asyncio.Future[Answer]]] = {}
        self._closed = False

    @property
    def reference(self) -> Reference:
        """The node of a session of role `node`."""
        assert self._reference is not None
        return self._reference

    @property
    def closed(self) -> bool:
        """Whether the peer has gone; what is sent then is dropped."""
        return self._closed

    def send(self, frame: Frame, fds: tuple[int, ...] = (), *, request_id: int = 0) -> None:
        """Queues a frame; a peer that has gone gets nothing, which its own end will tell."""
        with contextlib.suppress(ConnectionClosed):
            self._connection.send(frame, request_id, fds)

    async def request(self, frame: Frame, fds: tuple[int, ...] = (), timeout: float = REQUEST_SECS) -> Answer:
        """Asks the peer and gives its answer.

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
                f"`{self.instance_id}` did not answer `{type(frame).__name__}` in {timeout:g} s", kind="Timeout"
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
                answer.set_exception(ConnectionClosed(f"`{self.instance_id}` has closed its connection"))


def error_of(failed: Failed) -> PeppyError:
    """The error that a peer answered."""
    details = [Problem(**msgspec.structs.asdict(problem)) for problem in failed.details]
    return PeppyError(failed.message, kind=failed.kind, hint=failed.hint, details=details)


def failed(error: PeppyError) -> Failed:
    """An error as an answer."""
    details = tuple(
        frames.Problem(
            problem.kind, problem.message, problem.file, problem.line, problem.column, problem.path, problem.hint
        )
        for problem in error.details
    )
    return Failed(error.kind, error.message, error.hint, details)
