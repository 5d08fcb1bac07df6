"""The documents that a directory holds (docs/reference/daemon.md, Repositories: Walk, Classification)."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from peppy.errors import InvalidInput
from peppy.manifest.document import Document
from peppy.manifest.files import MANIFEST_FILE, read_bytes
from peppy.manifest.interface import parse_interface
from peppy.manifest.node import parse_node
from peppy.manifest.schema import DocumentKind
from peppy.model.names import is_name, is_tag
from peppy.model.node import Variant
from peppy.store.ignored import Ignored
from peppy.store.repositories import real_path

LEFT_OUT = frozenset({"target", "node_modules", "__pycache__"})
"""Directories that are never looked into, besides everything hidden and what `.gitignore` names."""

SUFFIX = ".json5"

_SCHEMA = re.compile(r"""(?:^|[\s{,])["']?peppy_schema["']?\s*:\s*["'](node|interface|launcher)[_/]v1["']""")
_KINDS = {
    "node": DocumentKind.NODE,
    "interface": DocumentKind.INTERFACE,
    "launcher": DocumentKind.LAUNCHER,
}


@dataclass(frozen=True, slots=True)
class Found:
    """One document. What cannot be read of a broken one is its file's name and no tag; a launcher has no tag."""

    path: Path
    kind: DocumentKind
    name: str
    tag: str | None
    sha256: str
    broken: str | None = None


def found_documents(directory: Path, is_cancelled: Callable[[], bool] = lambda: False) -> Iterator[Found]:
    """Nodes, launchers and interfaces below a directory; symbolic links are not followed.

    The manifests of variants are no nodes of their own. Raises OSError when the directory itself cannot be listed.
    """
    documents: list[Found] = []
    variants: set[Path] = set()
    for path in _files(directory, is_cancelled):
        try:
            raw, file = read_bytes(path)
        except InvalidInput:
            continue
        found, declared = _classified(path, raw, file)
        if found is not None:
            documents.append(found)
        variants |= {real_path(path.parent / variant.local) for variant in declared if "\0" not in variant.local}
    for found in documents:
        if found.kind is not DocumentKind.NODE or real_path(found.path.parent) not in variants:
            yield found


def _files(directory: Path, is_cancelled: Callable[[], bool]) -> Iterator[Path]:
    """Every file that may be a document, of directories however deep. Raises OSError for the one at the top."""
    waiting = [("", Ignored())]
    while waiting:
        relative, above = waiting.pop()
        try:
            entries = _listed(directory / relative)
        except OSError:
            if not relative:
                raise
            continue  # a directory that may not be read holds nothing for us
        ignored = above.inside(directory / relative, relative)
        for entry in entries:
            if is_cancelled():
                return
            path = f"{relative}/{entry.name}" if relative else entry.name
            is_directory = entry.is_dir(follow_symlinks=False)
            if ignored.names(path, is_directory=is_directory):
                continue
            if is_directory and entry.name not in LEFT_OUT:
                waiting.append((path, ignored))
            elif entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False):
                yield directory / path


def _listed(directory: Path) -> list[os.DirEntry[str]]:
    """What is in a directory and not hidden."""
    with os.scandir(directory) as listing:
        return [entry for entry in listing if not entry.name.startswith(".") and _is_text(entry.name)]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- classification --------------------------------------------------------------------------------------------------


def _classified(path: Path, raw: bytes, file: str) -> tuple[Found | None, tuple[Variant, ...]]:
    """The document in a file, if it is one of ours, and the variants that it declares."""
    is_manifest = path.name == MANIFEST_FILE
    if b"peppy_schema" not in raw and not is_manifest:
        return None, ()
    root = _root(raw, file)
    kind = _kind(raw, root) or (DocumentKind.NODE if is_manifest else None)
    if kind is None or (kind is DocumentKind.NODE and not is_manifest):
        return None, ()
    digest = hashlib.sha256(raw).hexdigest()
    if kind is DocumentKind.LAUNCHER:
        broken = None if root is not None else _first_problem(lambda: Document.parse(raw, file))
        return Found(path, kind, path.stem, None, digest, broken), ()
    try:
        if kind is DocumentKind.NODE:
            manifest = parse_node(raw, file).manifest
            reference, variants = manifest.reference, manifest.variants
        else:
            reference, variants = parse_interface(raw, file).interface.reference, ()
    except InvalidInput as error:
        name, tag = _names(root, path)
        return Found(path, kind, name, tag, digest, str(error.details[0])), ()
    return Found(path, kind, reference.name, reference.tag, digest), variants


def _root(raw: bytes, file: str) -> dict[str, Any] | None:
    """The object at the top; None when there is none."""
    try:
        root = Document.parse(raw, file).root
    except InvalidInput:
        return None
    return cast(dict[str, Any], root) if isinstance(root, dict) else None


def _kind(raw: bytes, root: dict[str, Any] | None) -> DocumentKind | None:
    """What the document says it is; of one that is no JSON5 what its text looks like."""
    if root is not None:
        word = root.get("peppy_schema")
        match = re.fullmatch(r"(node|interface|launcher)[_/]v1", word) if isinstance(word, str) else None
    else:
        match = _SCHEMA.search(raw.decode(errors="replace"))
    return _KINDS[match[1]] if match else None


def _names(root: dict[str, Any] | None, path: Path) -> tuple[str, str | None]:
    """Name and tag of a broken document, as far as they can be read."""
    manifest = root.get("manifest") if root is not None else None
    known = cast(dict[str, Any], manifest) if isinstance(manifest, dict) else {}
    name, tag = known.get("name"), known.get("tag")
    return (
        name if isinstance(name, str) and is_name(name) else path.name,
        tag if isinstance(tag, str) and is_tag(tag) else None,
    )


def _first_problem(read: Callable[[], object]) -> str | None:
    try:
        read()
    except InvalidInput as error:
        return str(error.details[0])
    return None
