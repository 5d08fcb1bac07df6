"""Room for a message that is filled in place (docs/reference/node_api.md, Publishers, subscriptions, loans).

`room` computes where the bulk regions go, with a gap for a body that nobody knows yet; `Room.draft` lays numpy arrays
over them; `Draft.finish` writes header, table and body in front. The regions never move.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from operator import index
from typing import Any

from peppy.codec import layout
from peppy.codec.bulk import empty_view
from peppy.codec.classes import holds_bulk
from peppy.codec.payload import Shape
from peppy.model.types import FIXED_SIZE, BulkField, Field, MessageFormat, Object, bulk_fields, is_bulk

LOAN_MEMBERS = frozenset({"publish", "discard"})
"""Names of a write loan's own members; a field with such a name gets a `_` behind it."""


def loan_attribute(identifier: str) -> str:
    """The attribute of a write loan that stands for the field of this identifier."""
    return f"{identifier}_" if identifier in LOAN_MEMBERS else identifier


def are_fixed(shapes: Mapping[str, Shape]) -> bool:
    """Whether these shapes are plain numbers and tuples of them: what is equal to them is as good."""
    return all(
        type(shape) is int or (type(shape) is tuple and all(type(extent) is int for extent in shape))
        for shape in shapes.values()
    )


class Room:
    """Where everything of loaned messages of one shape goes: `length` bytes in all. It never changes.

    `attributes` are all names that a message of this format has; `bulk_attributes` may not be bound to anything else.
    """

    def __init__(
        self,
        message_format: MessageFormat,
        classes: Mapping[str, type],
        encode: Callable[..., Any],
        shapes: Mapping[str, Shape],
        body_reserve: int,
    ) -> None:
        """ValueError for an unknown field, a missing or wrong shape; TypeError for a shape that is none."""
        self.message_format, self.classes, self.encode = message_format, classes, encode
        self.bulk = bulk_fields(message_format)
        self.body_reserve = body_reserve
        if body_reserve < 0:
            raise ValueError(f"`body_reserve` must not be negative, got `{body_reserve}`")
        self.shapes = _shapes_of(self.bulk, _optional_objects(message_format), shapes)
        self.offsets: list[int] = []
        self.length = layout.head_size(len(self.bulk)) + body_reserve
        for bulk, shape in zip(self.bulk, self.shapes, strict=True):
            offset = 0 if shape is None else layout.aligned(self.length)
            self.offsets.append(offset)
            if shape is not None:
                self.length = offset + prod(shape) * FIXED_SIZE[bulk.token]
        if self.length > layout.LARGEST:
            raise ValueError(f"a payload of `{self.length}` bytes is larger than the limit of `{layout.LARGEST}` bytes")
        self.head = layout.head_struct(len(self.bulk))
        root = message_format.fields
        self.attributes = tuple(loan_attribute(field.identifier) for field in root)
        self.bulk_attributes = frozenset(loan_attribute(field.identifier) for field in root if is_bulk(field.type))
        self.holding = [(loan_attribute(field.identifier), field) for field in root if holds_bulk(field.type)]

    def draft(self, buffer: Any) -> "Draft":
        """Lay the arrays over `buffer`: writable, 64-byte aligned, at least `length` bytes."""
        return Draft(self, buffer)


class Draft:
    """One message that is being filled.

    `fields` holds what exists from the start: the arrays of the bulk fields (None for absent ones) and the objects
    around them; `attributes` and `bulk` are those of the room.
    """

    def __init__(self, room: Room, buffer: Any) -> None:
        self._room, self._buffer = room, buffer
        self._views = [
            None if shape is None else empty_view(buffer, offset, shape, bulk.token)
            for bulk, shape, offset in zip(room.bulk, room.shapes, room.offsets, strict=True)
        ]
        self.attributes, self.bulk = room.attributes, room.bulk_attributes
        views = iter(self._views)
        self.fields: dict[str, Any] = {name: self._initial(field, field.name, views) for name, field in room.holding}

    def _initial(self, field: Field, path: str, views: Any) -> Any:
        """A bulk field's array, or the object around bulk fields with everything else still None."""
        if is_bulk(field.type):
            return next(views)
        if not isinstance(field.type, Object) or not holds_bulk(field.type):
            return None
        values = [self._initial(inner, f"{path}.{inner.name}", views) for inner in field.type.fields]
        absent = field.optional and not self._present(path)
        return None if absent else self._room.classes[path](*values)

    def _present(self, path: str) -> bool:
        names = path.split(".")
        return any(
            view is not None and list(bulk.path[: len(names)]) == names
            for bulk, view in zip(self._room.bulk, self._views, strict=True)
        )

    def finish(self, fields: Mapping[str, Any]) -> int:
        """Check the fields, write header, table and body; the length of the payload.

        TypeError and ValueError of docs/reference/messages.md, Checks on send; ValueError when the body needs more
        than `body_reserve`, naming the size needed. Nothing is written then, and the draft stays usable.
        """
        body, values = self._room.encode(*(fields.get(name) for name in self.attributes))
        for bulk, value, view in zip(self._room.bulk, values, self._views, strict=True):
            if value is not view:
                path = ".".join(bulk.path)
                raise ValueError(f"field `{path}`: a loan publishes the array it gave: write into it, in place")
        if len(body) > self._room.body_reserve:
            raise ValueError(f"the body needs `{len(body)}` bytes, `body_reserve` is `{self._room.body_reserve}`")
        return self._write(body)

    def _write(self, body: bytes) -> int:
        count = len(self._room.bulk)
        end = layout.head_size(count) + len(body)
        table: list[int] = []
        for view, offset in zip(self._views, self._room.offsets, strict=True):
            length = 0 if view is None else view.nbytes
            table += (offset, length)
            end = max(end, offset + length)
        head = self._room.head.pack(layout.first_word(count), len(body), *table) + body
        memoryview(self._buffer).cast("B")[: len(head)] = head
        return end


def _optional_objects(message_format: MessageFormat) -> list[tuple[str, ...]]:
    """The paths of optional objects that hold bulk fields."""
    return [
        (field.name,)
        for field in message_format.fields
        if field.optional and isinstance(field.type, Object) and holds_bulk(field.type)
    ]


def _shapes_of(
    bulk: tuple[BulkField, ...], optional: list[tuple[str, ...]], shapes: Mapping[str, Shape]
) -> list[tuple[int, ...] | None]:
    names = [".".join(field.path) for field in bulk]
    for name in shapes:
        if name not in names:
            known = ", ".join(f"`{known}`" for known in names) or "none"
            raise ValueError(f"`shapes` names `{name}`, which is no bulk field; bulk fields: {known}")
    given = {name: _extents(name, shape) for name, shape in shapes.items()}
    absent = [path for path in optional if not any(name.split(".")[0] == path[0] for name in given)]
    return [_shape_of(field, name, given.get(name), absent) for field, name in zip(bulk, names, strict=True)]


def _shape_of(
    field: BulkField, name: str, shape: tuple[int, ...] | None, absent: list[tuple[str, ...]]
) -> tuple[int, ...] | None:
    if shape is not None:
        if field.length is not None and prod(shape) != field.length:
            raise ValueError(f"field `{name}`: expected `{field.length}` elements, got a shape of `{prod(shape)}`")
        return shape
    inside_absent = field.path[:1] in absent
    if inside_absent or (field.may_be_absent and len(field.path) == 1):
        return None
    if field.length is None:
        raise ValueError(f"`shapes` needs an entry for the bulk field `{name}`")
    return (field.length,)


def _extents(name: str, shape: Shape) -> tuple[int, ...]:
    extents = shape if isinstance(shape, Sequence) else (shape,)
    result = tuple(index(extent) for extent in extents)
    if any(extent < 0 for extent in result):
        raise ValueError(f"the shape of `{name}` must not be negative, got `{result}`")
    return result
