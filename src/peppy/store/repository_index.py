"""The indexes of what repositories hold, `cache/{nodes,launchers,interfaces}.json5`, and looking things up in them.

docs/reference/daemon.md, Repositories. An index that is missing or damaged counts as empty: a refresh makes it anew.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from peppy.errors import InvalidInput, PeppyError, Problem
from peppy.manifest.files import read_bytes
from peppy.manifest.interface import InterfaceDocument, parse_interface
from peppy.manifest.schema import DocumentKind
from peppy.model.interface import CachedInterface
from peppy.model.names import Reference
from peppy.model.node import NodeManifest, SlotKind
from peppy.store.atomic import write_file
from peppy.store.repositories import FS, Repository, load_repositories
from peppy.store.repository_walk import Found, found_documents
from peppy.store.root import DataRoot

VERSION = 1


class Entry(msgspec.Struct, frozen=True):
    """One document of a repository. `tag` is None of a launcher; `broken` is the first error of a broken document."""

    repository: int
    name: str
    tag: str | None
    source_type: str
    source_uri: str
    resolved_ref: str | None
    sha256: str
    path: str
    broken: str | None = None

    @property
    def key(self) -> tuple[str, str | None]:
        """What it is looked up by."""
        return self.name, self.tag


class _Index(msgspec.Struct, frozen=True):
    version: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Indexes:
    """All entries in the order of lookup: lower repository ids first, then paths in byte order."""

    nodes: tuple[Entry, ...] = ()
    launchers: tuple[Entry, ...] = ()
    interfaces: tuple[Entry, ...] = ()

    def __iter__(self) -> Iterator[tuple[Entry, ...]]:
        return iter((self.nodes, self.launchers, self.interfaces))


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh has found; `warnings` name what could not be read."""

    indexes: Indexes
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResolvedInterfaces:
    """The interfaces that a node names, as the cache has them: documents, and why others cannot be used."""

    named: Collection[Reference] = ()
    documents: dict[Reference, InterfaceDocument] = field(default_factory=dict[Reference, InterfaceDocument])
    broken: dict[Reference, tuple[Problem, ...]] = field(default_factory=dict[Reference, tuple[Problem, ...]])

    def checked_with(self, others: Mapping[Reference, InterfaceDocument]) -> dict[Reference, CachedInterface]:
        """For the checks of the node: what the cache has, and of interfaces that it does not name those of `others`."""
        known = {reference: found for reference, found in others.items() if reference not in self.named}
        documents = {**known, **self.documents}
        return {
            **{reference: CachedInterface(None, "", problems) for reference, problems in self.broken.items()},
            **{reference: CachedInterface(found.interface, found.sha256) for reference, found in documents.items()},
        }


# --- the files -------------------------------------------------------------------------------------------------------


def load_indexes(root: DataRoot) -> Indexes:
    """What the last refresh has found."""
    return Indexes(*(_read(path) for path in _paths(root)))


def _paths(root: DataRoot) -> tuple[Path, Path, Path]:
    return root.node_index, root.launcher_index, root.interface_index


def _read(path: Path) -> tuple[Entry, ...]:
    try:
        index = msgspec.json.decode(path.read_bytes(), type=_Index)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return index.entries if index.version == VERSION else ()


def _save(root: DataRoot, indexes: Indexes) -> None:
    for path, entries in zip(_paths(root), indexes, strict=True):
        content = msgspec.json.format(msgspec.json.encode(_Index(VERSION, entries)), indent=2) + b"\n"
        write_file(path, content, mode=0o644)


# --- refreshing ------------------------------------------------------------------------------------------------------


def refresh(root: DataRoot, is_cancelled: Callable[[], bool], *, after_removal: bool = False) -> Refreshed:
    """Reads every repository again; one that cannot be read keeps its entries.

    Raises PeppyError when the list of repositories is not valid, and when all of them fail unless it is done
    `after_removal` of one, whose entries go in any case. Nothing is written then, nor after `is_cancelled`.
    """
    repositories = load_repositories(root)
    former = load_indexes(root)
    warnings: list[str] = []
    found: dict[int, Indexes] = {}
    for repository in repositories:
        try:
            fresh = _of_repository(repository, is_cancelled)
        except PeppyError as error:
            warnings.append(error.message)
            continue
        found[repository.id] = fresh
        warnings += [f"`{entry.path}` is broken: {entry.broken}" for entry in fresh.nodes if entry.broken]
    if repositories and not found and not after_removal:
        raise PeppyError("\n".join(warnings), kind="NotFound", hint="see `peppy repo list`, and remove what is gone")
    indexes = _merged(repositories, found, former)
    if not is_cancelled():
        _save(root, indexes)
    return Refreshed(indexes, tuple(warnings))


def _of_repository(repository: Repository, is_cancelled: Callable[[], bool]) -> Indexes:
    if repository.type != FS:
        what = f"repository {repository.id} (`{repository.label}`)"
        raise PeppyError(f"{what} is left out: git repositories are not supported yet", kind="Refused")
    try:
        documents = list(found_documents(Path(repository.source), is_cancelled))
    except OSError as error:
        what = f"repository {repository.id} (`{repository.label}`)"
        raise PeppyError(f"{what} cannot be read: {error.strerror}", kind="NotFound") from error
    return Indexes(*(tuple(_entries(repository, documents, kind)) for kind in _KINDS))


_KINDS = (DocumentKind.NODE, DocumentKind.LAUNCHER, DocumentKind.INTERFACE)


def _entries(repository: Repository, documents: Iterable[Found], kind: DocumentKind) -> Iterator[Entry]:
    for document in documents:
        if document.kind is kind:
            yield Entry(
                repository=repository.id,
                name=document.name,
                tag=document.tag,
                source_type=repository.type,
                source_uri=repository.source,
                resolved_ref=None,
                sha256=document.sha256,
                path=str(document.path),
                broken=document.broken,
            )


def _merged(repositories: Iterable[Repository], found: dict[int, Indexes], former: Indexes) -> Indexes:
    """The new entries, and the old ones of a repository that could not be read and is still the same place."""
    kept = {repository.id: repository.source for repository in repositories if repository.id not in found}
    groups: list[tuple[Entry, ...]] = []
    for number, old in enumerate(former):
        entries = [entry for entry in old if kept.get(entry.repository) == entry.source_uri]
        entries += [entry for fresh in found.values() for entry in tuple(fresh)[number]]
        groups.append(tuple(sorted(entries, key=lambda entry: (entry.repository, os.fsencode(entry.path)))))
    return Indexes(*groups)


# --- looking up ------------------------------------------------------------------------------------------------------


def resolve_interfaces(root: DataRoot, manifest: NodeManifest) -> ResolvedInterfaces:
    """What the cache has of the interfaces that a node names; those that it does not know are left out."""
    slots = (slot.provider for slot in manifest.slots if slot.kind is SlotKind.INTERFACE)
    named = list(dict.fromkeys([*slots, *(claim.interface for claim in manifest.conforms_to)]))
    resolved = ResolvedInterfaces(named)
    entries = load_indexes(root).interfaces if named else ()
    for reference in named:
        entry = next((entry for entry in entries if entry.key == (reference.name, reference.tag)), None)
        if entry is None:
            continue
        try:
            resolved.documents[reference] = _document(entry, reference)
        except InvalidInput as error:
            resolved.broken[reference] = error.details
    return resolved


def _document(entry: Entry, reference: Reference) -> InterfaceDocument:
    """The document behind an entry; InvalidInput with all its errors, or when it is another one by now."""
    try:
        raw, file = read_bytes(Path(entry.path))
    except InvalidInput:
        raise _outdated(entry, reference, "cannot be read any more") from None
    if hashlib.sha256(raw).hexdigest() != entry.sha256:
        raise _outdated(entry, reference, "has changed since the last refresh")
    return parse_interface(raw, file)


def _outdated(entry: Entry, reference: Reference, what: str) -> InvalidInput:
    text = f"interface `{reference}`: its document `{entry.path}` {what}"
    return InvalidInput([Problem("InterfaceNotCached", text, hint="run `peppy repo refresh`")])
