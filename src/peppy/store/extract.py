"""Archives become directories, under one of two policies (docs/reference/daemon.md, Build: Archive policy).

An archive that a user gives is read three times: its raw headers (so that tarfile never meets a header that is made to
exhaust it), its entries (so that nothing is extracted from a bad one), and at last its content. What daemon.md calls
unsafe is decided here and not by tarfile, which is only the parser.
"""

import contextlib
import os
import re
import shutil
import tarfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, BinaryIO, Final

from peppy.errors import PeppyError
from peppy.store.atomic import storage_errors
from peppy.store.copying import remove_tree
from peppy.store.entries import Entry, EntryCheck, Policy, Unsafe

SOURCE: Final = Policy(max_entries=20_000, max_bytes=2 << 30, absolute_links=False)
ARTIFACT: Final = Policy(max_entries=None, max_bytes=None, absolute_links=True)

_BLOCK = 512
_COPY_BYTES = 1 << 20
_STREAM_BYTES = 32 << 10  # tarfile copies the rest of this many with every header
_WINDOW_BYTES = 128 << 20  # the decompressor's memory; `zstd --ultra -22` needs it
_EXTENSION_BYTES = 64 << 10  # of a header that continues another: far more than the longest path
_EXTENSIONS = b"xgLK"
_CONTENT = b"\0" + b"01257xgLK"
_SIZE_OVERRIDE = re.compile(rb"(?:\A|\n)\d+ (?:size|GNU\.sparse[^=]*)=")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def extract_source(archive: Path, target: Path) -> None:
    """Extracts a `.tar.zst` that a user gave into the new directory `target`.

    Raises PeppyError, ``unsafe archive …``, for entries that are absolute, have `..`, lie below a link or come twice,
    for links that leave the tree, special files, more than 20 000 entries or 2 GiB: nothing is extracted then.
    """
    with _opened(archive) as file:
        headers = _check_headers(file, SOURCE)
        check = EntryCheck(SOURCE)
        for member in _members(file):
            check.add(member)
        if check.entries != headers:
            raise tarfile.ReadError("a header in it is damaged")
        _extract(file, target, SOURCE)


def extract_artifact(archive: Path, target: Path) -> None:
    """Extracts an archive that `pack_artifact` made, and whose digest was checked, into the new directory `target`.

    Symbolic links may point anywhere, they are made last and never followed. Raises PeppyError.
    """
    with _opened(archive) as file:
        _extract(file, target, ARTIFACT)


@contextlib.contextmanager
def _opened(archive: Path) -> Generator[BinaryIO]:
    import zstandard

    with storage_errors("read", archive):
        file = archive.open("rb")
    with file:
        try:
            yield file
        except Unsafe as error:
            raise PeppyError(f"unsafe archive `{archive}`: {error}", kind="Refused") from error
        except (tarfile.TarError, zstandard.ZstdError, EOFError, UnicodeError) as error:
            raise PeppyError(f"`{archive}` is no whole .tar.zst archive: {error}", kind="Refused") from error


@contextlib.contextmanager
def _content(file: BinaryIO) -> Generator[BinaryIO]:
    import zstandard

    file.seek(0)
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    with decompressor.stream_reader(file, read_across_frames=True, closefd=False) as stream:
        yield stream  # pyright: ignore[reportReturnType]


def _members(file: BinaryIO) -> Iterator[Entry]:
    with _content(file) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=_STREAM_BYTES) as tar:
        for member in tar:
            yield Entry.of(member)


# ---- first reading: raw headers ------------------------------------------------------------------------------------


def _check_headers(file: BinaryIO, policy: Policy) -> int:
    """The number of entries. Raises Unsafe, EOFError, tarfile.ReadError."""
    entries = extensions = total = 0
    with _content(file) as stream:
        while header := _read(stream, _BLOCK):
            if not header.strip(b"\0"):
                return entries
            kind, size = header[156:157], _size(header)
            _check_kind(header, kind, size)
            if kind in _EXTENSIONS:
                _check_extension(kind, _read(stream, min(size, _EXTENSION_BYTES + 1)))
                _skip(stream, -size % _BLOCK)
                extensions += 1
            else:
                _skip(stream, size + -size % _BLOCK)
                entries += 1
            total += size
            policy.check_counts(max(entries, extensions // len(_EXTENSIONS)), total)
    raise EOFError("it ends in the middle")


def _check_kind(header: bytes, kind: bytes, size: int) -> None:
    """What follows a header has to be as clear to this reading as to tarfile's."""
    if kind not in _CONTENT:
        raise Unsafe(f"an entry has the type `{kind.decode('latin-1')}`: devices, pipes and the like are refused")
    old_directory = kind == b"\0" and header[:100].rstrip(b"\0").endswith(b"/")
    if size > 0 and (kind in b"125" or old_directory):
        raise Unsafe("a directory or link has content")


def _size(header: bytes) -> int:
    field = header[124:136]
    if field[0] & 0x80:
        raise Unsafe("an entry has a size beyond 8 GiB")
    digits = field.split(b"\0")[0].strip()
    if not re.fullmatch(rb"[0-7]*", digits):
        raise tarfile.ReadError("a size is no octal number")
    return int(digits or b"0", 8)


def _check_extension(kind: bytes, content: bytes) -> None:
    if len(content) > _EXTENSION_BYTES:
        raise Unsafe(f"a header has more than {_EXTENSION_BYTES} bytes")
    if kind in b"xg" and _SIZE_OVERRIDE.search(content):
        raise Unsafe("an entry has a second size")


def _read(stream: BinaryIO, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    if size > 0 and parts:
        raise EOFError("it ends in the middle")
    return b"".join(parts)


def _skip(stream: BinaryIO, size: int) -> None:
    while size > 0:
        part = stream.read(min(size, _COPY_BYTES))
        if not part:
            raise EOFError("it ends in the middle")
        size -= len(part)


# ---- last reading: content -----------------------------------------------------------------------------------------


def _extract(file: BinaryIO, target: Path, policy: Policy) -> None:
    """Checks each entry again: the file may have changed since it was checked."""
    check = EntryCheck(policy)
    links: list[Entry] = []
    with storage_errors("create", target):
        target.mkdir(parents=True)
    try:
        with storage_errors("extract to", target):
            with _content(file) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=_STREAM_BYTES) as tar:
                for member in tar:
                    entry = check.add(Entry.of(member))
                    if entry.is_symbolic_link:
                        links.append(entry)
                    else:
                        _create(entry, target, tar.extractfile(member) if entry.is_file else None)
            for entry in links:  # last, so that nothing is written through one
                _parent(target / entry.name)
                (target / entry.name).symlink_to(entry.link)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_tree(target)
        raise


def _create(entry: Entry, target: Path, content: IO[bytes] | None) -> None:
    path = target / entry.name
    if entry.is_directory:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(entry.mode | 0o700)
        return
    _parent(path)
    if entry.is_hard_link:
        os.link(target / entry.link, path, follow_symlinks=False)
        return
    try:
        descriptor = os.open(path, _CREATE, 0o600)
    except FileExistsError as error:  # `A` and `a` on a file system that does not tell them apart
        raise Unsafe(f"entry `{entry.name}` is there twice") from error
    with os.fdopen(descriptor, "wb") as file:
        if content is not None:
            shutil.copyfileobj(content, file, _COPY_BYTES)
        os.fchmod(descriptor, entry.mode | 0o600)
        file.flush()
        os.utime(descriptor, (entry.mtime, entry.mtime))


def _parent(path: Path) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
