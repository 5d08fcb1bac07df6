"""What an entry of an archive may be (docs/reference/daemon.md, Build: Archive policy)."""

import os
import tarfile
from dataclasses import dataclass, field, replace

_NAME_BYTES = 255  # one component
_PATH_BYTES = 3000  # leaves room for the directory it is extracted to
_LATEST = 1 << 40  # seconds since the epoch that file systems can hold


class Unsafe(Exception):
    """An archive breaks its policy; the text says with which entry and why."""


@dataclass(frozen=True, slots=True)
class Policy:
    """None: no limit. `absolute_links`: symbolic links may point anywhere, as those of virtual environments do."""

    max_entries: int | None
    max_bytes: int | None
    absolute_links: bool

    def check_counts(self, entries: int, size: int) -> None:
        """Raises Unsafe when an archive with so many entries and bytes is too large."""
        if self.max_entries is not None and entries > self.max_entries:
            raise Unsafe(f"it has more than {self.max_entries} entries")
        if self.max_bytes is not None and size > self.max_bytes:
            raise Unsafe(f"it has more than {self.max_bytes} bytes")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the archive has it; `link` is the target of a link."""

    name: str
    type: bytes
    size: int
    mode: int
    mtime: float
    link: str

    @classmethod
    def of(cls, member: tarfile.TarInfo) -> "Entry":
        """The entry that tarfile has parsed."""
        mtime = member.mtime if 0 <= member.mtime < _LATEST else 0  # 0 for a NaN, too
        return cls(member.name, member.type, member.size, member.mode & 0o777, mtime, member.linkname)

    @property
    def is_directory(self) -> bool:
        return self.type == tarfile.DIRTYPE

    @property
    def is_file(self) -> bool:
        return self.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)

    @property
    def is_symbolic_link(self) -> bool:
        return self.type == tarfile.SYMTYPE

    @property
    def is_hard_link(self) -> bool:
        return self.type == tarfile.LNKTYPE


@dataclass(slots=True)
class EntryCheck:
    """Takes the entries of one archive in their order and refuses the first that may not be there."""

    policy: Policy
    entries: int = 0
    _files: set[str] = field(default_factory=set[str])
    _links: set[str] = field(default_factory=set[str])
    _directories: set[str] = field(default_factory=set[str])
    _size: int = 0

    def add(self, entry: Entry) -> Entry:
        """The entry with its name (and that of a hard link's target) in plain form; `` for the directory itself.

        Raises Unsafe.
        """
        self.entries += 1
        self._size += entry.size if entry.is_file else 0
        self.policy.check_counts(self.entries, self._size)
        plain = replace(entry, name=_plain(entry.name, entry.name))
        self._check_place(plain)
        if plain.is_directory:
            self._directories.add(plain.name)
        elif plain.is_file:
            self._files.add(plain.name)
        elif plain.is_symbolic_link:
            self._check_symbolic_link(plain)
            self._links.add(plain.name)
        elif plain.is_hard_link:
            plain = replace(plain, link=_plain(plain.link, plain.name))
            if plain.link not in self._files:
                raise Unsafe(f"entry `{plain.name}` is a link to `{plain.link}`, which is no file before it")
            self._files.add(plain.name)
        else:
            raise Unsafe(f"entry `{plain.name}` is neither file, directory nor link")
        return plain

    def _check_place(self, entry: Entry) -> None:
        parts = entry.name.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent in self._files or parent in self._links:
                raise Unsafe(f"entry `{entry.name}` lies below `{parent}`, which is no directory")
            self._directories.add(parent)
        taken = entry.name in self._files or entry.name in self._links
        if taken or (entry.name in self._directories and not entry.is_directory):
            raise Unsafe(f"entry `{entry.name}` is there twice")
        if not entry.name and not entry.is_directory:
            raise Unsafe("an entry has no name")

    def _check_symbolic_link(self, entry: Entry) -> None:
        if not entry.link or "\0" in entry.link:
            raise Unsafe(f"entry `{entry.name}` is a link to nothing")
        if self.policy.absolute_links:
            return
        if entry.link.startswith("/"):
            raise Unsafe(f"entry `{entry.name}` is a link to `{entry.link}`, outside the archive")
        parts = [part for part in entry.link.split("/") if part not in ("", ".")]
        ups = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
        # a `..` behind a name could start at the target of another link, so it counts as leaving, too
        if ups > entry.name.count("/") or ".." in parts[ups:]:
            raise Unsafe(f"entry `{entry.name}` is a link to `{entry.link}`, outside the archive")


def _plain(name: str, entry: str) -> str:
    if name.startswith("/"):
        raise Unsafe(f"entry `{entry}` has the absolute name `{name}`")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Unsafe(f"entry `{entry}` has `..` in `{name}`")
    if "\0" in name:
        raise Unsafe(f"the name of entry `{entry!r}` has a NUL")
    if len(os.fsencode(name)) > _PATH_BYTES or any(len(os.fsencode(part)) > _NAME_BYTES for part in parts):
        raise Unsafe("an entry has a name that is too long")
    return "/".join(parts)
