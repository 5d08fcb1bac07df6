"""The classes of a format: those of generated code, and plain ones where nobody generated any."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from peppy.codec.payload import ANNOTATIONS, ArrayPayload, Length
from peppy.model.names import class_part
from peppy.model.types import Array, Field, FieldType, MessageFormat, Object, Scalar, Token, is_bulk

ROOT = ""
"""The key of the payload's own class; nested ones have the dotted path of their field."""


def objects_of(message_format: MessageFormat) -> Iterator[tuple[str, Object]]:
    """Every nested object with its dotted path, inner ones before those that hold them."""
    yield from _objects_below(message_format.fields, ROOT)


def _objects_below(fields: tuple[Field, ...], path: str) -> Iterator[tuple[str, Object]]:
    for field in fields:
        kind = object_in(field.type)
        if kind is not None:
            inner = f"{path}.{field.name}" if path else field.name
            yield from _objects_below(kind.fields, inner)
            yield inner, kind


def object_in(kind: FieldType) -> Object | None:
    """The object that a field holds, by itself or as the item of an array."""
    if isinstance(kind, Array):
        kind = kind.items
    return kind if isinstance(kind, Object) else None


def classes_of(message_format: MessageFormat, given: Mapping[str, type]) -> dict[str, type]:
    """A class for the payload and for every nested object: the given one, or one made on the spot."""
    classes: dict[str, type] = {}
    for path, kind in (*objects_of(message_format), (ROOT, Object(message_format.fields))):
        classes[path] = given.get(path) or _made(path, kind, classes)
    return classes


def _made(path: str, kind: Object, classes: Mapping[str, type]) -> type:
    name = "Message" + "".join(class_part(part) for part in path.split(".") if part)
    entries: list[tuple[str, Any]] = []
    for field in kind.fields:
        inner = f"{path}.{field.name}" if path else field.name
        annotation = body_type(field.type, inner, classes)
        entries.append((field.identifier, annotation | None if field.optional else annotation))
    return msgspec.defstruct(name, entries, bases=(ArrayPayload,), module=__name__)


def body_type(kind: FieldType, path: str, classes: Mapping[str, type]) -> Any:
    """What msgspec decodes for a field that travels in the body as a whole."""
    if isinstance(kind, Scalar):
        return ANNOTATIONS[kind.token]
    if isinstance(kind, Object):
        return classes[path]
    if isinstance(kind.items, Object):
        return list[classes[path]]
    octets = kind.items.token is Token.U8
    items: Any = bytes if octets else list[ANNOTATIONS[kind.items.token]]
    return items if kind.length is None else Annotated[items, Length(kind.length)]


def holds_bulk(kind: FieldType) -> bool:
    """Whether a bulk field lies in this type."""
    if isinstance(kind, Object):
        return any(holds_bulk(field.type) for field in kind.fields)
    return is_bulk(kind)
