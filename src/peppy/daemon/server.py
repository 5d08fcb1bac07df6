"""The daemon's socket: who may speak, and where each frame goes (docs/design/protocol.md)."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from peppy.daemon.control_plane import ControlPlane
from peppy.daemon.dispatch import Dispatcher
from peppy.daemon.session import CliSession, NodeSession, StandaloneSession
from peppy.daemon.standalone import introduced
from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.model.text import quoted
from peppy.protocol import PROTOCOL_VERSION
from peppy.protocol.answers import Answer
from peppy.protocol.connection import Connection
from peppy.protocol.failures import failed
from peppy.protocol.frame import ConnectionClosed, ProtocolViolation, Received
from peppy.protocol.frames import (
    FROM_CLI,
    FROM_NODE,
    Cancel,
    Done,
    Ending,
    Failed,
    Frame,
    Hello,
    Refuse,
    TopicWatch,
    Welcome,
)
from peppy.protocol.streams import (
    AttachmentStale,
    StreamClose,
    StreamOpen,
    Subscribe,
    Unsubscribe,
)

HELLO_SECS = 5.0
BACKLOG = 512
ACCEPT_PAUSE_SECS = 0.1
"""How long nobody is accepted after the process ran out of descriptors."""

TOPIC_FRAMES = (StreamOpen, StreamClose, Subscribe, Unsubscribe, AttachmentStale, TopicWatch)

logger = logging.getLogger(__name__)


class Nodes(Protocol):
    """What the server needs to know about node processes."""

    def welcomes(self, instance_id: str, reference: Reference, pid: int) -> None:
        """Raises PeppyError unless process `pid` belongs to this instance."""
        ...

    def standalone_id(self, wanted: str | None, pid: int, state: str | None) -> str:
        """The id of a standalone program; PeppyError when it cannot have the one it wants."""
        ...

    def connected(self, session: NodeSession) -> None: ...

    def disconnected(self, session: NodeSession) -> None: ...

    def heard(self, session: NodeSession, frame: Frame) -> None: ...

    def topic(self, session: NodeSession | CliSession, frame: Frame, fds: tuple[int, ...]) -> Answer | None: ...


class Server:
    """Accepts peers on the socket and serves each in a task of its own."""

    def __init__(
        self, welcome: Welcome, layout_hash: int, dispatcher: Dispatcher, nodes: Nodes, control: ControlPlane
    ) -> None:
        """`welcome` is what every accepted peer gets; its settings are for standalone programs."""
        self._welcome = welcome
        self._layout_hash = layout_hash
        self._dispatcher = dispatcher
        self._nodes = nodes
        self._control = control
        self._listener: socket.socket | None = None
        self._path: Path | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the socket --------------------------------------------------------------------------------------------------

    def listen(self, path: Path) -> None:
        """Opens the socket for this user only; a stale one of an earlier daemon is removed. Raises PeppyError."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise PeppyError(f"cannot listen on `{path}`: {error.strerror}", kind="Refused") from error
        finally:
            os.umask(mask)
        listener.setblocking(False)
        self._listener, self._path = listener, path
        self._spawn(self._accept(listener))

    def close_door(self) -> None:
        """Lets nobody in any more; those who are in stay."""
        if self._listener is not None and self._path is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._path.unlink(missing_ok=True)
            self._listener = None

    async def close(self) -> None:
        """Ends all connections."""
        self.close_door()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while self._listener is listener:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                if self._listener is not listener:
                    return
                logger.warning("cannot accept a connection: %s", error.strerror)
                await asyncio.sleep(ACCEPT_PAUSE_SECS)
                continue
            self._spawn(self._serve(accepted))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- one connection ----------------------------------------------------------------------------------------------

    async def _serve(self, accepted: socket.socket) -> None:
        connection = Connection(accepted, frozenset({Hello}))
        session: NodeSession | CliSession | None = None
        try:
            session = await self._admit(connection)
            if session is not None:
                await connection.serve(partial(self._take, session), self._control.rest)
        except ProtocolViolation as error:
            logger.warning("connection of process %d closed: %s", connection.peer.pid, error.message)
        except ConnectionClosed:
            pass
        except Exception:
            logger.exception("connection of process %d failed", connection.peer.pid)
        finally:
            if session is not None:
                session.close()
                self._control.disconnected(session)
                if isinstance(session, NodeSession):
                    self._nodes.disconnected(session)
            connection.close()

    async def _admit(self, connection: Connection) -> NodeSession | CliSession | None:
        if connection.peer.uid != os.getuid():
            logger.warning("process %d of user %d was turned away", connection.peer.pid, connection.peer.uid)
            return None
        try:
            async with asyncio.timeout(HELLO_SECS):
                hello = (await connection.receive()).frame
        except TimeoutError:
            raise ProtocolViolation(f"no hello within {HELLO_SECS:g} s") from None
        assert isinstance(hello, Hello)
        try:
            session = self._session(connection, hello)
        except PeppyError as error:
            logger.warning("hello of process %d refused: %s", connection.peer.pid, error.message)
            connection.send(Refuse(error.kind, error.message, error.hint))
            return None
        connection.restrict(FROM_NODE if isinstance(session, NodeSession) else FROM_CLI)
        session.send(self._welcome_of(session))
        if isinstance(session, NodeSession):
            self._control.connected(session, again=session.state is not None)
            self._nodes.connected(session)
        return session

    def _welcome_of(self, session: NodeSession | CliSession) -> Welcome:
        if isinstance(session, StandaloneSession):
            return msgspec.structs.replace(self._welcome, instance_id=session.instance_id)
        return msgspec.structs.replace(self._welcome, settings=None)

    def _session(self, connection: Connection, hello: Hello) -> NodeSession | CliSession:
        if hello.protocol_version != PROTOCOL_VERSION:
            raise PeppyError(
                f"this process speaks protocol `{hello.protocol_version}` (peppy {hello.library_version}), "
                f"the daemon speaks `{PROTOCOL_VERSION}` (peppy {self._welcome.daemon_version})",
                kind="VersionMismatch",
                hint="run `peppy service stop`",
            )
        if hello.role == "cli":
            return CliSession(connection)
        if hello.role not in ("node", "standalone"):
            raise PeppyError(f"there is no role {quoted(hello.role)}", kind="ProtocolViolation")
        reference = _reference(hello)
        if hello.layout_hash != self._layout_hash:
            raise PeppyError(
                f"`{reference}` was built with peppy {hello.library_version}, whose streams have another layout "
                f"than those of the daemon (peppy {self._welcome.daemon_version})",
                kind="RuntimeIncompatible",
                hint=f"run `peppy node build --force {reference}`",
            )
        pid = connection.peer.pid
        if hello.role == "standalone":
            instance_id = self._nodes.standalone_id(hello.instance_id, pid, hello.state)
            return StandaloneSession(connection, introduced(hello, reference, instance_id, pid), hello.state)
        if not hello.instance_id:
            raise PeppyError("the hello of a node names no instance", kind="ProtocolViolation")
        self._nodes.welcomes(hello.instance_id, reference, pid)
        return NodeSession(connection, reference, hello.instance_id, hello.state)

    def _take(self, session: NodeSession | CliSession, received: Received) -> None:
        frame, request_id = received.frame, received.request_id
        if self._control.concerns(type(frame)):
            self._control.handle(session, received)
            return
        match frame:
            case Hello():
                raise ProtocolViolation("a second hello")
            case Cancel():
                self._dispatcher.cancel(session, request_id)
            case Done() | Failed():
                session.settle(frame, request_id)
            case _ if isinstance(frame, TOPIC_FRAMES):
                self._topic(session, received)
            case _ if isinstance(session, NodeSession):
                if isinstance(frame, Ending):
                    self._control.leaving(session)
                self._nodes.heard(session, frame)
            case _:
                self._dispatcher.start(session, frame, request_id)

    def _topic(self, session: NodeSession | CliSession, received: Received) -> None:
        """The broker takes over the descriptors. A refused request is answered, a refused notice ends the session."""
        try:
            answer = self._nodes.topic(session, received.frame, received.fds)
        except PeppyError as error:
            if received.request_id == 0:
                raise ProtocolViolation(error.message) from None
            session.send(failed(error), request_id=received.request_id)
            return
        if answer is not None:
            session.answer(answer, received.request_id)


def _reference(hello: Hello) -> Reference:
    reference = Reference.parse(f"{hello.name or ''}:{hello.tag or ''}")
    if reference is None:
        raise PeppyError("the hello of a node names no node", kind="ProtocolViolation")
    return reference
