"""The life of a node process, from its connection to its end (docs/reference/node_api.md, Lifecycle)."""

import asyncio
import inspect
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from time import monotonic
from types import FrameType
from typing import Any, cast

from peppy.errors import SubscriptionClosed
from peppy.loop import EventLoop
from peppy.model.node import Slot
from peppy.runtime.config import RuntimeConfig
from peppy.runtime.control import ControlThread
from peppy.runtime.goals import Goals
from peppy.runtime.runner import NodeRunner
from peppy.runtime.standalone import StandaloneProgram
from peppy.runtime.token import CancellationToken

LOOP_MARK_SECS = 1.0
"""How often the event loop leaves a mark that it still runs; the health probe tells its age."""

TASKS_SHARE, HOOKS_SHARE = 0.6, 0.9
"""Parts of the grace in which tasks, then the hooks, have to have ended; then the daemon ends the process."""

ATTACH_SECS = 2.0
"""Seconds in which readers that waited for a stream are attached to it, when its writer ends right after it began."""

GOALS_SECS = 1.0
"""Seconds in which the daemon confirms that it has the outcome of every goal."""

REMINDER_SECS = 2.0
"""After so long a standalone program that was told to end says why it has not yet."""

IMPATIENT_SECS = 1.0
"""A second signal ends a standalone program at once when it comes so long after the first: no daemon would do
it, and whoever started the program may pass one Ctrl-C on twice."""

REPORT_AFTER = 4
"""Passes of the event loop in which somebody may look at a failed task, before its traceback is printed: `wait_for` and
`wait` need two to tell who called them."""

Setup = Callable[[Any, NodeRunner], Any]


class NodeLife:
    """Runs one node: `run` blocks until it has ended and raises what made it fail."""

    def __init__(
        self,
        config: RuntimeConfig,
        slots: tuple[Slot, ...],
        parameters: Any,
        version: str,
        standalone: StandaloneProgram | None = None,
    ) -> None:
        self._slots = slots
        self._parameters = parameters
        self._token = CancellationToken()
        self._control = ControlThread(config, version, self._token.cancel, standalone)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None
        self._goals: Goals | None = None
        self._marking: asyncio.TimerHandle | None = None
        self._is_standalone = standalone is not None

    def run(self, setup: Setup) -> None:
        """Connect, set up, live, shut down. An async `setup` runs on the event loop, which is this thread's; a sync one
        runs here, with the loop in a thread beside it."""
        restore = self._handle_signals()
        try:
            self._control.start()
            if self._is_standalone:
                joined = self._control.config.node_instance.instance_id
                print(f"[INFO] joined the stack as `{joined}`", file=sys.stderr, flush=True)
            try:
                if inspect.iscoroutinefunction(setup):
                    self._run_loop(setup)
                else:
                    self._run_beside_loop(setup)
            except BaseException as error:
                self._fail(error)
            finally:
                self._control.report_ending(_last_line(self._failure))
                self._control.close()
        finally:
            restore()
        if self._failure is not None:
            raise self._failure

    def connect(self) -> None:
        """Connect, for `live_as_guest`. Raises what the control thread's start raises."""
        self._control.start()

    def disconnect(self) -> None:
        """End the connection: the daemon knows nothing of this node any more."""
        self._control.close()

    async def live_as_guest(self, handed: "asyncio.Future[NodeRunner]") -> None:
        """Live in a loop that is somebody else's, until the token or this task is cancelled: signals and the tasks of
        that loop are none of the node's business. `handed` gets its runner."""

        async def hand_over(_parameters: Any, node_runner: NodeRunner) -> None:
            handed.set_result(node_runner)

        try:
            await self._live(hand_over)
        finally:
            self._control.report_ending(None)
            self.disconnect()

    # --- where the loop runs ---------------------------------------------------------------------------------------

    def _run_loop(self, setup: Callable[[Any, NodeRunner], Awaitable[Any]]) -> None:
        with asyncio.Runner(loop_factory=EventLoop) as runner:
            runner.get_loop().set_task_factory(cast(Any, self._keep_task))
            runner.run(self._live(setup))

    def _run_beside_loop(self, setup: Setup) -> None:
        """A sync setup blocks only this thread: the loop serves what it starts meanwhile."""
        handed: Future[NodeRunner | None] = Future()
        returned: Future[Any] = Future()

        async def wait_for_setup(_parameters: Any, node_runner: NodeRunner) -> Any:
            handed.set_result(node_runner)
            outcome = await asyncio.wrap_future(returned)
            return await outcome if inspect.isawaitable(outcome) else outcome

        def run_loop() -> None:
            try:
                self._run_loop(wait_for_setup)
            except BaseException as error:
                self._fail(error)
            finally:
                if not handed.done():
                    handed.set_result(None)

        thread = threading.Thread(target=run_loop, name="peppy-loop")
        thread.start()
        node_runner = handed.result()
        outcome = None
        try:
            if node_runner is not None:
                outcome = setup(self._parameters, node_runner)
        except BaseException as error:
            if not self._is_normal_end(error):
                self._fail(error)
            self._token.cancel()
        if not returned.cancelled():  # the shutdown has not waited for it
            with suppress(InvalidStateError):
                returned.set_result(outcome)
        thread.join()

    # --- on the loop -----------------------------------------------------------------------------------------------

    async def _live(self, setup: Callable[[Any, NodeRunner], Awaitable[Any]]) -> None:
        loop = asyncio.get_running_loop()
        self._tasks.clear()  # this coroutine is no task of the node: it ends last
        node_runner = NodeRunner(self._control.config, self._slots, self._token, self._control, loop)
        self._goals = node_runner.goals
        self._mark(loop)
        self._control.report_ready()
        try:
            if await self._set_up(setup, node_runner):
                self._control.report_healthy()
                await self._token.cancelled()
        finally:
            self._token.cancel()
            await self._shut_down(node_runner)
            if self._marking is not None:
                self._marking.cancel()

    async def _set_up(self, setup: Callable[[Any, NodeRunner], Awaitable[Any]], node_runner: NodeRunner) -> bool:
        """Whether setup has returned. One that still runs when the node is to end is cancelled with all other tasks."""
        work = asyncio.ensure_future(setup(self._parameters, node_runner))
        ending = asyncio.ensure_future(self._token.cancelled())
        await asyncio.wait((work, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not work.done():
            work.add_done_callback(self._returned_task_ended)  # it may still fail
            return False
        if self._failure is not None or work.cancelled():
            return False
        if (error := work.exception()) is not None:
            self._fail(error)
            return False
        for task in _returned_tasks(work.result()):
            task.add_done_callback(self._returned_task_ended)
        return True

    def _returned_task_ended(self, task: "asyncio.Task[Any]") -> None:
        if task.cancelled() or (error := task.exception()) is None or self._is_normal_end(error):
            return
        self._fail(error)
        self._token.cancel()

    def _is_normal_end(self, error: BaseException) -> bool:
        """A read that the shutdown itself has ended is no failure of the task that waited in it."""
        return isinstance(error, SubscriptionClosed) and self._token.is_cancelled()

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error

    async def _shut_down(self, node_runner: NodeRunner) -> None:
        began, grace = monotonic(), self._control.config.lifecycle.shutdown_grace_secs
        node_runner.topics.close_subscriptions()
        node_runner.endpoints.shut_down()
        for _ in range(2):  # who waits for the token or in a read hears of it, and goes on to its next wait
            await asyncio.sleep(0)
        await self._cancel_tasks(began + TASKS_SHARE * grace)
        try:
            await asyncio.wait_for(node_runner.run_hooks(), began + HOOKS_SHARE * grace - monotonic())
        except TimeoutError:
            print("[WARNING] the shutdown hooks did not end in time", file=sys.stderr)
        node_runner.feedback.close()
        await node_runner.goals.abandon_all(min(monotonic() + GOALS_SECS, began + grace))
        await node_runner.topics.readers_attached(min(monotonic() + ATTACH_SECS, began + grace))
        node_runner.topics.close_writers()

    async def _cancel_tasks(self, deadline: float) -> None:
        """Cancel every task once, those too that others start while they end."""
        cancelled: set[asyncio.Task[Any]] = set()
        while (left := deadline - monotonic()) > 0 and self._tasks:
            for task in self._tasks - cancelled:
                task.cancel()
            cancelled |= self._tasks
            await asyncio.wait(list(self._tasks), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for task in self._tasks:
            print(f"[WARNING] the task `{task.get_name()}` did not end in time", file=sys.stderr)

    def _mark(self, loop: asyncio.AbstractEventLoop) -> None:
        self._control.loop_ran_at = monotonic()
        self._marking = loop.call_later(LOOP_MARK_SECS, self._mark, loop)

    # --- tasks -----------------------------------------------------------------------------------------------------

    def _keep_task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> "asyncio.Task[Any]":
        """Every task is kept alive until it is done, whether the program stored it or not."""
        task = asyncio.Task(work, loop=loop, **options)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        if self._goals is not None:
            self._goals.task_created(task, work)
        return task

    def _task_ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._report_unseen(task, REPORT_AFTER)

    def _report_unseen(self, task: "asyncio.Task[Any]", passes: int) -> None:
        """A traceback at once for an exception that nobody has looked at, instead of one when the task is collected."""
        if not getattr(task, "_log_traceback", False):
            return
        if passes:
            task.get_loop().call_soon(self._report_unseen, task, passes - 1)
            return
        error = task.exception()
        if error is not None and not self._is_normal_end(error):
            print(f"[ERROR] the task `{task.get_name()}` failed", file=sys.stderr)
            traceback.print_exception(error, file=sys.stderr)

    # --- signals ---------------------------------------------------------------------------------------------------

    def _handle_signals(self) -> Callable[[], None]:
        """SIGTERM and SIGINT end the node; outside the main thread signals are somebody else's business."""
        if threading.current_thread() is not threading.main_thread():
            return lambda: None

        asked_at: list[float] = []
        reminder = threading.Timer(REMINDER_SECS, self._remind)
        reminder.daemon = True

        def end(number: int, _frame: FrameType | None) -> None:
            asked_at.append(monotonic())
            if self._is_standalone and asked_at[-1] - asked_at[0] > IMPATIENT_SECS:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            if self._is_standalone and len(asked_at) == 1:
                reminder.start()
            self._token.cancel()

        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}

        def restore() -> None:
            reminder.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

        return restore

    def _remind(self) -> None:
        """Whoever has pressed Ctrl-C sees why nothing happens, and what to do."""
        blocked = monotonic() - self._control.loop_ran_at > REMINDER_SECS
        why = "its event loop is blocked" if blocked else "its tasks and hooks are not done"
        line_end = "\n" if sys.stderr.isatty() else ""  # of the line on which a terminal shows `^C`
        print(f"{line_end}[WARNING] still ending: {why}; Ctrl-C again ends the program at once", file=sys.stderr)


def _last_line(error: BaseException | None) -> str | None:
    return None if error is None else traceback.format_exception_only(error)[-1].strip()


def _returned_tasks(result: object) -> Iterable["asyncio.Task[Any]"]:
    if result is None:
        return ()
    if isinstance(result, list):
        tasks = cast("list[object]", result)
        if all(isinstance(task, asyncio.Task) for task in tasks):
            return cast("list[asyncio.Task[Any]]", tasks)
    raise TypeError(f"`setup` returned `{result!r}`, it may return None or a list of asyncio.Task")
