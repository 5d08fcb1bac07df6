"""Interface documents (docs/reference/manifest.md, Interface document)."""

from dataclasses import dataclass

from peppy.manifest import members
from peppy.manifest.cursor import Cursor
from peppy.manifest.dependencies import reference_of
from peppy.manifest.document import Document
from peppy.manifest.node import labels_of
from peppy.manifest.schema import DocumentKind, check_schema
from peppy.model.interface import Interface

_ROOT = {"peppy_schema": False, "manifest": True, "interfaces": False}
_MANIFEST = {"name": True, "tag": True, "labels": False}
_INTERFACES = {"topics": False, "services": False, "actions": False}


@dataclass(frozen=True, slots=True)
class InterfaceDocument:
    """A valid interface document, the digest of its bytes (64 lower-case hexadecimal digits) and the bytes."""

    interface: Interface
    sha256: str
    raw: bytes


def parse_interface(raw: bytes, file: str) -> InterfaceDocument:
    """The interface that the bytes of `file` declare; InvalidInput with every problem of the document."""
    document = Document.parse(raw, file)
    root = Cursor.of(document)
    interface = _interface(root) if check_schema(root, DocumentKind.INTERFACE) else None
    document.finish()
    assert interface is not None
    return InterfaceDocument(interface, document.sha256, raw)


def _interface(root: Cursor) -> Interface | None:
    top = root.members(_ROOT) or {}
    manifest = (top["manifest"].members(_MANIFEST) if "manifest" in top else None) or {}
    lists = (top["interfaces"].members(_INTERFACES) if "interfaces" in top else None) or {}
    reference, labels = reference_of(manifest), labels_of(manifest.get("labels"))
    topics = members.topics(lists.get("topics"))
    services = members.services(lists.get("services"))
    actions = members.actions(lists.get("actions"))
    return Interface(reference, labels, topics, services, actions) if reference else None
