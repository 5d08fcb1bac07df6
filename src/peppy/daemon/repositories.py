"""The repositories of this data root: edited and read again on request, one at a time.

What is in them, and where the indexes are: docs/reference/daemon.md, Repositories.
"""

import asyncio
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from peppy.daemon.operation import in_thread
from peppy.errors import PeppyError
from peppy.protocol.answers import Repositories, RepositoryEntry, RepositoryLauncher, RepositoryRow
from peppy.store.repositories import Repository, added, load_repositories, save_repositories, without
from peppy.store.repository_index import Entry, Indexes, load_indexes, refresh
from peppy.store.root import DataRoot


class RepositoryKeeper:
    """The list and the indexes; whoever comes while another one changes them is told `Busy`."""

    def __init__(self, root: DataRoot) -> None:
        self._root = root
        self._since: float | None = None

    async def listed(self) -> Repositories:
        """What the last refresh has found."""
        return await in_thread(self._listed)

    def _listed(self) -> Repositories:
        return described(load_repositories(self._root), load_indexes(self._root))

    async def add(self, source: Path, *, top: bool) -> Repository:
        """Registers a directory. Raises PeppyError."""
        with self._alone():
            return await in_thread(self._add, source, top=top)

    def _add(self, source: Path, *, top: bool) -> Repository:
        known = load_repositories(self._root)
        new = added(known, source, top=top)
        save_repositories(self._root, [*known, new])
        return new

    async def remove(self, number: int) -> Repositories:
        """Forgets a repository and reads the others again. Raises PeppyError."""
        with self._alone():
            await in_thread(self._remove, number)
            return await self._read_again(after_removal=True)

    def _remove(self, number: int) -> None:
        save_repositories(self._root, without(load_repositories(self._root), number))

    async def refresh(self) -> Repositories:
        """Reads all repositories again. Raises PeppyError when none of them can be read."""
        with self._alone():
            return await self._read_again(after_removal=False)

    async def _read_again(self, *, after_removal: bool) -> Repositories:
        cancelled = threading.Event()
        reading = asyncio.ensure_future(in_thread(self._refreshed, cancelled.is_set, after_removal))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.wait([reading])
            raise

    def _refreshed(self, is_cancelled: Callable[[], bool], after_removal: bool) -> Repositories:
        found = refresh(self._root, is_cancelled, after_removal=after_removal)
        return described(load_repositories(self._root), found.indexes, found.warnings)

    @contextmanager
    def _alone(self) -> Generator[None]:
        if self._since is not None:
            age = monotonic() - self._since
            raise PeppyError(
                f"the repositories are busy: they have been changed or read for {age:.0f} s",
                kind="Busy",
                hint="wait for the end of that, or interrupt it with Ctrl-C",
            )
        self._since = monotonic()
        try:
            yield
        finally:
            self._since = None


def described(repositories: Iterable[Repository], indexes: Indexes, warnings: tuple[str, ...] = ()) -> Repositories:
    """The list as the command line shows it; of equal entries all but the first are duplicates."""
    nodes, launchers, interfaces = (_with_duplicates(entries) for entries in indexes)
    return Repositories(
        repositories=tuple(
            RepositoryRow(
                id=repository.id,
                type=repository.type,
                label=repository.label,
                nodes=tuple(_row(*found) for found in nodes if found[0].repository == repository.id),
                launchers=tuple(_launcher(*found) for found in launchers if found[0].repository == repository.id),
                interfaces=tuple(_row(*found) for found in interfaces if found[0].repository == repository.id),
            )
            for repository in repositories
        ),
        warnings=warnings,
    )


def _with_duplicates(entries: Iterable[Entry]) -> list[tuple[Entry, bool]]:
    """Every entry, and whether another one is taken in its place. A name that cannot be read is nobody's."""
    seen: set[tuple[str, str | None]] = set()
    found: list[tuple[Entry, bool]] = []
    for entry in entries:
        found.append((entry, entry.key in seen))
        seen.add(entry.key)
    return found


def _row(entry: Entry, duplicate: bool) -> RepositoryEntry:
    return RepositoryEntry(entry.name, entry.tag, entry.path, duplicate and entry.tag is not None, entry.broken)


def _launcher(entry: Entry, duplicate: bool) -> RepositoryLauncher:
    return RepositoryLauncher(entry.name, entry.path, duplicate, entry.broken)
