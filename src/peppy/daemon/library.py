"""The generated library of a node: made in a snapshot, checked beside a source (docs/reference/manifest.md, 7)."""

from collections.abc import Mapping
from pathlib import Path

from peppy.errors import InvalidInput, Problem
from peppy.gen import package
from peppy.manifest.interface import InterfaceDocument
from peppy.model.names import Reference
from peppy.model.node import Language, NodeManifest
from peppy.store.atomic import storage_errors

DIRECTORY = ".peppy"
PROJECT = "libs/peppygen/pyproject.toml"
_FILE_LIMIT = 4096  # bytes of a fingerprint or stamp; ours are far shorter


def has_library(manifest: NodeManifest) -> bool:
    """Whether a library is generated for the node's language."""
    return manifest.execution is not None and manifest.execution.language is Language.PYTHON


def generated(
    manifest: NodeManifest,
    stack: Mapping[Reference, NodeManifest],
    interfaces: Mapping[Reference, InterfaceDocument],
    *,
    sha256: str,
    wheel: Path,
) -> package.Tree:
    """The files of the library; InvalidInput names everything that keeps it from being generated."""
    read = {reference: document.interface for reference, document in interfaces.items()}
    return package.generate(manifest, stack, read, sha256=sha256, peppy_wheel=wheel)


def write(tree: package.Tree, directory: Path) -> None:
    """Puts the library in the place of the one in a node's directory. Raises PeppyError."""
    target = directory / DIRECTORY
    with storage_errors("write", target):
        package.write(tree, target)


def names_wheel(directory: Path, wheel: Path) -> bool:
    """Whether the library in a node's directory is complete and installs this wheel of peppy."""
    text = _text(directory / DIRECTORY / PROJECT)
    return text is not None and wheel.name in text and _text(directory / DIRECTORY / package.STAMP) is not None


def check_library(directory: Path, tree: package.Tree, sha256: str) -> None:
    """Raises InvalidInput when the library beside a source was made from another manifest or by another generator.

    A library that is missing or was never finished is no error: add makes one in the snapshot.
    """
    library = directory / DIRECTORY
    stamp = _text(library / package.STAMP)
    if stamp is None:
        return
    current = _stripped(tree[package.STAMP])
    if stamp != current:
        message = f"the library of `{directory}` was made by generator version `{stamp}`, this is version `{current}`"
        raise InvalidInput([Problem("GeneratorMismatch", message)], hint="run `peppy node sync`")
    found = _text(library / package.FINGERPRINT)
    if found != sha256:
        message = f"Node config fingerprint mismatch: the library was made for `{found}`, the manifest is `{sha256}`"
        raise InvalidInput([Problem("FingerprintMismatch", message)], hint="run `peppy node sync`")


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return _stripped(file.read(_FILE_LIMIT))
    except OSError:
        return None


def _stripped(content: str | bytes) -> str:
    text = content.decode(errors="replace") if isinstance(content, bytes) else content
    return text.strip()
