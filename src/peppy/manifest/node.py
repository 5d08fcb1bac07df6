"""Node manifests, `peppy.json5` (docs/reference/manifest.md, Node manifest)."""

from dataclasses import dataclass
from pathlib import Path

from peppy.manifest import members
from peppy.manifest.cursor import Cursor
from peppy.manifest.dependencies import conformances_of, consumed_of, reference_of, slots_of
from peppy.manifest.document import Document
from peppy.manifest.execution import execution_of
from peppy.manifest.files import read_bytes
from peppy.manifest.schema import DocumentKind, check_schema
from peppy.model.names import Reference
from peppy.model.node import Action, Conformance, Consumed, Execution, NodeManifest, Service, Slot, Topic, Variant
from peppy.model.text import quoted

DEFAULT_VARIANT = "default"

_ROOT = {"peppy_schema": False, "manifest": True, "interfaces": False, "execution": False}
_MANIFEST = {"name": True, "tag": True, "labels": False, "depends_on": False, "variants": False}
_INTERFACES = {"topics": False, "services": False, "actions": False, "conforms_to": False}


@dataclass(frozen=True, slots=True)
class NodeDocument:
    """A valid node manifest, the digest of its bytes (64 lower-case hexadecimal digits) and the bytes."""

    manifest: NodeManifest
    sha256: str
    raw: bytes
    file: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The object `manifest` of a node."""

    reference: Reference | None
    labels: tuple[str, ...]
    slots: tuple[Slot, ...]
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class Interfaces:
    """The object `interfaces` of a node."""

    emitted_topics: tuple[Topic, ...] = ()
    exposed_services: tuple[Service, ...] = ()
    exposed_actions: tuple[Action, ...] = ()
    consumed_topics: tuple[Consumed, ...] = ()
    consumed_services: tuple[Consumed, ...] = ()
    consumed_actions: tuple[Consumed, ...] = ()
    conforms_to: tuple[Conformance, ...] = ()


def read_node(path: Path) -> NodeDocument:
    """The manifest in a file, or in the `peppy.json5` of a directory; InvalidInput with every problem of it."""
    raw, file = read_bytes(path)
    return parse_node(raw, file)


def parse_node(raw: bytes, file: str) -> NodeDocument:
    """The manifest in the bytes of `file`, the name that errors carry; InvalidInput with every problem of it.

    The JSON5 values of the last 32 different texts are kept, so that reading a document again costs little.
    """
    document = Document.parse(raw, file)
    root = Cursor.of(document)
    manifest = _node(root) if check_schema(root, DocumentKind.NODE) else None
    document.finish()
    assert manifest is not None
    return NodeDocument(manifest, document.sha256, raw, file)


def _node(root: Cursor) -> NodeManifest | None:
    top = root.members(_ROOT) or {}
    identity = identity_of(top.get("manifest"))
    interfaces = interfaces_of(top.get("interfaces"), tuple(slot.link_id for slot in identity.slots))
    execution = execution_of(top.get("execution"))
    _check_default(root, "execution" in top, identity.variants)
    return node_manifest(identity, interfaces, execution) if identity.reference else None


def node_manifest(identity: Identity, interfaces: Interfaces, execution: Execution | None) -> NodeManifest:
    """The manifest that consists of these three objects."""
    assert identity.reference is not None
    return NodeManifest(
        reference=identity.reference,
        execution=execution,
        labels=identity.labels,
        slots=identity.slots,
        emitted_topics=interfaces.emitted_topics,
        exposed_services=interfaces.exposed_services,
        exposed_actions=interfaces.exposed_actions,
        consumed_topics=interfaces.consumed_topics,
        consumed_services=interfaces.consumed_services,
        consumed_actions=interfaces.consumed_actions,
        conforms_to=interfaces.conforms_to,
        variants=identity.variants,
    )


def _check_default(root: Cursor, has_execution: bool, variants: tuple[Variant, ...]) -> None:
    has_default = any(variant.name == DEFAULT_VARIANT for variant in variants)
    if has_execution != has_default or root.misspells("execution", _ROOT):
        return
    found = "both are given" if has_execution else "neither is given"
    text = f"exactly one of `execution` and a variant called `{DEFAULT_VARIANT}` is needed, {found}"
    hint = "remove one of them" if has_execution else "add `execution: { … }`"
    root.report("VariantDefault", text, hint)


def identity_of(cursor: Cursor | None) -> Identity:
    """The object `manifest` of a node."""
    found = (cursor.members(_MANIFEST) if cursor else None) or {}
    reference = reference_of(found)
    slots = slots_of(found.get("depends_on"), reference)
    return Identity(reference, labels_of(found.get("labels")), slots, _variants(found.get("variants")))


def labels_of(cursor: Cursor | None) -> tuple[str, ...]:
    """A list of labels."""
    labels = [item.filled() for item in cursor.items()] if cursor else []
    return tuple(label for label in labels if label is not None)


def _variants(cursor: Cursor | None) -> tuple[Variant, ...]:
    found: list[Variant] = []
    taken: dict[str, Cursor] = {}
    for item in cursor.items() if cursor else ():
        declared = item.members({"name": True, "source": True}) or {}
        name = declared["name"].name() if "name" in declared else None
        source = (declared["source"].members({"local": True}) if "source" in declared else None) or {}
        local = source["local"].filled() if "local" in source else None
        if name is None:
            continue
        if name in taken:
            item.report(
                "DuplicateVariant", f"the variant {quoted(name)} is listed twice", "rename one", first=taken[name]
            )
        taken.setdefault(name, item)
        found.append(Variant(name, local or ""))
    return tuple(found)


def interfaces_of(cursor: Cursor | None, link_ids: tuple[str, ...]) -> Interfaces:
    """The object `interfaces` of a node whose slots are `link_ids`."""
    found = (cursor.members(_INTERFACES) if cursor else None) or {}
    topics = _sides(found.get("topics"), "emits")
    services = _sides(found.get("services"), "exposes")
    actions = _sides(found.get("actions"), "exposes")
    return Interfaces(
        emitted_topics=members.topics(topics.get("emits")),
        exposed_services=members.services(services.get("exposes")),
        exposed_actions=members.actions(actions.get("exposes")),
        consumed_topics=consumed_of(topics.get("consumes"), link_ids),
        consumed_services=consumed_of(services.get("consumes"), link_ids),
        consumed_actions=consumed_of(actions.get("consumes"), link_ids),
        conforms_to=conformances_of(found.get("conforms_to")),
    )


def _sides(cursor: Cursor | None, own: str) -> dict[str, Cursor]:
    return (cursor.members({own: False, "consumes": False}) if cursor else None) or {}
