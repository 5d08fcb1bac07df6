"""`peppy repo list` and `repo refresh` as text (docs/reference/cli.md, `peppy repo`)."""

from collections.abc import Iterable, Iterator, Sequence

from peppy.cli.terminal import display_width, harmless, padded
from peppy.protocol.answers import RepositoryEntry, RepositoryLauncher, RepositoryRow

NO_TAG = "-"


def repository_lines(repositories: Iterable[RepositoryRow]) -> list[str]:
    """Each repository with its id and its nodes, then all launchers and all interfaces."""
    rows = list(repositories)
    lines = [line for row in rows for line in _repository(row)]
    launchers = [(entry.name, entry.path, _notes(entry)) for row in rows for entry in row.launchers]
    interfaces = [_cells(entry) for row in rows for entry in row.interfaces]
    for title, entries in (("Launchers:", launchers), ("Interfaces:", interfaces)):
        if entries:
            lines += ["", title, *_aligned(entries)]
    return [harmless(line) for line in lines]


def refreshed_text(repositories: Iterable[RepositoryRow]) -> str:
    """How much there is."""
    rows = list(repositories)
    nodes, launchers, interfaces = (
        sum(len(entries) for entries in column)
        for column in ((row.nodes for row in rows), (row.launchers for row in rows), (row.interfaces for row in rows))
    )
    return f"Refreshed {len(rows)} repositories: {nodes} nodes, {launchers} launchers, {interfaces} interfaces"


def _repository(row: RepositoryRow) -> Iterator[str]:
    yield f"{row.id}: {row.label} ({len(row.nodes)} nodes):"
    yield from _aligned([_cells(entry) for entry in row.nodes])


def _cells(entry: RepositoryEntry) -> tuple[str, ...]:
    return entry.name, entry.tag or NO_TAG, entry.path, _notes(entry)


def _notes(entry: RepositoryEntry | RepositoryLauncher) -> str:
    notes = ["(duplicate)"] if entry.duplicate else []
    notes += [f"(broken: {entry.broken})"] if entry.broken else []
    return " ".join(notes)


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Two spaces before each row and between its cells; the last cell, often empty, is as wide as it is."""
    widths = [max(display_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [padded(cell, width) for cell, width in zip(row, widths, strict=True)]
        yield f"  {'  '.join(cells)}".rstrip()
