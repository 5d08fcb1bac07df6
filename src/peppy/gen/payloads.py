"""Payload classes and annotations for one format (docs/reference/messages.md, Classes and Python types)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from peppy.model.names import class_part
from peppy.model.types import FLOATS, INTEGERS, Array, Field, FieldType, Object, Scalar, Token, is_bulk

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


@dataclass(slots=True)
class Payloads:
    """The classes of one module, and what they need from `peppy.codec`.

    `path` is the dotted path of a field as declared, by which the codec looks classes up.
    """

    prefix: str
    texts: list[str] = field(default_factory=list[str])
    names: set[str] = field(default_factory=set[str])
    classes: dict[str, str] = field(default_factory=dict[str, str])
    sequences: bool = False

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
        held = any(not below and _is_array_bulk(entry.type) for entry in fields)
        base = "ArrayPayload" if held else "Payload"
        self.names.add(base)
        self.classes[path] = name
        lines = [f"class {name}({base}):", f'    """{title}"""', *([""] if fields else [])]
        for entry in fields:
            inner = f"{path}.{entry.name}" if path else entry.name
            annotation = self.received(entry.type, inner, below)
            lines.append(f"    {entry.identifier}: {annotation}{' | None' if entry.optional else ''}")
        self.texts.append("\n".join(lines) + "\n")

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

    def sent(self, kind: FieldType, path: str) -> str:
        """The annotation of an argument that is sent."""
        if isinstance(kind, Object):
            return self.classes[path]
        if isinstance(kind, Scalar):
            return self._argument(_SENT[kind.token])
        if isinstance(kind.items, Object):
            return self._argument(f"Sequence[{self.classes[path]}]")
        return self._argument(_SENT_ARRAYS[kind.items.token])

    def _named(self, name: str) -> str:
        self.names.add(name)
        return name

    def _argument(self, text: str) -> str:
        self.sequences |= text.startswith("Sequence[")
        self.names |= {name for name in ("Octets", "Integers", "Floats", "Bools") if name in text}
        return text

    def _annotated(self, text: str, length: int | None) -> str:
        if length is None:
            return text
        self.names |= {"Annotated", "Length"}
        return f"Annotated[{text}, Length({length})]"


def alias(token: Token) -> str:
    """What `peppy.codec` calls the annotation of a token."""
    return token.value.capitalize()


def _is_array_bulk(kind: FieldType) -> bool:
    """Whether a field of this type is a numpy array when it is received."""
    return (
        isinstance(kind, Array)
        and is_bulk(kind)
        and isinstance(kind.items, Scalar)
        and kind.items.token is not Token.U8
    )
