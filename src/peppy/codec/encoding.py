"""Compile the function that encodes payloads of one format (docs/reference/messages.md, sections 7, 8 and 11).

The function checks the ordinary types inline and calls `peppy.codec.checks` for everything else, field by field. It
ends in one msgpack body, built of tuples, and one list of bulk parts. For a format without bulk fields:

    def encode(a0, a1):
        try:
            if a0.__class__ is not int or not 0 <= a0 <= 255:
                a0 = check(a0, "level")
            if a1.__class__ is not float:
                a1 = check(a1, "gain")
            (a1,) = unpack(pack(a1))
            body = msgpack((a0, a1))
            return SHORT_HEADERS[len(body)] + body
        except ERRORS:
            pass
        return careful(a0, a1)

It notices an f32 that is too large only when it rounds all of them at once. So when anything is wrong, the careful
encoder, made of the same parts with nothing left out, goes through the fields once more and reports the first.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from peppy.codec import checks, layout
from peppy.codec._floats import doubles, singles
from peppy.codec.bulk import octet_lists, octets_in_body, outgoing
from peppy.codec.source import Source
from peppy.model.types import (
    FLOATS,
    INLINE_ELEMENTS,
    INTEGERS,
    Array,
    Field,
    FieldType,
    MessageFormat,
    Object,
    Scalar,
    Token,
    bulk_fields,
    is_bulk,
)

_ENCODER = msgspec.msgpack.Encoder()
_ERRORS = (TypeError, ValueError, OverflowError, struct.error)
_TYPES = {
    Token.BOOL: "bool",
    Token.STRING: "str",
    **dict.fromkeys((*FLOATS, Token.TIME), "float"),
    **dict.fromkeys(INTEGERS, "int"),
}


def compile_encoder(member: str, message_format: MessageFormat, classes: Mapping[str, type]) -> Callable[..., Any]:
    """`encode(*values)` for one format: `bytes` without bulk fields, else `Gathered`."""
    careful: list[Callable[..., Any]] = []

    def encode_carefully(*values: Any) -> Any:
        if not careful:
            careful.append(_Encoder(message_format, classes).compile(member))
        return careful[0](*values)

    return _Encoder(message_format, classes, careful=encode_carefully).compile(member)


def compile_loan_encoder(member: str, message_format: MessageFormat, classes: Mapping[str, type]) -> Callable[..., Any]:
    """`encode(*values) -> (body, bulk values)`: bulk values are handed back as they are, for a message in the ring."""
    return _Encoder(message_format, classes, loaned=True).compile(member)


class _Encoder:
    """Writes the source of one encoder. Methods return the expression that stands for a value in the body.

    With a `careful` encoder behind it the encoder is a fast one, otherwise it is a careful one itself.
    """

    def __init__(
        self,
        message_format: MessageFormat,
        classes: Mapping[str, type],
        *,
        loaned: bool = False,
        careful: Callable[..., Any] | None = None,
    ) -> None:
        self._fields = message_format.fields
        self._classes = classes
        self._loaned = loaned
        self._careful = careful
        self._class_of = "type({})" if careful is None else "{}.__class__"
        self._bulk = bulk_fields(message_format)
        self._next_bulk = 0
        self._source = Source()
        self._singles: list[str] = []

    def compile(self, member: str) -> Callable[..., Any]:
        source = self._source
        items = self._item_functions(self._fields, "")
        arguments = [f"a{index}" for index in range(len(self._fields))]
        with source.block(f"def encode({', '.join(arguments)}):"):
            if self._careful is None:
                self._encode(arguments, items)
            else:
                with source.block("try:"):
                    self._encode(arguments, items)
                with source.block(f"except {source.bind(_ERRORS)}:"):
                    source.line("pass")
                source.line(f"return {source.bind(self._careful)}({', '.join(arguments)})")
        return source.compile(member)["encode"]

    def _encode(self, arguments: list[str], items: dict[str, str]) -> None:
        source = self._source
        for index in range(len(self._bulk)):
            if self._bulk[index].may_be_absent:
                source.line(f"b{index} = None; n{index} = 0")
        body = self._fields_body(self._fields, arguments, "", items)
        self._round_singles()
        source.line(f"body = {source.bind(_ENCODER.encode)}({body})")
        self._finish()

    # --- the end of the function: header, table, parts ---------------------------------------------------------------

    def _finish(self) -> None:
        source, count = self._source, len(self._bulk)
        if self._loaned:
            source.line(f"return body, ({''.join(f'b{index}, ' for index in range(count))})")
        elif count:
            self._finish_gathered(count)
        else:
            source.line("size = len(body)")
            with source.block(f"if size < {len(layout.SHORT_HEADERS)}:"):
                source.line(f"return {source.bind(layout.SHORT_HEADERS)}[size] + body")
            source.line(f"return {source.bind(_long_payload)}(body)")

    def _finish_gathered(self, count: int) -> None:
        source, mask = self._source, layout.ALIGNMENT - 1
        source.line(f"end = {layout.head_size(count)} + len(body)")
        source.line("parts = []")
        for index, bulk in enumerate(self._bulk):
            if bulk.may_be_absent:
                with source.block(f"if b{index} is None:"):
                    source.line(f"o{index} = 0")
                with source.block("else:"):
                    self._place(index, mask)
            else:
                self._place(index, mask)
        table = "".join(f", o{index}, n{index}" for index in range(count))
        pack = source.bind(layout.head_struct(count).pack)
        word = layout.first_word(count)
        with source.block("try:"):
            source.line(f"head = {pack}({word}, len(body){table}) + body")
        with source.block(f"except {source.bind(struct.error)}:"):
            source.line(f"{source.bind(_beyond_limit)}(end)")
        source.line(f"return {source.bind(layout.Gathered)}(head, parts, end)")

    def _place(self, index: int, mask: int) -> None:
        source = self._source
        source.line(f"o{index} = (end + {mask}) & -{mask + 1}")
        source.line(f"end = o{index} + n{index}")
        with source.block(f"if n{index}:"):
            source.line(f"parts.append((b{index}, o{index}))")

    # --- fields ------------------------------------------------------------------------------------------------------

    def _fields_body(self, fields: tuple[Field, ...], names: list[str], path: str, items: dict[str, str]) -> str:
        """Check the fields in `names`; the tuple of their values in the body."""
        parts = [self._field(field, name, path, items) for field, name in zip(fields, names, strict=True)]
        return f"({''.join(f'{part}, ' for part in parts if part)})"

    def _field(self, field: Field, name: str, path: str, items: dict[str, str]) -> str:
        """Check one field; its expression in the body, or nothing when it is bulk."""
        inner = _join(path, field.name)
        if not field.optional:
            return self._value(field.type, name, inner, items)
        source, outer = self._source, self._singles
        self._singles = []
        body = source.new("v")
        source.line(f"{body} = None")
        with source.block(f"if {name} is not None:"):
            value = self._value(field.type, name, inner, items)
            self._round_singles()
            if value:
                source.line(f"{body} = {value}")
            else:
                source.line("pass")
        self._singles = outer
        return body if value else ""

    def _value(self, kind: FieldType, name: str, path: str, items: dict[str, str]) -> str:
        if is_bulk(kind):
            return self._bulk_value(name, path)
        where = repr(path)
        if isinstance(kind, Object):
            return self._object(kind, name, path, items)
        if isinstance(kind, Scalar):
            return self._scalar(kind.token, name, where)
        return self._array(kind, name, where, items.get(path))

    def _bulk_value(self, name: str, path: str) -> str:
        index = self._next_bulk
        self._next_bulk += 1
        source, bulk = self._source, self._bulk[index]
        if self._loaned:
            source.line(f"b{index} = {name}")
            return ""
        convert = source.bind(outgoing(bulk.token, bulk.length))
        if bulk.token in (Token.BYTES, Token.U8) and bulk.length is None:
            with source.block(f"if type({name}) is bytes:"):
                source.line(f"b{index} = {name}; n{index} = len({name})")
            with source.block("else:"):
                source.line(f"b{index}, n{index} = {convert}({name}, {path!r})")
        else:
            source.line(f"b{index}, n{index} = {convert}({name}, {path!r})")
        return ""

    def _object(self, kind: Object, name: str, path: str, items: dict[str, str]) -> str:
        names = self._members(kind, name, repr(path), self._classes[path])
        return self._fields_body(kind.fields, names, path, items)

    def _members(self, kind: Object, name: str, where: str, cls: type) -> list[str]:
        """Check the class of an object and put its fields into variables."""
        source, bound = self._source, self._source.bind(cls)
        with source.block(f"if {self._class_of.format(name)} is not {bound}:"):
            source.line(f"{source.bind(checks.check_object)}({name}, {where}, {bound})")
        names = [source.new("v") for _ in kind.fields]
        for variable, field in zip(names, kind.fields, strict=True):
            source.line(f"{variable} = {name}.{field.identifier}")
        return names

    def _scalar(self, token: Token, name: str, where: str) -> str:
        source = self._source
        check = source.bind(checks.CHECKS[token])
        with source.block(f"if {self._unusual(token, name)}:"):
            source.line(f"{name} = {check}({name}, {where})")
        if token is Token.F32:
            self._singles.append(name)
        return name

    def _array(self, kind: Array, name: str, where: str, item: str | None) -> str:
        source = self._source
        if isinstance(kind.items, Object):
            convert = source.bind(checks.sequence_of)
            converted = source.new("v")
            with source.block(f"if type({name}) is not list:"):
                source.line(f"{name} = {convert}({name}, {where}, 'a list of objects')")
            source.line(f"{converted} = [{item}(x, ({where}, i)) for i, x in enumerate({name})]")
            return converted
        if kind.length is not None and kind.length <= INLINE_ELEMENTS:
            return self._short_array(kind.items.token, kind.length, name, where)
        if kind.items.token is Token.BYTES:
            check = source.bind(octet_lists)
        else:
            check = source.bind(checks.list_check(kind.items.token, kind.length))
        source.line(f"{name} = {check}({name}, {where})")
        return name

    def _short_array(self, token: Token, length: int, name: str, where: str) -> str:
        """A few numbers: floats are checked in one call, others in variables and in one expression."""
        source = self._source
        check = source.bind(checks.list_check(token, length))
        if token in FLOATS and self._careful is not None:
            value, convert = source.new("v"), source.bind(singles if token is Token.F32 else doubles)
            source.line(f"{value} = {convert}({name}, {length})")
            with source.block(f"if {value} is None:"):
                source.line(f"{value} = {check}({name}, {where})")
            return value
        elements = [source.new("e") for _ in range(length)]
        kind = self._class_of.format(name)
        with source.block(f"if ({kind} is not list and {kind} is not tuple) or len({name}) != {length}:"):
            source.line(f"{name} = {check}({name}, {where})")
        source.line(f"{', '.join(elements)}, = {name}")
        with source.block(f"if {' or '.join(self._unusual(token, element) for element in elements)}:"):
            source.line(f"{', '.join(elements)}, = {check}({name}, {where})")
        if token is Token.F32:
            self._singles.extend(elements)
        return f"({', '.join(elements)},)"

    def _unusual(self, token: Token, name: str) -> str:
        """The condition under which a value needs a closer look than the inline one."""
        other = f"{self._class_of.format(name)} is not {_TYPES[token]}"
        if token in INTEGERS:
            low, high = INTEGERS[token]
            return f"{other} or not {low} <= {name} <= {high}"
        if token is Token.F32 and self._careful is None:
            return f"{other} or not {-checks.LARGEST_SINGLE} <= {name} <= {checks.LARGEST_SINGLE}"
        if token is Token.TIME:  # only a finite number minus itself is zero
            return f"{other} or {name} - {name} != 0.0"
        if token is Token.STRING:
            return f"{other} or not {name}.isascii()"
        return other

    def _round_singles(self) -> None:
        """Round what has been checked so far to singles, all at once; OverflowError when one is too large."""
        if not self._singles:
            return
        both = struct.Struct(f"<{len(self._singles)}f")
        names = ", ".join(self._singles)
        self._source.line(f"{names}, = {self._source.bind(both.unpack)}({self._source.bind(both.pack)}({names}))")
        self._singles = []

    # --- arrays of objects: one function per item class, inner ones first --------------------------------------------

    def _item_functions(self, fields: tuple[Field, ...], path: str) -> dict[str, str]:
        """Write the functions for items below these fields; their names by the path of the array."""
        functions: dict[str, str] = {}
        for field in fields:
            inner = _join(path, field.name)
            if isinstance(field.type, Object):
                functions |= self._item_functions(field.type.fields, inner)
            elif isinstance(field.type, Array) and isinstance(field.type.items, Object):
                functions |= self._item_functions(field.type.items.fields, inner)
                functions[inner] = self._item_function(field.type.items, inner, functions)
        return functions

    def _item_function(self, kind: Object, path: str, functions: dict[str, str]) -> str:
        function = self._source.new("item")
        with self._source.block(f"def {function}(x, where):"):
            body = self._item_object(kind, "x", "where", path, functions)
            self._round_singles()
            self._source.line(f"return {body}")
        return function

    def _item_object(self, kind: Object, name: str, where: str, path: str, functions: dict[str, str]) -> str:
        names = self._members(kind, name, where, self._classes[path])
        parts: list[str] = []
        for field, variable in zip(kind.fields, names, strict=True):
            inner = f"({where}, {f'.{field.name}'!r})"
            parts.append(self._item_value(field.type, variable, inner, _join(path, field.name), functions))
        return f"({''.join(f'{part}, ' for part in parts)})"

    def _item_value(self, kind: FieldType, name: str, where: str, path: str, functions: dict[str, str]) -> str:
        if isinstance(kind, Object):
            return self._item_object(kind, name, where, path, functions)
        if _octets(kind):
            length = kind.length if isinstance(kind, Array) else None
            convert = self._source.bind(octets_in_body(length))
            self._source.line(f"{name} = {convert}({name}, {where})")
            return name
        if isinstance(kind, Scalar):
            return self._scalar(kind.token, name, where)
        return self._array(kind, name, where, functions.get(path))


def _octets(kind: FieldType) -> bool:
    """Whether this type is one msgpack bin where it travels in the body."""
    if isinstance(kind, Array):
        return isinstance(kind.items, Scalar) and kind.items.token is Token.U8
    return isinstance(kind, Scalar) and kind.token is Token.BYTES


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _long_payload(body: bytes) -> bytes:
    try:
        return layout.HEADER.pack(layout.VERSION, len(body)) + body
    except struct.error:
        _beyond_limit(layout.HEADER_SIZE + len(body))
        raise


def _beyond_limit(size: int) -> None:
    raise ValueError(f"a payload of `{size}` bytes is larger than the limit of `{layout.LARGEST}` bytes")
