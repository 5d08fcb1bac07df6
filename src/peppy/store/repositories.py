"""Repositories: places that nodes, launchers and interfaces come from (docs/reference/daemon.md, Repositories).

`conf/repositories.json5` lists them. A person may write it by hand; `peppy repo add` and `remove` write it anew.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from peppy.errors import PeppyError
from peppy.manifest.cursor import Cursor
from peppy.manifest.document import Document
from peppy.manifest.files import read_bytes
from peppy.model.text import quoted
from peppy.store.atomic import write_file
from peppy.store.root import DataRoot

FIRST_ID = 1000
FS = "fs"
GIT = "git"
URL = "url"

_KEYS = {
    FS: {"id": False, "type": True, "path": True},
    GIT: {"id": False, "type": True, "url": True, "ref": False},
}


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository: `source` is the absolute path of a directory (`fs`) or a URL (`git`); a lower id wins."""

    id: int
    type: str
    source: str
    ref: str | None = None

    @property
    def label(self) -> str:
        """How people know it, and what two entries for the same place have in common."""
        return self.source if self.ref is None else f"{self.source}@{self.ref}"


def load_repositories(root: DataRoot) -> tuple[Repository, ...]:
    """All repositories by id; none without a file. InvalidInput with every problem of the file."""
    if not root.repositories.exists():
        return ()
    raw, file = read_bytes(root.repositories)
    document = Document.parse(raw, file)
    cursor = Cursor.of(document)
    found = [(item, _entry(item)) for item in cursor.items()]
    read = [(item, entry) for item, entry in found if entry is not None]
    _refuse_repeated(read)
    document.finish()
    return _numbered([entry for _, entry in read])


def save_repositories(root: DataRoot, repositories: Iterable[Repository]) -> None:
    """Writes the list; comments of the former file are lost. Raises PeppyError."""
    entries = [_written(repository) for repository in sorted(repositories, key=lambda found: found.id)]
    write_file(root.repositories, msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n", mode=0o644)


def added(repositories: Iterable[Repository], source: Path, *, top: bool) -> Repository:
    """The new entry for a directory. Raises PeppyError: `Refused` when it is there already or no id is left."""
    known = list(repositories)
    path = real_path(source)
    if not path.is_dir():
        raise PeppyError(f"`{source}` is no directory", kind="NotFound", hint="name the directory of a repository")
    for other in known:
        if other.type == FS and real_path(Path(other.source)) == path:
            raise PeppyError(
                f"repository `{path}` already exists (id {other.id})",
                kind="Refused",
                hint="run `peppy repo refresh` to read it again",
            )
    ids = [repository.id for repository in known]
    number = FIRST_ID if not ids else min(ids) - 1 if top else max(ids) + 1
    if number < 0:
        hint = "give the first repository another id in conf/repositories.json5"
        raise PeppyError("there is no id below `0` for `--top`", kind="Refused", hint=hint)
    return Repository(number, FS, str(path))


def real_path(path: Path) -> Path:
    """The path without symbolic links, as far as they lead anywhere. ValueError for one with a NUL character."""
    return Path(os.path.realpath(path))  # resolve() fails in a circle of links


def without(repositories: Iterable[Repository], number: int) -> list[Repository]:
    """The list without one id. Raises PeppyError (`NotFound`)."""
    known = list(repositories)
    left = [repository for repository in known if repository.id != number]
    if len(left) == len(known):
        listed = ", ".join(str(repository.id) for repository in known) or "none"
        raise PeppyError(
            f"there is no repository with id `{number}`; ids: {listed}",
            kind="NotFound",
            hint="see them with `peppy repo list`",
        )
    return left


# --- reading ---------------------------------------------------------------------------------------------------------

_UNNUMBERED = -1


def _entry(item: Cursor) -> Repository | None:
    if not item.is_object:
        item.wrong_type("an object")
        return None
    word = dict(item.entries() or ()).get("type")
    kind = FS if word is None else word.one_of("UnknownType", "repository type", (FS, GIT, URL))
    if word is not None and kind == URL:
        word.report("Refused", "repositories of type `url` are not supported yet", "use type `fs`")
    members = item.members(_KEYS[kind]) if kind in _KEYS else None
    if members is None or kind is None:
        return None
    number = _number(members.get("id"))
    place = members.get("path" if kind == FS else "url")
    source = place.filled() if place is not None else None
    ref = members["ref"].filled() if "ref" in members else None
    if place is not None and source is not None and kind == FS and (source[0] != "/" or "\0" in source):
        place.report("BadPath", f"{quoted(source)} is no absolute path", "write the whole path, starting with `/`")
    return None if source is None or number is None else Repository(number, kind, source, ref)


def _number(cursor: Cursor | None) -> int | None:
    if cursor is None:
        return _UNNUMBERED
    value = cursor.value
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        cursor.wrong_type("an integer from 0 on")
        return None
    return value


def _refuse_repeated(read: list[tuple[Cursor, Repository]]) -> None:
    ids: dict[int, Cursor] = {}
    places: dict[tuple[str, str], Cursor] = {}
    for item, repository in read:
        if repository.id != _UNNUMBERED:
            first = ids.setdefault(repository.id, item)
            if first is not item:
                text = f"the id `{repository.id}` is used twice"
                item.report("DuplicateItem", text, "give each repository its own id", first=first)
        key = (repository.type, repository.label)
        first = places.setdefault(key, item)
        if first is not item:
            text = f"the repository `{repository.label}` is listed twice"
            item.report("DuplicateItem", text, "keep one of the two", first=first)


def _numbered(repositories: list[Repository]) -> tuple[Repository, ...]:
    """Those without an id get the highest + 1, in the order of the file."""
    highest = max((repository.id for repository in repositories), default=_UNNUMBERED)
    fresh = highest + 1 if highest >= 0 else FIRST_ID
    return tuple(sorted(_with_ids(repositories, fresh), key=lambda repository: repository.id))


def _with_ids(repositories: list[Repository], fresh: int) -> Iterator[Repository]:
    for repository in repositories:
        if repository.id == _UNNUMBERED:
            yield replace(repository, id=fresh)
            fresh += 1
        else:
            yield repository


def _written(repository: Repository) -> dict[str, object]:
    place = "path" if repository.type == FS else "url"
    entry: dict[str, object] = {"id": repository.id, "type": repository.type, place: repository.source}
    return entry if repository.ref is None else {**entry, "ref": repository.ref}
