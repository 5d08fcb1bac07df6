"""Requests of the command line, each in a task of its own, each answered exactly once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from peppy.daemon.operation import Operation
from peppy.daemon.session import Session
from peppy.errors import PeppyError
from peppy.protocol.answers import Answer
from peppy.protocol.failures import failed
from peppy.protocol.frame import ConnectionClosed, ProtocolViolation
from peppy.protocol.frames import (
    Done,
    Failed,
    Frame,
    Info,
    MemberInfo,
    NodeInfo,
    NodeLogs,
    RepoList,
    StackList,
    TopicInfo,
    TopicList,
)

OPEN_REQUESTS = 4096
"""More than this many running requests of one peer end its connection."""

QUESTIONS = frozenset({Info, StackList, TopicList, TopicInfo, MemberInfo, NodeInfo, NodeLogs, RepoList})
"""Requests that change nothing are answered until the end."""

logger = logging.getLogger(__name__)
Request = TypeVar("Request", bound=Frame)
Handler = Callable[[Any, Operation], Awaitable[Answer]]


class Dispatcher:
    """Starts the handler of each request, cancels it, and turns its result or error into the answer."""

    def __init__(self, handlers: Mapping[type[Frame], Handler], log_path: str) -> None:
        """`log_path` is where a person finds the traceback of an internal error."""
        self._handlers = handlers
        self._log_path = log_path
        self._running: set[asyncio.Task[None]] = set()
        self._refusal: PeppyError | None = None

    def start(self, session: Session, request: Frame, request_id: int) -> None:
        """Serves a request. Raises ProtocolViolation when its id is in use or too many are open."""
        if request_id in session.operations:
            raise ProtocolViolation(f"the request id {request_id} is in use")
        if len(session.operations) >= OPEN_REQUESTS:
            raise ProtocolViolation(f"more than {OPEN_REQUESTS} requests are open")
        task = asyncio.get_running_loop().create_task(self._serve(session, request, request_id))
        session.operations[request_id] = task
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def cancel(self, session: Session, request_id: int) -> None:
        """Cancels a request of this peer; one that has been answered is none any more."""
        if (task := session.operations.get(request_id)) is not None:
            asyncio.get_running_loop().call_soon(task.cancel)  # after its first step, so that it answers

    async def end(self, spared: asyncio.Task[object] | None) -> None:
        """Refuses new requests but questions, cancels all but the `spared` one and waits until they have answered."""
        self._refusal = PeppyError("the peppy daemon is stopping", kind="Refused", hint="try again in a moment")
        await asyncio.sleep(0)  # a task that is cancelled before its first step would never answer
        others = [task for task in self._running if task is not spared]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    async def finished(self) -> None:
        """Waits until every request has been answered."""
        while self._running:
            await asyncio.wait(self._running)

    async def _serve(self, session: Session, request: Frame, request_id: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        operation = Operation(session, request_id, task.cancel)
        try:
            answer = await self._answer(request, operation)
        finally:
            session.operations.pop(request_id, None)
        try:
            session.send(answer, request_id=request_id)
        except PeppyError as error:  # too large for a frame
            session.send(failed(error), request_id=request_id)

    async def _answer(self, request: Frame, operation: Operation) -> Done | Failed:
        name = type(request).__name__
        try:
            if self._refusal is not None and type(request) not in QUESTIONS:
                raise self._refusal
            result = await self._handlers[type(request)](request, operation)
            return Done(msgspec.Raw(msgspec.msgpack.encode(result)))
        except asyncio.CancelledError:
            return Failed("Aborted", "aborted by user" if self._refusal is None else self._refusal.message)
        except PeppyError as error:
            if isinstance(error, ConnectionClosed):
                logger.warning("%s: %s", name, error.message)
            return failed(error)
        except Exception:
            logger.exception("%s failed", name)
            return Failed("Internal", f"`{name}` failed inside the daemon", f"see {self._log_path}")
