"""The control thread: one small thread that serves the daemon's socket, so that a busy event loop blocks nobody.

It answers attach requests and health probes, opens streams for subscriptions, passes on shutdown requests, and
connects again when the daemon has been away. What it touches of writers and subscriptions is safe from any thread.
"""

import errno
import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from peppy.errors import DaemonUnavailable, NodeStartupError, PeppyError
from peppy.model.types import canonical
from peppy.protocol import PROTOCOL_VERSION
from peppy.protocol.answers import Answer, Attached, ProbeAnswer, StreamOpened
from peppy.protocol.blocking import BlockingConnection, connect
from peppy.protocol.frame import ConnectionClosed, Received, close_all
from peppy.protocol.frames import (
    Attach,
    Attachment,
    AttachmentRefused,
    AttachmentStale,
    Done,
    DoorbellGone,
    Ending,
    Failed,
    Frame,
    Healthy,
    Hello,
    Probe,
    Ready,
    Refuse,
    RowLeft,
    Shutdown,
    StreamClose,
    StreamGone,
    StreamOpen,
    Subscribe,
    Unsubscribe,
    Welcome,
)
from peppy.ring import Claim, layout_hash
from peppy.runtime.config import RuntimeConfig
from peppy.runtime.publisher import TopicWriter
from peppy.runtime.standalone import StandaloneProgram
from peppy.runtime.subscription import Subscription

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between attempts to reconnect; each pause is twice the one before."""

HELLO_LIMIT = 10.0
"""Seconds that the daemon has to answer a hello."""

HEARTBEAT_STALE = 5.0
"""Seconds after which the status board's heartbeat no longer speaks for a living daemon."""


class ControlThread:
    """This node's side of its connection to the daemon. `state` is what the node says of itself after a reconnect."""

    def __init__(
        self,
        config: RuntimeConfig,
        version: str,
        shutdown: Callable[[], None],
        standalone: StandaloneProgram | None = None,
    ) -> None:
        self.config = config
        """What the node was told at its start; a standalone program is told by the daemon's welcome."""
        self._standalone = standalone
        self._version = version
        self._shutdown = shutdown
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._order = threading.Lock()  # a registration and its end are sent in the order in which they happened
        self._connection: BlockingConnection | None = None
        self._opening: BlockingConnection | None = None
        self._closing = threading.Event()
        self._asked: dict[int, TopicWriter | Subscription[Any]] = {}
        self._next_request = 1
        self._writers: dict[int, TopicWriter] = {}
        self._subscriptions: dict[int, Subscription[Any]] = {}
        self._doorbells: dict[int, int] = {}
        self._complaints: set[tuple[int, int]] = set()  # (subscription, stream) that could not be attached
        self._state = "starting"
        self.loop_ran_at = monotonic()
        self._thread = threading.Thread(target=self._run, name="peppy-control", daemon=True)

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect and serve. Raises DaemonUnavailable, or PeppyError when the daemon refuses this process."""
        self._connect(None)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether there is a daemon."""
        connection = self._connection
        return connection is not None and connection.closed is None

    def report_ready(self) -> None:
        """Tell the daemon that the node is connected and configured."""
        self._send(Ready())

    def report_healthy(self) -> None:
        """Tell the daemon that setup has returned."""
        self._state = "running"
        self._send(Healthy())

    def report_ending(self, error: str | None) -> None:
        """Tell the daemon that the process ends by itself; `error` is the last line of its traceback."""
        self._send(Ending(error))

    def close(self) -> None:
        """End the connection and the thread."""
        self._closing.set()
        with self._lock:
            connections = self._connection, self._opening
        for connection in connections:
            if connection is not None:
                connection.close()
        if self._thread.is_alive():
            self._thread.join()
        for doorbell_id in list(self._doorbells):
            self._forget_doorbell(doorbell_id)

    # --- what publishers and subscriptions ask for ----------------------------------------------------------------

    def check_process(self) -> None:
        """RuntimeError in a process forked from the node: connection, streams and subscriptions are its parent's."""
        if os.getpid() != self._process:
            raise RuntimeError("this process was forked from a node and must not use its publishers or subscriptions")

    def open_stream(self, writer: TopicWriter) -> None:
        """Register a stream that has just been made; readers that waited for it are attached by the daemon."""
        with self._order:
            self._writers[writer.stream_id] = writer
            self._register_stream(writer)

    def close_stream(self, writer: TopicWriter) -> None:
        """The stream is closed: readers take what is left."""
        with self._order:
            if self._writers.pop(writer.stream_id, None) is not None:
                self._send(StreamClose(writer.stream_id))

    def open_subscription(self, subscription: Subscription[Any]) -> None:
        """Register a subscription; it is told when the daemon knows it."""
        self.check_process()
        with self._order:
            self._subscriptions[subscription.subscription_id] = subscription
            self._register_subscription(subscription)

    def close_subscription(self, subscription: Subscription[Any]) -> None:
        """The subscription has given its rows up; its doorbell stays open until this has returned."""
        with self._order:
            if self._subscriptions.pop(subscription.subscription_id, None) is not None:
                self._send(Unsubscribe(subscription.subscription_id))

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            connection = self._connection
            assert connection is not None
            try:
                while True:
                    self._serve_safely(connection, connection.receive(None))
            except ConnectionClosed:
                connection.close()
            if self._closing.is_set() or not self._reconnect():
                return

    def _serve_safely(self, connection: BlockingConnection, received: Received) -> None:
        """Whatever goes wrong with one frame, the thread goes on: nobody else can be told to stop the node."""
        try:
            self._serve(connection, received)
        except ConnectionClosed:
            raise
        except Exception:
            print(f"[ERROR] `{type(received.frame).__name__}` of the daemon cannot be served", file=sys.stderr)
            traceback.print_exc()

    def _serve(self, connection: BlockingConnection, received: Received) -> None:
        match received.frame:
            case Done(result=result):
                registered = self._asked.pop(received.request_id, None)
                if isinstance(registered, TopicWriter):
                    registered.opened(msgspec.msgpack.decode(result, type=StreamOpened).waiting)
                elif registered is not None:
                    registered.registered(None)
            case Failed(kind=kind, message=message, hint=hint):
                if (registered := self._asked.pop(received.request_id, None)) is not None:
                    registered.registered(PeppyError(message, kind=kind, hint=hint))
            case Attach() as attach:
                connection.send(self._attach(attach, received.fds), received.request_id)
            case Attachment() as attachment:
                self._attachment(connection, attachment, received.fds)
            case AttachmentRefused() as refused:
                if (subscription := self._subscriptions.get(refused.subscription_id)) is not None:
                    subscription.refused(refused.stream_id, refused.producer_instance_id, refused.kind, refused.message)
            case StreamGone(subscription_id=number, stream_id=stream_id):
                if (subscription := self._subscriptions.get(number)) is not None:
                    subscription.stream_gone(stream_id)
            case RowLeft(stream_id=stream_id, row=row, ticket=ticket):
                if (writer := self._writers.get(stream_id)) is not None:
                    writer.release_row(row, ticket)
            case DoorbellGone(doorbell_id=doorbell_id):
                self._forget_doorbell(doorbell_id)
            case Probe():
                age = max(0, round((monotonic() - self.loop_ran_at) * 1000))
                connection.send(_done(ProbeAnswer(loop_age_ms=age)), received.request_id)
            case Shutdown():
                self._shutdown()
            case other:
                close_all(received.fds)
                if received.request_id:
                    refusal = Failed("NotSupported", f"`{type(other).__name__}` is not known")
                    connection.send(refusal, received.request_id)

    def _attach(self, attach: Attach, fds: tuple[int, ...]) -> Frame:
        if fds:
            if attach.doorbell_id in self._doorbells:
                os.close(fds[0])
            else:
                self._doorbells[attach.doorbell_id] = fds[0]
        writer = self._writers.get(attach.stream_id)
        if writer is None:
            return Failed("NotFound", f"stream `{attach.stream_id:016x}` is not open any more")
        doorbell = self._doorbells.get(attach.doorbell_id)
        if doorbell is None:  # it arrived `truncated`
            return Failed("NoDescriptors", f"`{self.config.node_instance.instance_id}` has no free file descriptor")
        try:
            return _done(Attached(claim=writer.reserve_row(doorbell, attach.history)))
        except PeppyError as error:
            return Failed(error.kind, error.message, error.hint)
        except (OSError, RuntimeError, ValueError) as error:
            return Failed("Refused", str(error))

    def _attachment(self, connection: BlockingConnection, frame: Attachment, fds: tuple[int, ...]) -> None:
        """Read one more stream. A row that cannot be used goes back, or it would be nobody's for ever."""
        stream_id, claim = frame.stream_id, Claim(*frame.claim)
        try:
            subscription = self._subscriptions.get(frame.subscription_id)
            if subscription is None:  # closed while the daemon could not be told
                connection.send(Unsubscribe(frame.subscription_id))
                return
            if any(held == stream_id for held, _, _ in subscription.held()):
                self._say_again(subscription)  # what it has: the second row goes back
                return
            reason = self._read(subscription, frame, fds, claim)
            if reason is not None:
                stale = AttachmentStale(frame.subscription_id, stream_id, claim.row, claim.ticket, reason or None)
                connection.send(stale)
        finally:
            close_all(fds)

    def _say_again(self, subscription: Subscription[Any]) -> None:
        with self._order:
            if subscription.subscription_id in self._subscriptions:
                self._register_subscription(subscription)

    def _read(
        self, subscription: Subscription[Any], frame: Attachment, fds: tuple[int, ...], claim: Claim
    ) -> str | None:
        """None when the stream is read now, else why it is not: "" when the row was no longer free."""
        attempt = (frame.subscription_id, frame.stream_id)
        try:
            if not fds:  # the frame arrived `truncated`: this process has no free descriptor
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            if not subscription.attach(frame.stream_id, frame.producer_instance_id, frame.qos, fds, claim):
                return ""
        except (OSError, ValueError) as error:
            if attempt not in self._complaints:
                self._complaints.add(attempt)
                where = f"topic `{subscription.topic}` of `{frame.producer_instance_id}`"
                print(f"[ERROR] cannot attach to {where}, trying again: {error}", file=sys.stderr, flush=True)
            return str(error)
        self._complaints.discard(attempt)
        return None

    def _forget_doorbell(self, doorbell_id: int) -> None:
        fd = self._doorbells.pop(doorbell_id, None)
        if fd is None:
            return
        for writer in list(self._writers.values()):
            writer.forget_doorbell(fd)
        os.close(fd)

    # --- connecting ----------------------------------------------------------------------------------------------

    def _connect(self, state: str | None) -> BlockingConnection:
        config = self.config
        connection = BlockingConnection(connect(Path(config.socket)))
        with self._lock:
            self._opening = connection  # `close` ends this attempt too
        hello = Hello(
            PROTOCOL_VERSION,
            self._version,
            layout_hash(),
            "node",
            os.getpid(),
            config.node_name,
            config.node_tag,
            config.node_instance.instance_id,
            state,
        )
        try:
            if self._closing.is_set():
                raise ConnectionClosed("the node is ending")
            connection.send(hello if self._standalone is None else self._standalone.introduced(hello))
            answer = connection.receive(HELLO_LIMIT).frame
            if isinstance(answer, Refuse):
                raise NodeStartupError(answer.message, kind=answer.kind, hint=answer.hint)
            if not isinstance(answer, Welcome):
                raise DaemonUnavailable(f"the daemon answered hello with `{type(answer).__name__}`")
            if self._standalone is not None and state is None:
                self.config = self._standalone.welcomed(config, answer)
            with self._lock:
                self._connection, self._opening = connection, None
        except (ConnectionClosed, TimeoutError) as error:
            connection.close()
            raise DaemonUnavailable(f"the daemon at `{config.socket}` does not answer") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _reconnect(self) -> bool:
        """Try until there is a daemon again; False when the node is to end instead.

        A daemon that refuses this node is none to it, however well it is (docs/reference/daemon.md, Re-adoption).
        """
        lost_at, pause, told = monotonic(), FIRST_PAUSE, False
        while not self._closing.wait(pause):
            pause = min(2 * pause, LONGEST_PAUSE)
            refused = False
            try:
                self._connect(self._state)
            except (PeppyError, OSError) as error:
                refused = isinstance(error, NodeStartupError)
                if refused and not told:
                    told = True
                    print(f"[WARNING] the daemon refuses this node: {error}", file=sys.stderr, flush=True)
            else:
                try:
                    self._register_again()
                except Exception:  # what could be registered is; the thread goes on in any case
                    traceback.print_exc()
                return True
            late = monotonic() - lost_at > self.config.lifecycle.daemon_grace_secs
            if late and (refused or not self._board_is_fresh()):
                self._shutdown()
                return False
        return False

    def _board_is_fresh(self) -> bool:
        from peppy.board import BoardReader  # on this rare path only

        home = Path(self.config.socket).parent.parent
        try:
            with BoardReader.open(home) as board:
                return board.snapshot().silent_seconds < HEARTBEAT_STALE
        except (PeppyError, OSError):
            return False

    def _register_again(self) -> None:
        if self._state == "running":
            self._send(Healthy())  # the first report may have been lost with the connection
        with self._order:
            self._asked.clear()
            for writer in self._writers.values():
                writer.release_unclaimed_rows()
                self._register_stream(writer)
            for subscription in self._subscriptions.values():
                subscription.find_dead_writers()
                self._register_subscription(subscription)

    def _register_stream(self, writer: TopicWriter) -> None:
        plan = writer.plan
        said = canonical(plan.message_format) if self._standalone is not None and plan.message_format else None
        frame = StreamOpen(writer.stream_id, writer.name, int(writer.qos), plan.schema_hash, 1, said)
        with writer.kept_open() as fds:
            if fds is not None:
                self._send(frame, fds, about=writer)

    def _register_subscription(self, subscription: Subscription[Any]) -> None:
        frame = Subscribe(
            subscription.subscription_id,
            subscription.link_id,
            subscription.topic,
            subscription.plan.schema_hash,
            subscription.held(),
        )
        self._send(frame, (subscription.doorbell,), about=subscription)

    # --- sending -------------------------------------------------------------------------------------------------

    def _send(
        self, frame: Frame, fds: tuple[int, ...] = (), about: TopicWriter | Subscription[Any] | None = None
    ) -> None:
        """Send a notice, or a request `about` something that is told of the answer.

        Without a daemon nothing is sent: whatever matters is registered again after the reconnect.
        """
        with self._lock:
            connection, number = self._connection, 0
            if about is not None:
                number, self._next_request = self._next_request, self._next_request + 1
                self._asked[number] = about
        if connection is None:
            return
        with suppress(ConnectionClosed, OSError):
            connection.send(frame, number, fds)


def _done(answer: Answer) -> Done:
    return Done(msgspec.Raw(msgspec.msgpack.encode(answer)))
