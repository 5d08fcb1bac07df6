"""Instances from start to end (docs/reference/daemon.md, Run; Stop sequence)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import datetime
from pathlib import Path

from peppy.daemon.endings import exit_of
from peppy.daemon.instance_process import Limits, Process, first_of, how, tell
from peppy.daemon.operation import in_thread
from peppy.daemon.registry import Instance, Registry
from peppy.errors import PeppyError
from peppy.faults import fault
from peppy.model.lifecycle import State
from peppy.process.records import read_pids
from peppy.process.spawn import Start, start_shim
from peppy.process.stop import Stopped, stop
from peppy.process.watch import Shim
from peppy.protocol.frames import Shutdown

LIVES_SECS = 1.0
"""A node without generated library is up when its process has lived for so long."""
NOT_SET_UP = "did not become healthy: its setup has not returned, or blocks the event loop"

logger = logging.getLogger(__name__)


class Supervisor:
    """All live instances. `save` writes the stack's state, `remove_files` deletes the directories of an instance."""

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        save: Callable[[], Awaitable[None]],
        remove_files: Callable[[str], None],
    ) -> None:
        self.processes: dict[str, Process] = {}
        self.hurry = asyncio.Event()
        """Set when the daemon has to end at once: what remains of a grace is skipped."""
        self._registry = registry
        self._limits = limits
        self._save = save
        self._remove_files = remove_files
        self._tasks: set[asyncio.Task[None]] = set()

    # --- start -------------------------------------------------------------------------------------------------------

    def accept(self, instance: Instance, directory: Path) -> Process:
        """A new instance is `starting`; its program is executed later, by a shim with this directory."""
        process = Process(instance, directory)
        self.processes[instance.instance_id] = process
        self._registry.put_instance(instance)
        return process

    def adopt(self, instance: Instance, shim: Shim) -> Process:
        """An instance that an earlier daemon started."""
        process = Process(instance, shim.directory, shim)
        process.executed.set()
        self.processes[instance.instance_id] = process
        self._spawn(self._watch(process, shim))
        return process

    def shim_pid(self, instance_id: str) -> int | None:
        """The shim that all processes of a live instance descend from."""
        process = self.processes.get(instance_id)
        if process is None:
            return None
        if process.shim is not None:
            return process.shim.pids.shim.pid
        pids = read_pids(process.directory)  # its program may speak before the shim has said that it runs
        return pids.shim.pid if pids is not None else None

    async def execute(self, process: Process, start: Start) -> None:
        """Starts the program of an accepted instance. Raises PeppyError, such as CommandNotExecutable."""
        shim = await start_shim(start)
        process.shim = shim
        process.instance.pids = shim.pids
        process.executed.set()
        self._spawn(self._watch(process, shim))
        tell(process.instance, f"started (pid {shim.pids.child.pid})")

    async def wait_until_running(self, process: Process) -> None:
        """Waits until the instance is up and makes it `running`. Raises PeppyError when it does not get there."""
        if process.instance.must_connect:
            waited = datetime.now().timestamp() - process.instance.started_at
            await self._wait_for(
                process, process.ready, max(self._limits.ready_secs - waited, 1.0), "startup timed out"
            )
            await self._wait_for(process, process.healthy, self._limits.health_secs, NOT_SET_UP)
        else:
            await self._wait_for(process, process.healthy, LIVES_SECS, None)
        self._registry.set_state(process.instance, State.RUNNING)
        process.instance.healthy = True
        tell(process.instance, "is running")

    async def _wait_for(self, process: Process, event: asyncio.Event, limit_secs: float, late: str | None) -> None:
        """Waits for the event; `late` says what it means when it does not come (None: nothing)."""
        await first_of(event, process.ended, process.stop_asked, timeout=limit_secs)
        name = f"`{process.instance.instance_id}` of `{process.instance.reference}`"
        if process.stop_asked.is_set():
            raise PeppyError(f"{name} was stopped while it started", kind="Aborted")
        if process.ended.is_set():
            raise PeppyError(f"{name} exited during startup", kind="CommandFailed")
        if not event.is_set() and late is not None:
            raise PeppyError(f"{name} {late} (`{limit_secs:g}` s)", kind="Timeout")

    async def fail_start(self, process: Process) -> None:
        """Ends whatever a failed start has left and makes the instance `failed`, or `finished` when it was stopped."""
        instance = process.instance
        if instance.state is State.STOPPING and process.shim is not None:
            await process.stop_ended.wait()
            return
        record = None
        if process.shim is not None:
            process.shim.terminate()
            record = await process.shim.end()
        if instance.state is State.STARTING:
            self._registry.set_state(instance, State.FAILED, exit_of(record))
            tell(instance, f"failed to start{how(instance)}")
        elif instance.state is State.STOPPING:
            self._registry.set_state(instance, State.FINISHED, exit_of(record))
            tell(instance, "was stopped while it started")
        await self._forget(process, remove=True)

    async def cancel_start(self, process: Process) -> None:
        """Stops an instance whose start nobody wants any more: at once, without a grace, and `finished`."""
        process.at_once = True
        live = [process.instance] if process.instance.live else []
        await asyncio.gather(self.stop(live, "its start was cancelled"), self.fail_start(process))

    # --- end ---------------------------------------------------------------------------------------------------------

    async def _watch(self, process: Process, shim: Shim) -> None:
        """Follows the process to its end; an end that nobody asked for makes the record here."""
        record = await shim.child_end()
        instance = process.instance
        unasked = instance.state is State.RUNNING
        if unasked:
            finished = record is not None and record.status == 0
            self._registry.set_state(instance, State.FINISHED if finished else State.FAILED, exit_of(record))
            reason = f": {process.error}" if process.error and not finished else ""
            tell(instance, f"{instance.state}{how(instance)}{reason}")
        process.ended.set()
        if not unasked:
            return
        await self._persist()
        shim.terminate()  # what the child left behind ends before the id is free
        await shim.end()
        await self._forget(process, remove=instance.state is State.FINISHED)

    async def _forget(self, process: Process, *, remove: bool) -> None:
        await self._persist()  # before the files go, and with them the shim's record of the end
        fault("stop.end_recorded")
        if remove:
            try:
                await in_thread(self._remove_files, process.instance.instance_id)
            except PeppyError as error:
                logger.error("%s", error.message)
        if process.shim is not None:
            process.shim.close()
        if self.processes.get(process.instance.instance_id) is process:
            del self.processes[process.instance.instance_id]
        process.gone.set()

    async def settled(self, instance_id: str) -> None:
        """Waits until no process is left of an instance that has ended, so that its id is free."""
        process = self.processes.get(instance_id)
        if process is not None and not process.instance.live:
            await process.gone.wait()

    async def stop(self, instances: Iterable[Instance], reason: str) -> dict[str, Stopped]:
        """Stops live instances together with one grace; the results by instance id.

        Goes on when the caller is cancelled. Raises PeppyError when processes of an instance cannot be ended: it stays
        `stopping`.
        """
        wanted = [self.processes[instance.instance_id] for instance in instances]
        for process in wanted:
            if process.instance.state is not State.STOPPING:
                self._registry.set_state(process.instance, State.STOPPING)
            process.stop_asked.set()
        return await asyncio.shield(asyncio.create_task(self._stop_all(wanted, reason)))

    async def _stop_all(self, wanted: list[Process], reason: str) -> dict[str, Stopped]:
        if wanted:
            fault("stop.asked")
            await self._persist()  # before anybody is asked: a daemon that takes over goes on with it
            fault("stop.recorded")
        results = await asyncio.gather(*(self._begin_stop(process, reason) for process in wanted))
        stopped = dict(zip((process.instance.instance_id for process in wanted), results, strict=True))
        problems = [f"`{name}`: {result.problem}" for name, result in stopped.items() if result.problem]
        if problems:
            raise PeppyError(f"cannot stop {'; '.join(problems)}", kind="Internal", hint="try `peppy node stop` again")
        return stopped

    def _begin_stop(self, process: Process, reason: str) -> asyncio.Task[Stopped]:
        """One stop at a time: who comes second gets the result of the first."""
        if process.stopping is None or (process.stopping.done() and not process.gone.is_set()):
            process.stopping = asyncio.create_task(self._stop(process, reason))
        return process.stopping

    async def _stop(self, process: Process, reason: str) -> Stopped:
        try:
            await first_of(process.executed, process.gone)
            if process.shim is None:  # its start has seen the wish before it executed anything
                return Stopped(None)
            return await self._stop_processes(process, process.shim, reason)
        finally:
            process.stop_ended.set()

    async def _stop_processes(self, process: Process, shim: Shim, reason: str) -> Stopped:
        instance, grace_secs = process.instance, self._limits.shutdown_grace_secs

        async def request_shutdown(_: str) -> bool:
            if process.at_once or process.session is None or process.session.closed:
                return False
            process.session.send(Shutdown(reason, grace_secs))
            return True

        results = await stop({instance.instance_id: shim}, request_shutdown, grace_secs=grace_secs, hurry=self.hurry)
        result = results[instance.instance_id]
        fault("stop.ended")
        if result.problem is not None:
            logger.error("cannot stop `%s`: %s", instance.instance_id, result.problem)
            return result
        if result.killed:
            logger.warning("`%s` had to be killed", instance.instance_id)
        self._registry.set_state(instance, State.FINISHED, exit_of(result.record))
        tell(instance, f"stopped{' (killed)' if result.killed else ''}")
        await self._forget(process, remove=True)
        fault("stop.deleted")
        return result

    async def _persist(self) -> None:
        """What happens to processes goes on when the disk is full; the next change is written with it."""
        try:
            await self._save()
        except PeppyError as error:
            logger.error("%s", error.message)

    def release(self) -> None:
        """Lets all instances live on without this daemon."""
        for task in self._tasks:
            task.cancel()
        for process in self.processes.values():
            if process.shim is not None:
                process.shim.close()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("supervision failed", exc_info=error)
