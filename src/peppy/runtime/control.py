"""The control thread: one small thread that serves the daemon's socket, so that a busy event loop blocks nobody.

It answers attach requests and health probes, opens streams for subscriptions, passes on shutdown requests, and
connects again when the daemon has been away. What it touches of writers and subscriptions is safe from any thread.
"""

import errno
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from peppy.errors import DaemonUnavailable, NodeStartupError, PeppyError
from peppy.protocol import PROTOCOL_VERSION
from peppy.protocol.answers import Answer, Attached, ProbeAnswer
from peppy.protocol.blocking import BlockingConnection, connect
from peppy.protocol.frame import ConnectionClosed, Received
from peppy.protocol.frames import (
    Attach,
    Attachment,
    AttachmentRefused,
    AttachmentStale,
    Done,
    DoorbellGone,
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
from peppy.runtime.subscription import Subscription

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between attempts to reconnect; each pause is twice the one before."""

HELLO_LIMIT = 10.0
"""Seconds that the daemon has to answer a hello."""

HEARTBEAT_STALE = 5.0
"""Seconds after which the status board's heartbeat no longer speaks for a living daemon."""


class ControlThread:
    """This node's side of its connection to the daemon. `state` is what the node says of itself after a reconnect."""

    def __init__(self, config: RuntimeConfig, version: str, shutdown: Callable[[], None]) -> None:
        self._config = config
        self._version = version
        self._shutdown = shutdown
        self._lock = threading.Lock()
        self._connection: BlockingConnection | None = None
        self._closing = threading.Event()
        self._asked: dict[int, TopicWriter | Subscription[Any]] = {}
        self._next_request = 1
        self._writers: dict[int, TopicWriter] = {}
        self._subscriptions: dict[int, Subscription[Any]] = {}
        self._doorbells: dict[int, int] = {}
        self._state = "starting"
        self.loop_ran_at = monotonic()
        self._thread = threading.Thread(target=self._run, name="peppy-control", daemon=True)

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect and serve. Raises DaemonUnavailable, or PeppyError when the daemon refuses this process."""
        self._connection = self._connect(None)
        self._thread.start()

    def report_ready(self) -> None:
        """Tell the daemon that the node is connected and configured."""
        self._send(Ready())

    def report_healthy(self) -> None:
        """Tell the daemon that setup has returned."""
        self._state = "running"
        self._send(Healthy())

    def close(self) -> None:
        """Say good-bye and end the thread."""
        self._closing.set()
        connection = self._connection
        if connection is not None:
            connection.close()
        if self._thread.is_alive():
            self._thread.join()
        for fd in self._doorbells.values():
            os.close(fd)
        self._doorbells.clear()

    # --- what publishers and subscriptions ask for ----------------------------------------------------------------

    def open_stream(self, writer: TopicWriter) -> None:
        """Register a stream that has just been made; readers that waited for it are attached by the daemon."""
        with self._lock:
            self._writers[writer.stream_id] = writer
        self._register_stream(writer)

    def close_stream(self, writer: TopicWriter) -> None:
        """The stream is closed: readers take what is left."""
        with self._lock:
            self._writers.pop(writer.stream_id, None)
        self._send(StreamClose(writer.stream_id))

    def open_subscription(self, subscription: Subscription[Any]) -> None:
        """Register a subscription; it is told when the daemon knows it."""
        with self._lock:
            self._subscriptions[subscription.subscription_id] = subscription
        self._register_subscription(subscription)

    def close_subscription(self, subscription: Subscription[Any]) -> None:
        """The subscription has given its rows up."""
        with self._lock:
            self._subscriptions.pop(subscription.subscription_id, None)
        self._send(Unsubscribe(subscription.subscription_id))

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            connection = self._connection
            assert connection is not None
            try:
                while True:
                    self._serve(connection, connection.receive(None))
            except (ConnectionClosed, OSError):
                connection.close()
            if self._closing.is_set() or not self._reconnect():
                return

    def _serve(self, connection: BlockingConnection, received: Received) -> None:
        match received.frame:
            case Done():
                if (registered := self._asked.pop(received.request_id, None)) is not None:
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
                    subscription.refused(refused.producer_instance_id, refused.kind, refused.message)
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
                connection.send(Failed("NotSupported", f"`{type(other).__name__}` is not known"), received.request_id)

    def _attach(self, attach: Attach, fds: tuple[int, ...]) -> Frame:
        if fds:
            if attach.doorbell_id in self._doorbells:
                os.close(fds[0])
            else:
                self._doorbells[attach.doorbell_id] = fds[0]
        writer = self._writers.get(attach.stream_id)
        doorbell = self._doorbells.get(attach.doorbell_id)
        if writer is None or doorbell is None:
            return Failed("NotFound", f"stream `{attach.stream_id:016x}` is not open any more")
        try:
            return _done(Attached(claim=writer.reserve_row(doorbell, attach.history)))
        except PeppyError as error:
            return Failed(error.kind, error.message, error.hint)
        except (OSError, RuntimeError) as error:
            return Failed("Refused", str(error))

    def _attachment(self, connection: BlockingConnection, frame: Attachment, fds: tuple[int, ...]) -> None:
        subscription = self._subscriptions.get(frame.subscription_id)
        try:
            if subscription is None:
                return
            if not fds:  # the frame arrived `truncated`: this process has no free descriptor
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            claim = Claim(*frame.claim)
            if not subscription.attach(frame.stream_id, frame.producer_instance_id, frame.qos, fds, claim):
                connection.send(AttachmentStale(frame.subscription_id, frame.stream_id, claim.row, claim.ticket))
        except OSError as error:
            message = f"cannot attach to topic `{subscription.topic if subscription else ''}`: {error}"
            print(f"[ERROR] {message}", file=sys.stderr, flush=True)
        finally:
            for fd in fds:
                os.close(fd)

    def _forget_doorbell(self, doorbell_id: int) -> None:
        fd = self._doorbells.pop(doorbell_id, None)
        if fd is None:
            return
        for writer in list(self._writers.values()):
            writer.forget_doorbell(fd)
        os.close(fd)

    # --- connecting ----------------------------------------------------------------------------------------------

    def _connect(self, state: str | None) -> BlockingConnection:
        config = self._config
        connection = BlockingConnection(connect(Path(config.socket)))
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
            connection.send(hello)
            answer = connection.receive(HELLO_LIMIT).frame
            if isinstance(answer, Refuse):
                raise NodeStartupError(answer.message, kind=answer.kind, hint=answer.hint)
            if not isinstance(answer, Welcome):
                raise DaemonUnavailable(f"the daemon answered hello with `{type(answer).__name__}`")
        except (ConnectionClosed, TimeoutError) as error:
            connection.close()
            raise DaemonUnavailable(f"the daemon at `{config.socket}` does not answer") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _reconnect(self) -> bool:
        """Try until there is a daemon again; False when the node is to end instead."""
        lost_at, pause = monotonic(), FIRST_PAUSE
        while not self._closing.wait(pause):
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                self._connection = self._connect(self._state)
            except PeppyError as error:
                if not isinstance(error, DaemonUnavailable) and pause == 2 * FIRST_PAUSE:
                    print(f"[WARNING] {error}", file=sys.stderr, flush=True)
                if monotonic() - lost_at > self._config.lifecycle.daemon_grace_secs and not self._board_is_fresh():
                    self._shutdown()
                    return False
                continue
            self._register_again()
            return True
        return False

    def _board_is_fresh(self) -> bool:
        from peppy.board import BoardReader  # on this rare path only

        home = Path(self._config.socket).parent.parent
        try:
            with BoardReader.open(home) as board:
                return board.snapshot().silent_seconds < HEARTBEAT_STALE
        except (PeppyError, OSError):
            return False

    def _register_again(self) -> None:
        with self._lock:
            self._asked.clear()
            writers, subscriptions = list(self._writers.values()), list(self._subscriptions.values())
        for writer in writers:
            self._register_stream(writer)
        for subscription in subscriptions:
            subscription.find_dead_writers()
            self._register_subscription(subscription)

    def _register_stream(self, writer: TopicWriter) -> None:
        frame = StreamOpen(writer.stream_id, writer.name, int(writer.qos), writer.plan.schema_hash, 1)
        self._send(frame, writer.descriptors(), about=writer)

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
