"""Payload classes and annotations for one format (docs/reference/messages.md, Classes and Python types)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from peppy.codec.classes import ROOT
from peppy.gen.text import class_text, imports
from peppy.model.names import class_part
from peppy.model.types import (
    FLOATS,
    INTEGERS,
    Array,
    Field,
    FieldType,
    MessageFormat,
    Object,
    Scalar,
    Token,
    is_bulk,
)

_SENT = {
    **dict.fromkeys(INTEGERS, "int"),
    **dict.fromkeys((*FLOATS, Token.TIME), "float"),
    Token.BOOL: "bool",
    Token.STRING: "str",
    Token.BYTES: "Octets",
}
_SENT_ARRAYS = {
    **dict.fromkeys(INTEGERS, "Integers"),
    **dict.fromkeys(FLOATS, "Floats"),
    Token.BOOL: "Bools",
    Token.U8: "Octets",
    Token.BYTES: "Sequence[Octets]",
    Token.STRING: "Sequence[str]",
    Token.TIME: "Sequence[float]",
}
_WIDE = frozenset({"Octets", "Integers", "Floats", "Bools"})
_ARRAYS = _WIDE | {f"{token.value.capitalize()}Array" for token in (Token.BOOL, *INTEGERS, *FLOATS)}
"""Annotations of what may be a numpy array, which a class compares by its elements."""


@dataclass(slots=True)
class Payloads:
    """The classes of one module, and what they need from `peppy.codec`.

    `path` is the dotted path of a field as declared, by which the codec looks classes up. Classes that are `sent` only
    have the annotations of everything that may be assigned, others those of what is received.
    """

    prefix: str
    sent: bool = False
    texts: list[str] = field(default_factory=list[str])
    names: set[str] = field(default_factory=set[str])
    classes: dict[str, str] = field(default_factory=dict[str, str])
    sequences: bool = False

    @property
    def root(self) -> str:
        """The annotation of a whole message: the payload class, or None without payload."""
        return self.classes.get(ROOT, "None")

    def add_nested(
        self, fields: Sequence[Field], parts: tuple[str, ...] = (), path: str = "", below: bool = False
    ) -> None:
        """Write the classes of all nested objects, inner ones first; `below` an array of objects nothing is bulk."""
        for entry in fields:
            array = isinstance(entry.type, Array)
            kind = entry.type.items if isinstance(entry.type, Array) else entry.type
            if not isinstance(kind, Object):
                continue
            inner_parts = (*parts, class_part(entry.name), *(("Item",) if array else ()))
            inner_path = f"{path}.{entry.name}" if path else entry.name
            self.add_nested(kind.fields, inner_parts, inner_path, below or array)
            name = self.prefix + "".join(inner_parts)
            title = f"Field `{inner_path}`" + (", one item." if array else ".")
            self.add_class(name, title, kind.fields, inner_path, below or array)

    def add_class(self, name: str, title: str, fields: Sequence[Field], path: str, below: bool = False) -> None:
        """Write one class whose nested classes are written already."""
        self.classes[path] = name
        attributes: list[str] = []
        arrays = False
        for entry in fields:
            inner = f"{path}.{entry.name}" if path else entry.name
            annotation = self.assigned(entry.type, inner) if self.sent else self.received(entry.type, inner, below)
            arrays |= annotation in _ARRAYS
            attributes.append(f"{entry.identifier}: {optional(annotation, entry)}")
        base = self._named("ArrayPayload" if arrays else "Payload")
        self.texts.append(class_text(f"{name}({base})", title, attributes))

    def received(self, kind: FieldType, path: str, below: bool = False) -> str:
        """The annotation of a field that is received."""
        if isinstance(kind, Object):
            return self.classes[path]
        if isinstance(kind, Scalar):
            return self._named(alias(kind.token))
        if isinstance(kind.items, Object):
            return f"{self._named('Array')}[{self.classes[path]}]"
        if kind.items.token is Token.U8:
            fixed = below and kind.length is not None
            return self._annotated(self._named("Bytes"), kind.length) if fixed else self._named("Bytes")
        if is_bulk(kind) and not below:
            return self._named(f"{alias(kind.items.token)}Array")
        return self._annotated(f"{self._named('Array')}[{self._named(alias(kind.items.token))}]", kind.length)

    def filled(self, kind: FieldType, path: str) -> str:
        """The annotation of a root field in a write loan: bulk fields are arrays in the ring."""
        if not is_bulk(kind):
            return self.received(kind, path)
        token = kind.items.token if isinstance(kind, Array) and isinstance(kind.items, Scalar) else Token.U8
        return self._named(f"{alias(token)}Array")

    def arguments(self, fields: Sequence[Field]) -> list[str]:
        """The parameters of a function that sends the fields."""
        return [f"{entry.identifier}: {optional(self.argument(entry.type, entry.name), entry)}" for entry in fields]

    def argument(self, kind: FieldType, path: str) -> str:
        """The annotation of an argument that is sent."""
        if isinstance(kind, Object):
            return self.classes[path]
        if isinstance(kind, Scalar):
            return self._argument(_SENT[kind.token])
        if isinstance(kind.items, Object):
            return self._argument(f"Sequence[{self.classes[path]}]")
        return self._argument(_SENT_ARRAYS[kind.items.token])

    def assigned(self, kind: FieldType, path: str) -> str:
        """The annotation of an attribute that is sent; no field has its name, for it begins with a capital letter."""
        if isinstance(kind, Scalar) and kind.token is not Token.BYTES:
            return self._named(alias(kind.token))
        if isinstance(kind, Array) and kind.items in (Scalar(Token.STRING), Scalar(Token.TIME)):
            items = "String" if kind.items == Scalar(Token.STRING) else "Time"
            return self._argument(f"Sequence[{self._named(items)}]")
        return self.argument(kind, path)

    def _named(self, name: str) -> str:
        self.names.add(name)
        return name

    def _argument(self, text: str) -> str:
        self.sequences |= text.startswith("Sequence[")
        self.names |= {name for name in _WIDE if text in (name, f"Sequence[{name}]")}
        return text

    def _annotated(self, text: str, length: int | None) -> str:
        if length is None:
            return text
        self.names |= {"Annotated", "Length"}
        return f"Annotated[{text}, Length({length})]"


def message_class(name: str, title: str, message_format: MessageFormat | None, sent: bool = False) -> Payloads:
    """The payload class `name` and those of its nested objects; none without a format."""
    payloads = Payloads(name, sent)
    fields = fields_of(message_format)
    payloads.add_nested(fields)
    if fields:
        payloads.add_class(name, title, fields, ROOT)
    return payloads


def library_imports(behaviour: str, runtime: Sequence[str], *payloads: Payloads) -> str:
    """The imports of a module for calls; `behaviour` is the module of `peppy.runtime` that it stands on."""
    codec = {"Plan", "plan_of"}.union(*(each.names for each in payloads))
    return (
        imports({"peppy.codec": codec, "peppy.runtime": runtime})
        + f"from peppy.runtime import {behaviour} as _{behaviour}\n"
    )


def sequences_of(*payloads: Payloads) -> list[str]:
    """What the classes need of `collections.abc`."""
    return ["Sequence"] if any(each.sequences for each in payloads) else []


def fields_of(message_format: MessageFormat | None) -> tuple[Field, ...]:
    """The fields of a payload; none without a format."""
    return () if message_format is None else message_format.fields


def optional(annotation: str, field: Field) -> str:
    """The annotation of a field that may be absent, or the one given."""
    return f"{annotation} | None" if field.optional else annotation


def alias(token: Token) -> str:
    """What `peppy.codec` calls the annotation of a token."""
    return token.value.capitalize()
