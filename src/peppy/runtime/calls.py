"""Calls, goals and questions that this process asks others (docs/reference/services_actions.md, Timeouts).

A call begins and ends on the event loop; what the daemon says of it arrives on the control thread, which hands over
answers only. Whatever was not acknowledged is sent again to the next daemon: nobody can have run it.
"""

import asyncio
import math
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from peppy.codec import EncodedPayload, Gathered
from peppy.errors import PeppyError
from peppy.loop import Turn, post
from peppy.protocol.answers import Answer
from peppy.protocol.calls import (
    Acknowledged,
    Answered,
    Call,
    CallFailed,
    Decided,
    GetResult,
    Goal,
    GoalResult,
    Withdraw,
)
from peppy.protocol.frame import Received, close_all
from peppy.protocol.frames import Frame
from peppy.protocol.payloads import NOTHING, Packed, pack, pack_pieces
from peppy.runtime.link import Link
from peppy.runtime.subject import Subject

IN_FLIGHT = 1024
"""Calls and goals of one process that are under way; the next one waits."""

LONGEST_SECS = 1e9
"""A longer timeout is taken as this one, thirty years: later deadlines do not fit their frames."""

A = TypeVar("A", bound=Answer)


class _Exchange:
    """One call under way. `generation` is that of the connection it was last sent on, 0 before."""

    __slots__ = ("acknowledged", "fds", "frame", "future", "generation", "payload", "subject")

    def __init__(
        self,
        frame: Call | Goal | GetResult,
        subject: Subject,
        payload: Packed,
        fds: tuple[int, ...],
        future: Turn[Received],
    ) -> None:
        self.frame = frame
        self.subject = subject
        self.payload = payload
        self.fds = fds
        self.future = future
        self.generation = 0
        self.acknowledged: str | None = None

    def late(self) -> PeppyError:
        """Why there is no answer at the deadline."""
        if isinstance(self.frame, GetResult):
            return self.subject.no_result()
        if self.acknowledged is not None:
            return self.subject.not_answered(self.acknowledged)
        return self.subject.not_acknowledged(had_daemon=self.generation > 0)


class _Question:
    """A request that is asked again after a reconnect; `generation` as that of a call."""

    __slots__ = ("frame", "future", "generation")

    def __init__(self, frame: Frame, future: "asyncio.Future[Answer]") -> None:
        self.frame = frame
        self.future = future
        self.generation = 0


class Calls:
    """The caller's side of this process. Its coroutines belong to the node's event loop."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._calls: dict[int, _Exchange] = {}
        self._questions: set[_Question] = set()
        self._last_call = secrets.randbits(48)  # producers remember the calls of an earlier process of this name
        self._given_up: list[int] = []  # call ids; the daemon could not hear it yet
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Calls are made on this loop from now on."""
        self._loop = loop

    def deadline(self, timeout: float) -> float:
        """The end of a budget that begins now, on the clock of the loop. ValueError for no finite time from 0 on."""
        if not (math.isfinite(timeout) and timeout >= 0):
            raise ValueError(f"`timeout` is `{timeout}`, it must be a finite number of seconds from 0 on")
        return self._node_loop().time() + min(timeout, LONGEST_SECS)

    async def exchange(
        self,
        frame: Call | Goal | GetResult,
        subject: Subject,
        deadline: float,
        payload: Packed = NOTHING,
        fds: tuple[int, ...] = (),
    ) -> Received:
        """Send a request and wait for its one answer: `Answered`, `Decided` or `GoalResult`, whose descriptors are the
        caller's. Numbers, deadline and payload are put into `frame` here; `payload` is closed, `fds` stay the caller's.

        Raises ServiceUnreachable, ServiceTimeout, ServiceError and SchemaMismatch (docs/reference/services_actions.md,
        Outcomes). A call that is given up, by its deadline or by cancelling, is withdrawn.
        """
        try:
            if isinstance(frame, GetResult):
                return await self._exchange(frame, subject, deadline, payload, fds)
            await self._enter(subject, deadline)
            try:
                frame.beside = payload.beside
                return await self._exchange(frame, subject, deadline, payload, fds)
            finally:
                self._leave()
        finally:
            payload.close()

    async def ask(self, frame: Frame, answer: type[A], subject: Subject, deadline: float) -> A:
        """Ask the daemon, again after a reconnect; the answer of the type that belongs to `frame`.

        Raises PeppyError as the daemon says, ServiceTimeout at the deadline, ServiceUnreachable when there is no
        daemon then.
        """
        loop = self._node_loop()
        question = _Question(frame, loop.create_future())
        timer = loop.call_at(deadline, self._question_is_late, question, subject)
        try:
            with self._lock:
                self._questions.add(question)
                self._put(question)
            found = await question.future
        finally:
            timer.cancel()
            with self._lock:
                self._questions.discard(question)
        assert isinstance(found, answer)
        return found

    # --- on the loop -------------------------------------------------------------------------------------------------

    def _node_loop(self) -> asyncio.AbstractEventLoop:
        """The node's: who waits in another one is told so by the first future."""
        assert self._loop is not None, "calls have no loop before `start`"
        return self._loop

    async def _exchange(
        self,
        frame: Call | Goal | GetResult,
        subject: Subject,
        deadline: float,
        payload: Packed,
        fds: tuple[int, ...],
    ) -> Received:
        loop = self._node_loop()
        future: Turn[Received] = Turn(loop=loop)
        frame.deadline_ns = int(deadline * 1e9)
        call = _Exchange(frame, subject, payload, fds, future)
        timer = loop.call_at(deadline, self._is_late, call)
        try:
            with self._lock:
                self._last_call += 1
                frame.call_id = self._last_call
                self._calls[frame.call_id] = call
                self._send(call)
            return await future
        except asyncio.CancelledError:
            _drop(future)
            raise
        finally:
            timer.cancel()
            self._withdraw(call)

    def _is_late(self, call: _Exchange) -> None:
        if not call.future.done():
            call.future.set_exception(call.late())

    def _question_is_late(self, question: _Question, subject: Subject) -> None:
        if question.future.done():
            return
        late = subject.not_confirmed() if self._link.connected else subject.not_acknowledged(had_daemon=False)
        question.future.set_exception(late)

    def _withdraw(self, call: _Exchange) -> None:
        """Give up what has no answer yet."""
        with self._lock:
            call_id = call.frame.call_id
            if self._calls.pop(call_id, None) is None or not call.generation:
                return
            if not self._link.send(Withdraw(call_id), only_on=call.generation):
                self._given_up.append(call_id)

    async def _enter(self, subject: Subject, deadline: float) -> None:
        """Wait, inside the budget, until there are fewer than 1 024 calls under way."""
        if self._in_flight < IN_FLIGHT:
            self._in_flight += 1
            return
        loop = self._node_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_at(deadline, _fail, turn, subject.not_sent(IN_FLIGHT))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave()
            raise
        finally:
            timer.cancel()

    def _leave(self) -> None:
        """Let the next one in."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._in_flight -= 1

    # --- on the control thread ---------------------------------------------------------------------------------------

    def frames(self) -> Mapping[type[Frame], Callable[[Received], Frame | None]]:
        """What the daemon says of calls, and who serves it."""
        served: dict[type[Frame], Callable[[Received], Frame | None]] = dict.fromkeys(
            (Answered, CallFailed, Decided, GoalResult), self._ended
        )
        return {Acknowledged: self._acknowledged, **served}

    def connection_lost(self) -> None:
        """Calls that a producer has taken get no answer any more; the others are sent to the next daemon."""
        with self._lock:
            lost = [call for call in self._calls.values() if call.acknowledged is not None]
            for call in lost:
                del self._calls[call.frame.call_id]
                self._given_up.append(call.frame.call_id)
        for call in lost:
            assert call.acknowledged is not None
            self._on_loop(_fail, call.future, call.subject.lost(call.acknowledged))

    def register_again(self) -> None:
        """Send what this daemon has not heard of."""
        with self._lock:
            generation = self._link.generation
            given_up, self._given_up = self._given_up, []
            for call_id in given_up:  # it may be the same daemon: a goal that it lets in would run for nobody
                self._link.send(Withdraw(call_id))
            for call in self._calls.values():
                if call.acknowledged is None and call.generation != generation:
                    self._send(call)
            for question in self._questions:
                if question.generation != generation:
                    self._put(question)

    def _acknowledged(self, received: Received) -> None:
        frame = received.frame
        assert isinstance(frame, Acknowledged)
        with self._lock:
            if (call := self._calls.get(frame.call_id)) is not None:
                call.acknowledged = frame.instance_id

    def _ended(self, received: Received) -> None:
        frame = received.frame
        assert isinstance(frame, Answered | CallFailed | Decided | GoalResult)
        with self._lock:
            call = self._calls.pop(frame.call_id, None)
        if call is None or not self._on_loop(_finish, call, received):
            close_all(received.fds)

    def _send(self, call: _Exchange) -> None:
        """Under the lock: nobody sends it twice to one daemon."""
        payload = call.payload
        if generation := self._link.send(call.frame, (*call.fds, *payload.fds), payload.inside):
            call.generation = generation

    def _put(self, question: _Question) -> None:
        """Under the lock, as calls."""

        def answered(answer: Answer | PeppyError | None) -> None:
            if isinstance(answer, PeppyError):
                self._on_loop(_fail, question.future, answer)
            elif answer is not None:
                self._on_loop(_succeed, question.future, answer)

        if generation := self._link.request(question.frame, answered):
            question.generation = generation

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> bool:
        """False when the loop is closed: nobody waits any more."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):
                post(loop, callback, *arguments)
                return True
        return False


def packed(payload: EncodedPayload, what: str) -> Packed:
    """An encoded payload that is ready to travel. ValueError above 256 MiB, naming `what`, size and limit."""
    if isinstance(payload, Gathered):
        return pack_pieces([(payload.head, 0), *payload.parts], payload.length, what)
    return pack(payload, what)


def _finish(call: _Exchange, received: Received) -> None:
    frame, future = received.frame, call.future
    if future.done():  # given up meanwhile
        close_all(received.fds)
    elif isinstance(frame, CallFailed):
        future.set_exception(call.subject.failed(frame))
    elif isinstance(frame, Answered) and frame.error is not None:
        close_all(received.fds)
        future.set_exception(call.subject.returned(frame.instance_id, frame.error))
    else:
        future.wake(received)


def _drop(future: "asyncio.Future[Received]") -> None:
    """The answer came, but whoever waited has been cancelled."""
    if future.done() and not future.cancelled() and future.exception() is None:
        close_all(future.result().fds)


def _succeed(future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)


def _fail(future: "asyncio.Future[Any]", error: PeppyError) -> None:
    if not future.done():
        future.set_exception(error)
