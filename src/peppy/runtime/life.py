"""The life of a node process, from its connection to its end (docs/reference/node_api.md, Lifecycle)."""

import asyncio
import inspect
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from time import monotonic
from types import FrameType
from typing import Any, cast

from peppy.errors import SubscriptionClosed
from peppy.model.node import Slot
from peppy.runtime.config import RuntimeConfig
from peppy.runtime.control import ControlThread
from peppy.runtime.runner import NodeRunner
from peppy.runtime.token import CancellationToken

LOOP_MARK_SECS = 1.0
"""How often the event loop leaves a mark that it still runs; the health probe tells its age."""

Setup = Callable[[Any, NodeRunner], Any]


class NodeLife:
    """Runs one node: `run` blocks until it has ended and raises what made it fail."""

    def __init__(self, config: RuntimeConfig, slots: tuple[Slot, ...], parameters: Any, version: str) -> None:
        self._config = config
        self._slots = slots
        self._parameters = parameters
        self._token = CancellationToken()
        self._control = ControlThread(config, version, self._token.cancel)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None

    def run(self, setup: Setup) -> None:
        """Connect, set up, live, shut down. An async `setup` runs on the event loop, which is this thread's; a sync one
        runs here, with the loop in a thread beside it."""
        self._control.start()
        restore = self._handle_signals()
        try:
            if inspect.iscoroutinefunction(setup):
                self._run_loop(setup)
            else:
                self._run_beside_loop(setup)
        finally:
            restore()
            self._control.close()
        if self._failure is not None:
            raise self._failure

    # --- where the loop runs ---------------------------------------------------------------------------------------

    def _run_loop(self, setup: Callable[[Any, NodeRunner], Awaitable[Any]]) -> None:
        with asyncio.Runner() as runner:
            runner.get_loop().set_task_factory(cast(Any, self._keep_task))
            runner.run(self._live(setup))

    def _run_beside_loop(self, setup: Setup) -> None:
        """A sync setup blocks only this thread: the loop serves what it starts meanwhile."""
        done: asyncio.Future[Any] | None = None
        started = threading.Event()
        handed: list[NodeRunner] = []
        finished: list[asyncio.AbstractEventLoop] = []

        async def wait_for_setup(_parameters: Any, node_runner: NodeRunner) -> Any:
            nonlocal done
            loop = asyncio.get_running_loop()
            done = loop.create_future()
            handed.append(node_runner)
            finished.append(loop)
            started.set()
            return await done

        def run_loop() -> None:
            try:
                self._run_loop(wait_for_setup)
            except BaseException as error:
                self._fail(error)
            finally:
                started.set()

        thread = threading.Thread(target=run_loop, name="peppy-loop")
        thread.start()
        started.wait()
        if handed:
            outcome, error = None, None
            try:
                outcome = setup(self._parameters, handed[0])
            except BaseException as raised:
                error = raised

            def hand_over() -> None:
                assert done is not None
                if done.done():
                    return
                if error is None:
                    done.set_result(outcome)
                else:
                    done.set_exception(error)

            if not finished[0].is_closed():
                finished[0].call_soon_threadsafe(hand_over)
        thread.join()

    # --- on the loop -----------------------------------------------------------------------------------------------

    async def _live(self, setup: Callable[[Any, NodeRunner], Awaitable[Any]]) -> None:
        loop = asyncio.get_running_loop()
        self._tasks.clear()  # this coroutine is no task of the node: it ends last
        node_runner = NodeRunner(self._config, self._slots, self._token, self._control, loop)
        self._mark(loop)
        self._control.report_ready()
        try:
            await self._set_up(setup, node_runner)
            if self._failure is None:
                self._control.report_healthy()
                await self._token.cancelled()
        finally:
            self._token.cancel()
            await self._shut_down(node_runner)

    async def _set_up(self, setup: Callable[[Any, NodeRunner], Awaitable[Any]], node_runner: NodeRunner) -> None:
        work = asyncio.ensure_future(setup(self._parameters, node_runner))
        ending = asyncio.ensure_future(self._token.cancelled())
        self._tasks.difference_update((work, ending))  # these two are this class's own
        await asyncio.wait((work, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait((work,), timeout=self._config.lifecycle.shutdown_grace_secs)
        if not work.done() or work.cancelled():
            return
        if (error := work.exception()) is not None:
            self._fail(error)
            return
        for task in _returned_tasks(work.result()):
            task.add_done_callback(self._returned_task_ended)

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
        deadline = monotonic() + self._config.lifecycle.shutdown_grace_secs
        node_runner.topics.close_subscriptions()
        await asyncio.sleep(0)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=max(0.0, deadline - monotonic()))
        for task in self._tasks:
            print(f"[WARNING] the task `{task.get_name()}` did not end in time", file=sys.stderr)
        try:
            await asyncio.wait_for(node_runner.run_hooks(), max(0.1, deadline - monotonic()))
        except TimeoutError:
            print("[WARNING] the shutdown hooks did not end in time", file=sys.stderr)
        node_runner.topics.close_writers()

    def _mark(self, loop: asyncio.AbstractEventLoop) -> None:
        self._control.loop_ran_at = monotonic()
        loop.call_later(LOOP_MARK_SECS, self._mark, loop)

    # --- tasks -----------------------------------------------------------------------------------------------------

    def _keep_task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> "asyncio.Task[Any]":
        """Every task is kept alive until it is done, whether the program stored it or not."""
        task = asyncio.Task(work, loop=loop, **options)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.get_loop().call_soon(self._report_unseen, task)  # whoever awaits the task sees its end first

    def _report_unseen(self, task: "asyncio.Task[Any]") -> None:
        """A traceback at once for an exception that nobody has looked at, instead of one when the task is collected."""
        if not getattr(task, "_log_traceback", False):
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

        def end(_number: int, _frame: FrameType | None) -> None:
            self._token.cancel()

        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        return restore


def _returned_tasks(result: object) -> Iterable["asyncio.Task[Any]"]:
    if result is None:
        return ()
    if isinstance(result, list):
        tasks = cast("list[object]", result)
        if all(isinstance(task, asyncio.Task) for task in tasks):
            return cast("list[asyncio.Task[Any]]", tasks)
    raise TypeError(f"`setup` returned `{result!r}`, it may return None or a list of asyncio.Task")
