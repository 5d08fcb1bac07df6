"""Where `node add` takes a node from: a directory, a manifest in one, or an archive (docs/reference/cli.md, 3.1)."""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from peppy.errors import PeppyError
from peppy.manifest.files import MANIFEST_FILE
from peppy.model.text import quoted
from peppy.store.atomic import storage_errors
from peppy.store.copying import remove_tree
from peppy.store.extract import extract_source
from peppy.store.root import DataRoot

ARCHIVES = (".tar.zst", ".tar.zstd", ".tzst")


@dataclass(frozen=True, slots=True)
class Source:
    """A node's tree on the disk. `local`: it is the user's own directory, not an extracted archive."""

    name: str
    directory: Path
    local: bool


@contextmanager
def open_source(root: DataRoot, text: str) -> Generator[Source]:
    """The source that a request names; what an archive gave is deleted afterwards. Raises PeppyError."""
    if "://" in text or text.startswith("git@"):
        raise PeppyError(f"the source {quoted(text)} is not supported yet", kind="NotSupported", hint="add a directory")
    path = Path(text)
    if not path.is_absolute():
        raise PeppyError(
            f"{quoted(text)} is no absolute path; nodes of repositories are not supported yet",
            kind="NotSupported",
            hint="add a directory",
        )
    if path.is_dir():
        yield Source(text, path, local=True)
    elif path.name.endswith(ARCHIVES):
        with _extracted(root, path) as directory:
            yield Source(text, directory, local=False)
    elif path.suffix == ".json5":
        yield Source(text, path.parent, local=True)
    else:
        raise PeppyError(
            f"{quoted(text)} is no directory, no `{MANIFEST_FILE}` and no `.tar.zst` archive",
            kind="NotFound",
            hint="name the directory of a node",
        )


@contextmanager
def _extracted(root: DataRoot, archive: Path) -> Generator[Path]:
    """The tree in an archive; the node may lie in the one directory at its top."""
    target = root.temporary / secrets.token_hex(8)
    try:
        extract_source(archive, target)
        yield _node_directory(target)
    finally:
        with storage_errors("delete", target):
            remove_tree(target)


def _node_directory(target: Path) -> Path:
    entries = list(target.iterdir())
    if not (target / MANIFEST_FILE).exists() and len(entries) == 1 and entries[0].is_dir():
        return entries[0]
    return target
