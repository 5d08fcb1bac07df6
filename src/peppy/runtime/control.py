"""The control thread: one small thread that serves the daemon's socket, so that a busy event loop blocks nobody.

It connects, answers health probes, passes on shutdown requests, and connects again when the daemon has been away. All
other frames are served by the parts: `streams.py`, `endpoints.py`, `calls.py` and those that are added.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Protocol

import msgspec

from peppy.errors import DaemonUnavailable, NodeStartupError, PeppyError
from peppy.protocol import PROTOCOL_VERSION
from peppy.protocol.answers import ProbeAnswer
from peppy.protocol.blocking import BlockingConnection, connect
from peppy.protocol.frame import ConnectionClosed, Received, close_all
from peppy.protocol.frames import Done, Ending, Failed, Frame, Healthy, Hello, Probe, Ready, Refuse, Shutdown, Welcome
from peppy.ring import layout_hash
from peppy.runtime.calls import Calls
from peppy.runtime.config import RuntimeConfig
from peppy.runtime.endpoints import Endpoints
from peppy.runtime.link import Link
from peppy.runtime.standalone import StandaloneProgram
from peppy.runtime.streams import Streams

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between attempts to reconnect; each pause is twice the one before."""

HELLO_LIMIT = 10.0
"""Seconds that the daemon has to answer a hello."""

HEARTBEAT_STALE = 5.0
"""Seconds after which the status board's heartbeat no longer speaks for a living daemon."""


class Part(Protocol):
    """Serves some of the daemon's frames; every method runs on the control thread."""

    def frames(self) -> Mapping[type[Frame], Callable[[Received], Frame | None]]:
        """Who serves which frame: owns the descriptors that came, and returns the answer if it was a request."""
        ...

    def connection_lost(self) -> None:
        """The daemon is gone; called before the thread tries to reconnect."""

    def register_again(self) -> None:
        """Tell the daemon, which may be another, what there is."""


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
        self._lock = threading.Lock()
        self._connection: BlockingConnection | None = None
        self._opening: BlockingConnection | None = None
        self._closing = threading.Event()
        self._parts: list[Part] = []
        self._serving: dict[type[Frame], Callable[[Received], Frame | None]] = {
            Probe: self._probe,
            Shutdown: self._shutdown_requested,
        }
        self.link = Link()
        self.streams = Streams(self.link, says_formats=standalone is not None)
        self.endpoints = Endpoints(self.link)
        self.calls = Calls(self.link)
        for part in (self.streams, self.endpoints, self.calls):
            self.add(part)
        self._state = "starting"
        self.loop_ran_at = monotonic()
        self._thread = threading.Thread(target=self._run, name="peppy-control", daemon=True)

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect and serve. Raises DaemonUnavailable, or PeppyError when the daemon refuses this process."""
        self._connect(None)
        self._thread.start()

    def add(self, part: Part) -> None:
        """Let `part` serve its frames; parts are registered again in the order in which they were added."""
        self._parts.append(part)
        self._serving.update(part.frames())

    def report_ready(self) -> None:
        """Tell the daemon that the node is connected and configured."""
        self.link.send(Ready())

    def report_healthy(self) -> None:
        """Tell the daemon that setup has returned."""
        self._state = "running"
        self.link.send(Healthy())

    def report_ending(self, error: str | None) -> None:
        """Tell the daemon that the process ends by itself; `error` is the last line of its traceback."""
        self.link.send(Ending(error))

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
        self.streams.close()

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
            self.link.lost()
            for part in self._parts:
                part.connection_lost()
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
        kind = type(received.frame)
        serve = self._serving.get(kind)
        if serve is not None:
            answer = serve(received)
        elif kind is Done or kind is Failed:
            self.link.take_answer(received)
            return
        else:
            close_all(received.fds)
            answer = Failed("NotSupported", f"`{kind.__name__}` is not known")
        if answer is not None and received.request_id:
            connection.post(answer, received.request_id)

    def _probe(self, _received: Received) -> Frame:
        age = max(0, round((monotonic() - self.loop_ran_at) * 1000))
        return Done(msgspec.Raw(msgspec.msgpack.encode(ProbeAnswer(loop_age_ms=age))))

    def _shutdown_requested(self, _received: Received) -> None:
        self._shutdown()

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
            self.link.use(connection, answer.epoch)
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
            self.link.send(Healthy())  # the first report may have been lost with the connection
        for part in self._parts:
            part.register_again()
