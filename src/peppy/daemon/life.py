"""One life of a daemon: start, serve, end (docs/reference/daemon.md, Process)."""

import asyncio
import json
import logging
import os
import resource
import secrets
import shutil
import signal
import sysconfig
import time
from functools import partial
from pathlib import Path

from peppy import __version__, faults
from peppy.board import BoardWriter, Counts
from peppy.daemon import config, recovery
from peppy.daemon.control_plane import ControlPlane
from peppy.daemon.core import Core
from peppy.daemon.dispatch import Dispatcher
from peppy.daemon.files import remove_instance
from peppy.daemon.gate import Gate
from peppy.daemon.handlers.table import handlers
from peppy.daemon.health import Health
from peppy.daemon.instance_process import Limits
from peppy.daemon.logs import open_logs
from peppy.daemon.names import core_node_name
from peppy.daemon.nodes import NodeConnections
from peppy.daemon.registry import Registry
from peppy.daemon.server import Server
from peppy.daemon.stack_state import StateKeeper, boot_id, described
from peppy.daemon.supervise import Supervisor
from peppy.daemon.topics import TopicBroker
from peppy.errors import PeppyError
from peppy.model.lifecycle import State
from peppy.protocol import PROTOCOL_VERSION
from peppy.protocol.frames import Welcome
from peppy.ring import layout_hash
from peppy.store.atomic import write_file
from peppy.store.root import DataRoot
from peppy.store.state import StackFile, save_stack

HEARTBEAT_SECS = 1.0
SAMPLE_SECS = 1.0

logger = logging.getLogger(__name__)


async def serve(root: DataRoot, name: str | None) -> None:
    """Serves a data root, whose lock is held, until a signal or a request ends it; `name` is the core node's, if given.

    Raises PeppyError, before anything is served, when the data root cannot be used.
    """
    daemon = Daemon(root, name)
    await daemon.start()
    await daemon.ended()


class Daemon:
    """Everything that lives as long as the daemon does."""

    def __init__(self, root: DataRoot, name: str | None) -> None:
        """Reads the configuration; InvalidInput when it is wrong."""
        self.root = root
        self.configuration = config.load(self.root.config, write_file)
        open_logs(
            self.root.daemon_log,
            self.root.stack_log,
            max_bytes=self.configuration.whole("logs.max_bytes"),
            keep=self.configuration.whole("logs.keep"),
        )
        self._boot_id = boot_id()
        self._epoch = secrets.token_hex(16)
        self._keeper = StateKeeper(self._described, partial(save_stack, self.root))
        self.core = self._core(name or core_node_name(root.path), _raise_open_files())
        grace_secs = self.configuration.seconds("lifecycle.shutdown_grace_secs")
        self._health = Health(self.core.supervisor.processes, grace_secs)
        self.dispatcher = Dispatcher(handlers(self.core), str(self.root.daemon_log))
        self.server = self._server()
        self.board: BoardWriter | None = None
        self._done = asyncio.Event()
        self._ending: asyncio.Task[int] | None = None
        self._periodic: list[asyncio.Task[None]] = []
        self._unfinished: list[asyncio.Task[None]] = []

    def _core(self, name: str, open_files: int) -> Core:
        registry = Registry(name)
        supervisor = Supervisor(
            registry, _limits(self.configuration), self._keeper.save, partial(remove_instance, self.root)
        )
        return Core(
            root=self.root,
            version=__version__,
            configuration=self.configuration,
            registry=registry,
            gate=Gate(),
            supervisor=supervisor,
            broker=TopicBroker(registry.passes),
            control=ControlPlane(registry, name, self.configuration.seconds("actions.result_retention_secs")),
            started=time.monotonic(),
            open_files=open_files,
            save=self._keeper.save,
            shut_down=self.shut_down,
        )

    def _described(self) -> StackFile:
        return described(self.core.registry, self._boot_id)

    def _server(self) -> Server:
        name = self.core.registry.core_node_name
        settings = config.runtime_groups(self.configuration)
        welcome = Welcome(PROTOCOL_VERSION, __version__, os.getpid(), name, self._epoch, None, settings)
        nodes = NodeConnections(self.core.registry, self.core.supervisor, self._health, self.core.broker)
        return Server(welcome, layout_hash(), self.dispatcher, nodes, self.core.control)

    # --- start -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Restores the stack, opens the socket and says `ready`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        self._unfinished = await recovery.recover(self.core)
        faults.arm(os.environ)
        _link_program(self.root.program)
        self.board = BoardWriter.create(self.root.path, __version__, self.core.registry.core_node_name, self._epoch)
        self.server.listen(self.root.socket)
        self.core.control.start()
        write_file(self.root.daemon_record, self._record())
        self._periodic = [
            loop.create_task(work) for work in (self._heartbeat(), self._sample(), self._health.probe_for_ever())
        ]
        for task in self._periodic:
            task.add_done_callback(_report)
        logger.info("peppy %s serves %s (pid %d)", __version__, self.root.path, os.getpid())
        print("ready", flush=True)

    def _record(self) -> bytes:
        record = {"pid": os.getpid(), "version": __version__, "core_node_name": self.core.registry.core_node_name}
        return json.dumps(record).encode() + b"\n"

    async def _heartbeat(self) -> None:
        while True:
            self._beat()
            await asyncio.sleep(HEARTBEAT_SECS)

    async def _sample(self) -> None:
        while True:
            self.core.broker.sample()
            self.core.control.tick()
            await asyncio.sleep(SAMPLE_SECS)

    # --- end ---------------------------------------------------------------------------------------------------------

    def _signalled(self) -> None:
        """The first signal ends the daemon with its instances, a second one skips what remains of their grace."""
        if self._ending is not None:
            self.core.supervisor.hurry.set()
            return
        logger.info("ending on a signal")
        self._ending = asyncio.get_running_loop().create_task(self._end(False, None))

    async def shut_down(self, keep_instances: bool) -> int:
        """Ends everything but the process itself; how many instances were stopped. Goes on when it is cancelled."""
        if self._ending is None:
            logger.info("ending on request%s", ", instances stay" if keep_instances else "")
            self._ending = asyncio.get_running_loop().create_task(self._end(keep_instances, asyncio.current_task()))
        return await asyncio.shield(self._ending)

    async def _end(self, keep_instances: bool, asked_by: "asyncio.Task[object] | None") -> int:
        await self.dispatcher.end(asked_by)
        stopped = 0 if keep_instances else await self._stop_instances()
        for task in self._periodic + self._unfinished:
            task.cancel()
        try:
            await self._keeper.save()
        except PeppyError as error:
            logger.error("%s", error.message)
        self.root.daemon_record.unlink(missing_ok=True)
        self.server.close_door()
        if self.board is not None:
            self.board.close()
        self._done.set()
        return stopped

    async def _stop_instances(self) -> int:
        live = self.core.registry.live_instances()
        try:
            return len(await self.core.supervisor.stop(live, "the daemon ends"))
        except PeppyError as error:
            logger.error("%s", error.message)
            return len(live)

    async def ended(self) -> None:
        """Waits for the end, and for the last answer to be sent."""
        await self._done.wait()
        await self.dispatcher.finished()
        await self.server.close()
        self.core.supervisor.release()
        self.core.broker.close()
        self.core.control.close()
        logger.info("ended")

    def _beat(self) -> None:
        registry, counts = self.core.registry, self.core.registry.counts()
        if self.board is None:
            return
        try:
            self.board.heartbeat(
                Counts(
                    nodes=len(registry.nodes) + 1,
                    starting=counts[State.STARTING],
                    running=counts[State.RUNNING] + 1,
                    stopping=counts[State.STOPPING],
                    finished=counts[State.FINISHED],
                    failed=counts[State.FAILED],
                    streams=self.core.broker.stream_count(),
                    calls=self.core.control.in_flight(),
                )
            )
        except OSError as error:
            logger.warning("cannot write the status board: %s", error.strerror)


def _report(task: "asyncio.Task[None]") -> None:
    """Work that goes on for ever has ended: that is a defect, unless it was cancelled."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("periodic work has ended", exc_info=error)


def _limits(configuration: config.Configuration) -> Limits:
    return Limits(
        ready_secs=configuration.seconds("lifecycle.ready_timeout_secs"),
        health_secs=configuration.seconds("lifecycle.health_timeout_secs"),
        shutdown_grace_secs=configuration.seconds("lifecycle.shutdown_grace_secs"),
    )


def _raise_open_files() -> int:
    """Raises the soft limit of open files to the hard limit; the former soft limit, which children get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft


def _link_program(link: Path) -> None:
    """`bin/peppy` names the program that this daemon runs."""
    program = Path(sysconfig.get_path("scripts"), "peppy")
    found = str(program) if program.exists() else shutil.which("peppy")
    if found is None or (link.is_symlink() and link.readlink() == Path(found)):
        return
    temporary = link.with_name(f".peppy-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(found)
    temporary.replace(link)
