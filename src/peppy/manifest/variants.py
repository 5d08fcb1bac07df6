"""Which source tree and which manifest a node is taken from (docs/reference/manifest.md, Variants)."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from peppy.errors import InvalidInput, Problem
from peppy.manifest.cursor import Cursor
from peppy.manifest.document import Document
from peppy.manifest.effective import effective_text
from peppy.manifest.execution import execution_of
from peppy.manifest.files import read_bytes
from peppy.manifest.node import (
    DEFAULT_VARIANT,
    Identity,
    Interfaces,
    NodeDocument,
    identity_of,
    interfaces_of,
    parse_node,
)
from peppy.manifest.schema import DocumentKind, check_schema
from peppy.model.node import NodeManifest
from peppy.model.text import nearest, quoted

_ROOT = {"peppy_schema": False, "manifest": False, "interfaces": False, "execution": True}
_LISTS = {
    "emitted_topics": "topics.emits",
    "exposed_services": "services.exposes",
    "exposed_actions": "actions.exposes",
    "consumed_topics": "topics.consumes",
    "consumed_services": "services.consumes",
    "consumed_actions": "actions.consumes",
    "conforms_to": "conforms_to",
}


@dataclass(frozen=True, slots=True)
class EffectiveManifest:
    """What a snapshot of a node is made of: the tree `directory` with `raw` as its `peppy.json5`.

    `sha256` is the digest of `raw` (64 lower-case hexadecimal digits); `variant` is the selected name, or `default`.
    """

    manifest: NodeManifest
    raw: bytes
    sha256: str
    directory: Path
    variant: str


def select_variant(document: NodeDocument, directory: Path, name: str | None = None) -> EffectiveManifest:
    """The tree and the manifest of the variant `name` of the node in `directory`; None means `default`.

    Without a variant tree the root manifest is taken byte for byte. InvalidInput: UnknownVariant for a name that is not
    declared, and every problem of the variant's own manifest, VariantMismatch when it does not belong to this node.
    """
    selected = name or DEFAULT_VARIANT
    declared = {variant.name: variant.local for variant in document.manifest.variants}
    if selected in declared:
        return _from_tree(document, Path(os.path.normpath(directory / declared[selected])), selected)
    if selected == DEFAULT_VARIANT:
        return EffectiveManifest(document.manifest, document.raw, document.sha256, directory, DEFAULT_VARIANT)
    raise _unknown(selected, document, list(declared))


def _unknown(name: str, document: NodeDocument, declared: list[str]) -> InvalidInput:
    listed = ", ".join(f"`{variant}`" for variant in declared) or "none"
    text = f"`{document.manifest.reference}` has no variant {quoted(name)}; declared: {listed}"
    close = nearest(name, declared)
    hint = f"did you mean `{close}`?" if close else "leave `--variant` out for the default"
    return InvalidInput([Problem("UnknownVariant", text, file=document.file, hint=hint)])


def _from_tree(document: NodeDocument, directory: Path, name: str) -> EffectiveManifest:
    raw, file = read_bytes(directory)
    variant = Document.parse(raw, file)
    root = Cursor.of(variant)
    if check_schema(root, DocumentKind.NODE):
        _check_variant(root, document.manifest)
    variant.finish()
    text = effective_text(Document.parse(document.raw, document.file).root, variant.root).encode()
    # Reading the result back proves that what a snapshot holds is a manifest.
    manifest = parse_node(text, file).manifest
    return EffectiveManifest(manifest, text, hashlib.sha256(text).hexdigest(), directory, name)


def _check_variant(root: Cursor, manifest: NodeManifest) -> None:
    top = root.members(_ROOT) or {}
    if "manifest" in top:
        _compare_identity(top["manifest"], identity_of(top["manifest"]), manifest)
    if "interfaces" in top:
        link_ids = tuple(slot.link_id for slot in manifest.slots)
        found = interfaces_of(top["interfaces"], link_ids)
        if not root.document.failed:
            _compare_interfaces(top["interfaces"], found, manifest)
    execution_of(top.get("execution"))


def _compare_identity(cursor: Cursor, identity: Identity, manifest: NodeManifest) -> None:
    if identity.reference is None:
        return
    for key in ("name", "tag"):
        expected, found = getattr(manifest.reference, key), getattr(identity.reference, key)
        if expected != found:
            text = f"the variant's {key} {quoted(found)} differs from the root's {quoted(expected)}"
            cursor.child(key).report("VariantMismatch", text, f"write {quoted(expected)}, or leave `manifest` out")
    if cursor.has("depends_on") and set(identity.slots) != set(manifest.slots):
        hint = "leave `depends_on` out, the root's counts"
        cursor.child("depends_on").report("VariantMismatch", "the variant's dependencies differ from the root's", hint)


def _compare_interfaces(cursor: Cursor, found: Interfaces, manifest: NodeManifest) -> None:
    """Reports the first difference; the order of list entries does not count, that of fields does."""
    hint = "repeat the root's `interfaces`, or leave it out"
    for attribute, path in _LISTS.items():
        expected = getattr(manifest, attribute)
        for index, item in enumerate(getattr(found, attribute)):
            if item not in expected:
                entry = cursor.descend(path).child(index)
                entry.report("VariantMismatch", f"`interfaces.{path}[{index}]` is not among the root's entries", hint)
                return
        for index, item in enumerate(expected):
            if item not in getattr(found, attribute):
                text = f"the root's `interfaces.{path}[{index}]` is missing in the variant"
                cursor.report("VariantMismatch", text, hint)
                return
