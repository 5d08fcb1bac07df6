"""The stop sequence, for a set of instances with one grace (docs/reference/daemon.md, Stop sequence, steps 1 to 5)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from peppy.errors import PeppyError
from peppy.process.records import Exit
from peppy.process.watch import Shim

END_LIMIT_SECS = (
    10.0  # after SIGTERM to the shim; SIGKILL follows after 1 s, so more means a process stuck in the kernel
)


@dataclass(frozen=True, slots=True)
class Stopped:
    """What became of one instance.

    `record` is None without exit record; `problem` is None when every process is gone, else why one may be left.
    """

    record: Exit | None
    problem: str | None = None

    @property
    def killed(self) -> bool:
        """Whether SIGKILL was needed (a warning, not a failure)."""
        return self.record is not None and self.record.killed


RequestShutdown = Callable[[str], Awaitable[bool]]


async def stop(
    shims: Mapping[str, Shim], request_shutdown: RequestShutdown, *, grace_secs: float, hurry: asyncio.Event
) -> dict[str, Stopped]:
    """Stops all instances (keys: instance ids) at the same time and returns one result for each.

    `request_shutdown(instance_id)` asks over the node's connection and returns False when there is none: such an
    instance gets SIGTERM at once. `hurry` skips what remains of the grace. Raises nothing for a single instance.
    """
    deadline = asyncio.get_running_loop().time() + grace_secs

    async def stop_one(instance_id: str, shim: Shim) -> Stopped:
        try:
            if await _ask(instance_id, request_shutdown, deadline):
                await _wait_for_child(shim, deadline, hurry)
            return await _end(shim)
        except PeppyError as error:
            return Stopped(await _record_now(shim), error.message)

    results = await asyncio.gather(*(stop_one(instance_id, shim) for instance_id, shim in shims.items()))
    return dict(zip(shims, results, strict=True))


async def _ask(instance_id: str, request_shutdown: RequestShutdown, deadline: float) -> bool:
    """A node that does not take its request within the grace counts as one without connection."""
    try:
        async with asyncio.timeout_at(deadline):
            return await request_shutdown(instance_id)
    except TimeoutError:
        return False


async def _wait_for_child(shim: Shim, deadline: float, hurry: asyncio.Event) -> None:
    waits = [asyncio.create_task(shim.child_end()), asyncio.create_task(hurry.wait())]
    left = deadline - asyncio.get_running_loop().time()
    try:
        await asyncio.wait(waits, timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _end(shim: Shim) -> Stopped:
    """SIGTERM to the shim also when its child is gone: what the child left behind ends before the id is free."""
    shim.terminate()
    try:
        async with asyncio.timeout(END_LIMIT_SECS):
            return Stopped(await shim.end())
    except TimeoutError:
        return Stopped(
            await _record_now(shim),
            f"processes of shim `{shim.pids.shim.pid}` are left {END_LIMIT_SECS:.0f} s after SIGTERM",
        )


async def _record_now(shim: Shim) -> Exit | None:
    return await shim.child_end() if shim.child_has_ended else None
