"""What a node depends on, consumes and conforms to (docs/reference/manifest.md, 2.1)."""

from peppy.manifest.cursor import Cursor
from peppy.manifest.members import refuse_repeated
from peppy.model.names import Reference, identifier
from peppy.model.node import Conformance, Consumed, Slot, SlotKind
from peppy.model.text import nearest, quoted

_NODE_SLOT = {"name": True, "tag": True, "link_id": True, "from_any": False}
_INTERFACE_SLOT = {"name": True, "tag": True, "link_id": True, "sha256": False, "from_any": False}
_CONFORMANCE = {"name": True, "tag": True, "sha256": False}
_CONSUMED = {"link_id": True, "name": True}


def slots_of(cursor: Cursor | None, own: Reference | None) -> tuple[Slot, ...]:
    """The slots of `depends_on`: nodes first, then interfaces, each in the order of the document."""
    members = cursor.members({"nodes": False, "interfaces": False}) if cursor else None
    if members is None:
        return ()
    taken: dict[str, Cursor] = {}
    nodes = _slots(members.get("nodes"), SlotKind.NODE, own, taken)
    return nodes + _slots(members.get("interfaces"), SlotKind.INTERFACE, None, taken)


def _slots(cursor: Cursor | None, kind: SlotKind, own: Reference | None, taken: dict[str, Cursor]) -> tuple[Slot, ...]:
    found: list[Slot] = []
    wildcards: dict[Reference, tuple[Cursor, str]] = {}
    for item in cursor.items() if cursor else ():
        slot = _slot(item, kind, taken)
        if slot is None:
            continue
        if slot.provider == own:
            item.report("SelfDependency", f"the node depends on itself, `{own}`", "remove this entry")
        if slot.from_any and slot.provider in wildcards:
            other, link_id = wildcards[slot.provider]
            text = f"`{link_id}` and `{slot.link_id}` both take any instance of `{slot.provider}`"
            item.report("ConflictingFromAny", text, "use one slot for both", first=other)
        if slot.from_any:
            wildcards.setdefault(slot.provider, (item, slot.link_id))
        found.append(slot)
    return tuple(found)


def _slot(cursor: Cursor, kind: SlotKind, taken: dict[str, Cursor]) -> Slot | None:
    members = cursor.members(_NODE_SLOT if kind is SlotKind.NODE else _INTERFACE_SLOT)
    if members is None:
        return None
    provider = reference_of(members)
    link_id = _link_id(members["link_id"], taken) if "link_id" in members else None
    from_any = members["from_any"].boolean() if "from_any" in members else False
    sha256 = members["sha256"].sha256() if "sha256" in members else None
    return Slot(kind, link_id, provider, bool(from_any), sha256) if provider and link_id else None


def _link_id(cursor: Cursor, taken: dict[str, Cursor]) -> str | None:
    if cursor.value == "_":
        cursor.report("ReservedLinkId", "the link_id `_` is reserved", "choose another link_id")
        return None
    link_id = cursor.name()
    if link_id is None:
        return None
    if link_id in taken:
        text = f"the link_id {quoted(link_id)} is used twice"
        cursor.report("DuplicateLinkId", text, "give each dependency its own link_id", first=taken[link_id])
    taken.setdefault(link_id, cursor)
    return link_id


def reference_of(members: dict[str, Cursor]) -> Reference | None:
    """`name` and `tag` of an object, both checked."""
    name = members["name"].name() if "name" in members else None
    tag = members["tag"].tag() if "tag" in members else None
    return Reference(name, tag) if name is not None and tag is not None else None


def consumed_of(cursor: Cursor | None, link_ids: tuple[str, ...]) -> tuple[Consumed, ...]:
    """The entries of a `consumes` list; each goes through one of the slots `link_ids`."""
    found: list[Consumed] = []
    seen: dict[str, Cursor] = {}
    for item in cursor.items() if cursor else ():
        members = item.members(_CONSUMED)
        if members is None:
            continue
        link_id = _declared_link_id(members["link_id"], link_ids) if "link_id" in members else None
        name = members["name"].name() if "name" in members else None
        if link_id is None or name is None:
            continue
        text = f"`{name}` is consumed through `{link_id}` twice"
        refuse_repeated(seen, f"{link_id}:{name}", item, text)
        found.append(Consumed(link_id, name))
    return tuple(found)


def _declared_link_id(cursor: Cursor, link_ids: tuple[str, ...]) -> str | None:
    link_id = cursor.string()
    if link_id is None or link_id in link_ids:
        return link_id
    listed = ", ".join(f"`{name}`" for name in link_ids) or "none"
    close = nearest(link_id, link_ids)
    hint = f"did you mean `{close}`?" if close else "declare it in `manifest.depends_on`"
    cursor.report("UndeclaredLinkId", f"no dependency has the link_id {quoted(link_id)}; declared: {listed}", hint)
    return None


def conformances_of(cursor: Cursor | None) -> tuple[Conformance, ...]:
    """The entries of `conforms_to`."""
    found: list[Conformance] = []
    seen: dict[str, Cursor] = {}
    paths: dict[tuple[str, str], tuple[Cursor, Reference]] = {}
    for item in cursor.items() if cursor else ():
        members = item.members(_CONFORMANCE)
        if members is None:
            continue
        interface = reference_of(members)
        sha256 = members["sha256"].sha256() if "sha256" in members else None
        if interface is None:
            continue
        refuse_repeated(seen, str(interface), item, f"the interface `{interface}` is listed twice")
        # Both tags would name the same package of generated code.
        first, other = paths.setdefault((interface.name, identifier(interface.tag)), (item, interface))
        if other != interface:
            text = f"the tags `{other.tag}` and `{interface.tag}` of `{interface.name}` differ only in `-`, `.` and `_`"
            item.report("ConformsTagCollision", text, "keep one of the two", first=first)
        found.append(Conformance(interface, sha256))
    return tuple(found)
