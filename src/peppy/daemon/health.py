"""Connections of instances and whether they are well (docs/reference/daemon.md, Logs and health)."""

import asyncio
from collections.abc import Mapping

from peppy.daemon.instance_process import Process, tell
from peppy.daemon.session import NodeSession
from peppy.errors import PeppyError
from peppy.model.lifecycle import State
from peppy.protocol.answers import ProbeAnswer
from peppy.protocol.frames import Ending, Frame, Healthy, Probe, Ready, Shutdown

PROBE_PERIOD_SECS = 5.0
PROBE_LIMIT_SECS = 3.0
BLOCKED_LOOP_MS = 3000
RECONNECT_SECS = 0.5
"""A running node without connection for so long counts as unhealthy; a process that ends is gone by then."""


class Health:
    """Hears the processes of all live instances (`processes` by instance id) and asks them."""

    def __init__(self, processes: Mapping[str, Process], grace_secs: float) -> None:
        """`grace_secs` is what a node is told that is being stopped."""
        self._processes = processes
        self._grace_secs = grace_secs

    def connected(self, session: NodeSession) -> None:
        """The process of an instance has said hello; an older connection of it ends."""
        process = self._processes[session.instance_id]
        former, process.session = process.session, session
        if former is not None:
            former.close()
        if session.state is not None:  # it comes back after a loss of the daemon
            process.ready.set()
        if session.state == State.RUNNING:
            process.healthy.set()
        if process.instance.state is State.RUNNING:
            self._set_health(process, None)
        elif process.instance.state is State.STOPPING:
            session.send(Shutdown("the instance is being stopped", self._grace_secs))

    def disconnected(self, session: NodeSession) -> None:
        """A connection of an instance has ended; a process that lives on without one is unhealthy."""
        process = self._processes.get(session.instance_id)
        if process is None or process.session is not session:
            return
        process.session = None
        if process.error is None:
            asyncio.get_running_loop().call_later(RECONNECT_SECS, self._check_connection, process)

    def heard(self, session: NodeSession, frame: Frame) -> None:
        """A node tells about its own life."""
        process = self._processes.get(session.instance_id)
        if process is None or process.session is not session:
            return
        match frame:
            case Ready():
                process.ready.set()
            case Healthy():
                process.ready.set()
                process.healthy.set()
            case Ending():
                process.error = frame.error or ""
            case _:
                raise ValueError(f"`{type(frame).__name__}` does not concern the life of a node")

    async def probe_for_ever(self) -> None:
        """Asks every running instance with a connection, every 5 s, whether it is well."""
        while True:
            asked = [
                self._probe(process, process.session)
                for process in self._processes.values()
                if process.session is not None and process.instance.state is State.RUNNING
            ]
            await asyncio.gather(asyncio.sleep(PROBE_PERIOD_SECS), *asked)

    async def _probe(self, process: Process, session: NodeSession) -> None:
        try:
            answer = await session.request(Probe(), timeout=PROBE_LIMIT_SECS)
        except PeppyError as error:
            reason = error.message
        else:
            assert isinstance(answer, ProbeAnswer)
            age_ms = answer.loop_age_ms
            reason = f"event loop blocked for {age_ms // 1000} s" if age_ms >= BLOCKED_LOOP_MS else None
        if process.session is session:
            self._set_health(process, reason)

    def _check_connection(self, process: Process) -> None:
        if process.session is None and process.instance.state is State.RUNNING:
            self._set_health(process, "no connection to the daemon")

    def _set_health(self, process: Process, reason: str | None) -> None:
        """`reason` says why it is unhealthy; None: it is well."""
        instance = process.instance
        healthy = reason is None
        if instance.state is not State.RUNNING or instance.healthy == healthy:
            return
        instance.healthy = healthy
        tell(instance, "is healthy" if healthy else f"is unhealthy: {reason}")
