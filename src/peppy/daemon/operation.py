"""One running request of the command line: its live output, its limits and its work in threads."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from peppy.errors import PeppyError
from peppy.protocol.frames import Output

if TYPE_CHECKING:
    from peppy.daemon.session import Session

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Operation:
    """What a handler knows of the request that it serves. A client that disappears does not end it; `Cancel` does."""

    def __init__(self, session: "Session", request_id: int, cancel: Callable[[], object]) -> None:
        self._session = session
        self._request_id = request_id
        self._idle: asyncio.Timeout | None = None
        self._idle_secs = 0.0
        self._limits: tuple[asyncio.Timeout, ...] = ()
        self.cancel = cancel
        """Ends the operation; what it has begun is undone or finished by its handler."""

    def output(self, stream: str, text: str) -> None:
        """Show something to the person who waits; real output of a command restarts the idle limit.

        `stream` is `stdout` or `stderr` for output of a command, `info` or `warning` for words of the daemon.
        """
        if stream in ("stdout", "stderr") and self._idle is not None:
            with contextlib.suppress(RuntimeError):  # it has expired this moment
                self._idle.reschedule(asyncio.get_running_loop().time() + self._idle_secs)
        self._session.send(Output(stream, text), request_id=self._request_id)

    @asynccontextmanager
    async def limits(self, name: str, total_secs: float, idle_secs: float) -> AsyncGenerator[None]:
        """Cancels the block after `total_secs`, or after `idle_secs` without output (docs/reference/cli.md, 1).

        Raises PeppyError (`Timeout`) that names the flag or setting which raises the limit.
        """
        self._idle_secs = idle_secs
        total, self._idle = self._limits = asyncio.timeout(total_secs), asyncio.timeout(idle_secs)
        try:
            async with total, self._idle:
                yield
        except TimeoutError as error:
            if isinstance(error, PeppyError):
                raise
            raise self._expired(name, total.expired(), total_secs) from None
        finally:
            self._idle = None

    @property
    def limit_has_passed(self) -> bool:
        """Whether a limit has cancelled the operation, and not somebody who no longer wants it."""
        return any(limit.expired() for limit in self._limits)

    def _expired(self, name: str, total: bool, total_secs: float) -> PeppyError:
        if total:
            message, raiser = f"{name} took longer than `{total_secs:g}` s", "`--timeout`"
        else:
            message = f"{name} printed nothing for `{self._idle_secs:g}` s"
            raiser = "`operations.idle_timeout_secs` in conf/peppy_config.json5"
        return PeppyError(message, kind="Timeout", hint=f"raise {raiser}")


async def in_thread(work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
    """Runs blocking work in a thread. A cancelled caller waits for the work's end first: nothing goes on unseen."""
    return await to_the_end(asyncio.to_thread(work, *arguments, **named))


async def to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs steps that belong together. A cancelled caller waits for their end first, and is cancelled then."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # the cancellation says why; taken, so that nobody misses it
        raise
