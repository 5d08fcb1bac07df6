"""Repositories are changed and read by one at a time (docs/reference/daemon.md, Concurrency gate)."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from peppy.daemon import repositories
from peppy.daemon.repositories import RepositoryKeeper
from peppy.errors import PeppyError
from peppy.store.repository_index import Indexes, Refreshed
from peppy.store.root import DataRoot

WATCHDOG_SECS = 30.0


class SlowRefresh:
    """A refresh that goes on until it is cancelled or `go_on` is set."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.was_cancelled = False

    def __call__(self, _root: DataRoot, is_cancelled: Callable[[], bool], *, after_removal: bool) -> Refreshed:
        assert not after_removal
        self.begun.set()
        while not self.go_on.wait(0.01):
            if is_cancelled():
                self.was_cancelled = True
                break
        return Refreshed(Indexes(), ())


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowRefresh:
    made = SlowRefresh()
    monkeypatch.setattr(repositories, "refresh", made)
    return made


@pytest.fixture
def keeper(tmp_path: Path) -> RepositoryKeeper:
    root = DataRoot(tmp_path / "home")
    root.create()
    return RepositoryKeeper(root)


async def begun(keeper: RepositoryKeeper, slow: SlowRefresh) -> "asyncio.Task[object]":
    running = asyncio.ensure_future(keeper.refresh())
    assert await asyncio.to_thread(slow.begun.wait, WATCHDOG_SECS)
    return running


def test_while_a_refresh_runs_nobody_else_changes_anything(keeper: RepositoryKeeper, slow: SlowRefresh, tmp_path: Path):
    async def run() -> None:
        running = await begun(keeper, slow)
        for change in (keeper.refresh(), keeper.add(tmp_path, top=False), keeper.remove(1000)):
            with pytest.raises(PeppyError, match="the repositories are busy") as raised:
                await change
            assert raised.value.kind == "Busy"
        assert (await keeper.listed()).repositories == ()
        slow.go_on.set()
        await running
        assert (await keeper.add(tmp_path, top=False)).id == 1000

    asyncio.run(run())


def test_a_cancelled_refresh_ends_before_the_next_one_begins(keeper: RepositoryKeeper, slow: SlowRefresh):
    async def run() -> None:
        running = await begun(keeper, slow)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert slow.was_cancelled
        slow.go_on.set()
        await keeper.refresh()

    asyncio.run(run())
