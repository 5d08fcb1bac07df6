"""Which document is which: the key `peppy_schema` (docs/reference/manifest.md, Rules for every document)."""

from enum import StrEnum

from peppy.manifest.cursor import Cursor
from peppy.model.text import nearest, quoted


class DocumentKind(StrEnum):
    """The three documents; the value is the word for people."""

    NODE = "node manifest"
    INTERFACE = "interface document"
    LAUNCHER = "launcher"


_IDS = {
    "node_v1": DocumentKind.NODE,
    "node/v1": DocumentKind.NODE,
    "interface_v1": DocumentKind.INTERFACE,
    "interface/v1": DocumentKind.INTERFACE,
    "launcher_v1": DocumentKind.LAUNCHER,
    "launcher/v1": DocumentKind.LAUNCHER,
}


def check_schema(root: Cursor, expected: DocumentKind) -> bool:
    """Whether the rest of the document is worth reading; a missing, unknown or foreign id is reported."""
    if not root.is_object:
        root.wrong_type("an object")
        return False
    accepted = [word for word, kind in _IDS.items() if kind is expected]
    listed = " or ".join(f"`{word}`" for word in accepted)
    entry = dict(root.entries() or ()).get("peppy_schema")
    if entry is None:
        root.report(
            "SchemaIdMissing", f"`peppy_schema` is missing, accepted: {listed}", f'add `peppy_schema: "{accepted[0]}"`'
        )
        return True
    word = entry.string()
    if word is None:
        return True
    kind = _IDS.get(word)
    if kind is None:
        close = nearest(word, accepted) or accepted[0]
        entry.report("SchemaIdUnknown", f"unknown schema {quoted(word)}, accepted: {listed}", f'write "{close}"')
        return True
    if kind is not expected:
        entry.report(
            "SchemaIdWrongKind", f"expected {_article(expected)} ({listed}), found {_article(kind)}", _hint(expected)
        )
    return kind is expected


def _article(kind: DocumentKind) -> str:
    return f"an {kind}" if kind is DocumentKind.INTERFACE else f"a {kind}"


def _hint(expected: DocumentKind) -> str:
    return "name the directory of a node" if expected is DocumentKind.NODE else f"name {_article(expected)}"
