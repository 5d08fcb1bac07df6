"""One conversation with the daemon, blocking (docs/design/protocol.md, Roles: `cli`)."""

import itertools
import os
import select
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from peppy import __version__
from peppy.client.autostart import start_daemon
from peppy.client.interrupt import Interrupts
from peppy.errors import DaemonUnavailable, PeppyError
from peppy.model.home import daemon_log, daemon_socket
from peppy.protocol import PROTOCOL_VERSION
from peppy.protocol.blocking import BlockingConnection, DaemonNotRunning, connect
from peppy.protocol.calls import Acknowledged, Answered, CallFailed, Decided, FeedbackEnd, GoalResult
from peppy.protocol.failures import error_of
from peppy.protocol.frame import ConnectionClosed, Received, close_all
from peppy.protocol.frames import (
    Cancel,
    Done,
    Failed,
    Frame,
    Hello,
    Output,
    Refuse,
    Welcome,
)
from peppy.protocol.streams import Attachment, AttachmentRefused, StreamGone

HELLO_SECS = 5.0
"""How long the daemon may take to answer a hello."""

CANCEL_SECS = 30.0
"""How long a cancelled operation may take to clean up."""

_OF_TOPICS = (Attachment, AttachmentRefused, StreamGone)
_OF_CALLS = (Acknowledged, Answered, CallFailed, Decided, GoalResult, FeedbackEnd)
_NOTICES = (*_OF_TOPICS, *_OF_CALLS)
_FROM_DAEMON = frozenset({Welcome, Refuse, Done, Failed, Output, *_NOTICES})


class Client:
    """A connection in the role `cli`; use it as a context manager. Not for several threads at once."""

    def __init__(self, connection: BlockingConnection, welcome: Welcome) -> None:
        self.welcome = welcome
        self._connection = connection
        self._request_ids = itertools.count(1)
        self._call_ids = itertools.count(1)
        self._notices: deque[Received] = deque()
        self._begun: set[int] = set()

    @classmethod
    def connect(cls, home: Path, *, autostart: bool, on_notice: Callable[[str], None]) -> "Client":
        """Say hello to the daemon of `home`, starting it first when none listens and `autostart` is set.

        `on_notice` gets the line that says so. Raises `DaemonUnavailable`, and `PeppyError` of kind `VersionMismatch`
        when the daemon speaks another version of the protocol.
        """
        try:
            connected = connect(daemon_socket(home))
        except DaemonNotRunning:
            if not autostart:
                raise
            pid = start_daemon(home)
            on_notice(f"started the peppy daemon (pid {pid}, log {_shown(daemon_log(home))})")
            connected = connect(daemon_socket(home))
        connection = BlockingConnection(connected, _FROM_DAEMON)
        try:
            return cls(connection, _hello(connection))
        except BaseException:
            connection.close()
            raise

    def call(
        self,
        request: Frame,
        *,
        timeout: float | None,
        on_output: Callable[[Output], None] | None = None,
        fds: tuple[int, ...] = (),
    ) -> Any:
        """Ask and wait for the answer, an instance of `request.Answer`; `on_output` gets what comes meanwhile.

        `fds` travel with the request and stay the caller's. `timeout` in seconds is for requests that the daemon
        answers at once; None leaves the limit to the daemon. Raises what the daemon answers as `PeppyError`, kind
        `Timeout` after the timeout, `DaemonUnavailable` when the daemon ends. The first Ctrl-C cancels the request and
        raises KeyboardInterrupt after its clean-up, at most 30 s later; the second one raises it at once.
        """
        kind = type(request)
        assert kind.Answer is not None, f"`{kind.__name__}` is no request"
        request_id = next(self._request_ids)
        try:
            with Interrupts() as interrupts:
                self._connection.send(request, request_id, fds)
                frame = self._answer(request_id, kind.__name__, timeout, on_output, interrupts)
        except ConnectionClosed as error:
            raise _lost(f"the peppy daemon did not answer `{kind.__name__}`", error) from None
        if isinstance(frame, Failed):
            raise error_of(frame)
        return _result(frame, kind)

    def begin(self, request: Frame) -> int:
        """Ask without waiting: `notice` brings the `Done` or `Failed` with this request id. Raises as `tell`."""
        request_id = next(self._request_ids)
        self._begun.add(request_id)
        self._send(request, request_id)
        return request_id

    def tell(self, notice: Frame, fds: tuple[int, ...] = (), payload: bytes = b"") -> None:
        """Say something that has no answer of its own; `fds` stay the caller's. Raises `DaemonUnavailable`."""
        self._send(notice, 0, fds, payload)

    def new_call_id(self) -> int:
        """A number for a call, a goal or a question for a result."""
        return next(self._call_ids)

    def _send(self, frame: Frame, request_id: int, fds: tuple[int, ...] = (), payload: bytes = b"") -> None:
        try:
            self._connection.send(frame, request_id, fds, payload)
        except ConnectionClosed as error:
            raise _lost(f"`{type(frame).__name__}` did not reach the peppy daemon", error) from None

    def fileno(self) -> int:
        """What becomes readable when a notice comes; one that came during a call waits inside: ask `notice` first."""
        return self._connection.fileno()

    def notice(self) -> Received | None:
        """A notice of the daemon about a watched topic, a call or a goal, or the answer to a request that was begun, if
        there is one; its descriptors are the caller's then.

        Raises `DaemonUnavailable` when the daemon has ended.
        """
        try:
            while not self._notices:
                self._sort_in(self._connection.receive(0))
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            raise _lost("the peppy daemon has gone", error) from None
        return self._notices.popleft()

    def close(self) -> None:
        """End the conversation; a request that runs goes on without us."""
        self._connection.close()
        while self._notices:
            close_all(self._notices.popleft().fds)

    def _sort_in(self, received: Received) -> None:
        awaited = isinstance(received.frame, Done | Failed) and received.request_id in self._begun
        if awaited or isinstance(received.frame, _NOTICES):
            self._begun.discard(received.request_id)
            self._notices.append(received)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(
        self,
        request_id: int,
        name: str,
        timeout: float | None,
        on_output: Callable[[Output], None] | None,
        interrupts: Interrupts,
    ) -> Done | Failed:
        deadline = None if timeout is None else time.monotonic() + timeout
        cancelled = False
        while True:
            received = self._next(deadline, interrupts)
            if interrupts.happened():
                cancelled, deadline = True, time.monotonic() + CANCEL_SECS
                self._connection.send(Cancel(), request_id)
            elif received is None and deadline is not None and time.monotonic() >= deadline:
                if cancelled:
                    raise KeyboardInterrupt
                self._connection.send(Cancel(), request_id)
                raise PeppyError(
                    f"the peppy daemon did not answer `{name}` within {timeout:g} s",
                    kind="Timeout",
                    hint="run peppy service status",
                )
            if received is None:
                continue
            if received.request_id != request_id:
                self._sort_in(received)
                continue
            match received.frame:
                case Output() as output:
                    if on_output:
                        on_output(output)
                case Done() | Failed() as answer:
                    if cancelled:
                        raise KeyboardInterrupt
                    return answer
                case _:
                    continue

    def _next(self, deadline: float | None, interrupts: Interrupts) -> Received | None:
        """The next frame; None when there is an interrupt or the deadline has passed."""
        try:
            return self._connection.receive(0)
        except TimeoutError:
            pass
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        poll.register(interrupts, select.POLLIN)
        poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000)
        return None


def _hello(connection: BlockingConnection) -> Welcome:
    try:
        connection.send(Hello(PROTOCOL_VERSION, __version__, 0, "cli", os.getpid()))
        frame = connection.receive(HELLO_SECS).frame
    except TimeoutError:
        raise _no_welcome(f"no answer within {HELLO_SECS:g} s") from None
    except ConnectionClosed as error:
        raise _no_welcome(error.message) from None
    if isinstance(frame, Refuse):
        raise error_of(frame)
    if not isinstance(frame, Welcome):
        raise _no_welcome(f"it began with `{type(frame).__name__}`")
    if frame.protocol_version != PROTOCOL_VERSION:
        raise PeppyError(
            f"peppy {__version__} speaks protocol {PROTOCOL_VERSION}, "
            f"the daemon {frame.daemon_version} speaks protocol {frame.protocol_version}",
            kind="VersionMismatch",
            hint="run peppy service stop",
        )
    return frame


def _no_welcome(reason: str) -> DaemonUnavailable:
    return DaemonUnavailable(
        f"the peppy daemon did not welcome us: {reason}", kind="DaemonUnreachable", hint="run peppy service status"
    )


def _lost(what: str, error: ConnectionClosed) -> DaemonUnavailable:
    return DaemonUnavailable(f"{what}: {error.message}", kind="DaemonUnreachable", hint="run peppy service status")


def _result(answer: Done, kind: type[Frame]) -> object:
    try:
        return msgspec.msgpack.decode(answer.result, type=kind.Answer)
    except msgspec.MsgspecError as error:
        raise PeppyError(
            f"the answer to `{kind.__name__}` cannot be decoded: {error}",
            kind="VersionMismatch",
            hint="run peppy service stop",
        ) from None


def _shown(path: Path) -> str:
    """The path with the user's home directory as `~`."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)
