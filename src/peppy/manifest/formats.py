"""Message formats of a document (docs/reference/messages.md, Type forms and Rules and rejections)."""

from peppy.manifest.cursor import Cursor
from peppy.manifest.document import dotted
from peppy.model.names import NAME_RULE, class_part, identifier, is_name
from peppy.model.text import nearest, quoted
from peppy.model.types import (
    ALIASES,
    FIXED_SIZE,
    MAX_DEPTH,
    MAX_FIELDS,
    RESERVED_FIELDS,
    Array,
    Field,
    FieldType,
    MessageFormat,
    Object,
    Scalar,
    Token,
)

WORDS = (*(token.value for token in Token), *ALIASES)
"""Every spelling of a leaf type."""

_FORMS = {
    "format": (),
    "long": ("$type", "$optional"),
    "array": ("$type", "$items", "$length", "$optional"),
    "object": ("$type", "$optional"),
}
_FORM_NAMES = {"format": "a message format", "long": "a long form", "array": "an array", "object": "an object"}


def token_of(word: str) -> Token | None:
    """The leaf type that a document calls `word`, aliases included."""
    if word in ALIASES:
        return ALIASES[word]
    return Token(word) if word in WORDS else None


def token_hint(word: str) -> str:
    """The closest leaf type, or the list of them."""
    close = nearest(word, WORDS)
    return f"did you mean `{close}`?" if close else f"types are {' '.join(WORDS)}"


def format_of(cursor: Cursor | None, prefix: str | None) -> MessageFormat | None:
    """The format at `cursor`, None when it is absent, empty or wrong.

    `prefix` begins the class names of nested objects; a format without classes has none.
    """
    if cursor is None:
        return None
    reader = _FormatReader(len(cursor.path), prefix)
    fields = reader.fields(cursor, "format", 0, ())
    if reader.count > MAX_FIELDS:
        message = f"the format has {reader.count} fields, the limit is {MAX_FIELDS}"
        cursor.report("MessageFormat", message, "send several values as one array")
    return MessageFormat(fields) if fields else None


class _FormatReader:
    """Reads one format; counts its fields and keeps the class names that its nested objects get."""

    def __init__(self, root: int, prefix: str | None) -> None:
        self.root = root
        self.count = 0
        self.prefix = prefix
        self.classes: dict[str, Cursor] = {}

    def fields(self, cursor: Cursor, form: str, depth: int, parts: tuple[str, ...]) -> tuple[Field, ...]:
        """The fields of a format or object `depth` objects deep whose class name has these `parts`."""
        entries = cursor.entries()
        if entries is None:
            return ()
        declared = [entry for entry in entries if not _is_form_key(entry, form)]
        self.count += len(declared)
        identifiers: dict[str, Cursor] = {}
        found: list[Field] = []
        for name, member in declared:
            if name.startswith("$"):
                _wrong_key(member, form)
                continue
            if not _is_field_name(name, member, identifiers):
                continue
            kind = self.type(member, depth, (*parts, class_part(name)))
            if kind is not None:
                found.append(Field(name, kind, _optional(member, nested=depth > 0)))
        return tuple(found)

    def type(self, cursor: Cursor, depth: int, parts: tuple[str, ...]) -> FieldType | None:
        """The type that a field or `$items` declares."""
        if isinstance(cursor.value, str):
            return _scalar(cursor)
        entries = cursor.entries() if cursor.is_object else None
        if entries is None:
            cursor.report(
                "MessageFormat", f"expected a type, found {quoted(cursor.value)}", 'write a type such as "f64"'
            )
            return None
        members = dict(entries)
        form = _form(members)
        if form == "object":
            return self.object(cursor, depth + 1, parts)
        for entry in entries:
            if not _is_form_key(entry, form):
                _wrong_key(entry[1], form)
        if form == "array":
            return self.array(cursor, members, depth, parts)
        return _scalar(members["$type"])

    def object(self, cursor: Cursor, depth: int, parts: tuple[str, ...]) -> Object | None:
        """A nested object, which gets a class of its own."""
        if depth > MAX_DEPTH:
            cursor.report("MessageFormat", f"objects nest deeper than {MAX_DEPTH}", "flatten the format")
            return None
        self.claim(cursor, parts)
        return Object(self.fields(cursor, "object", depth, parts))

    def claim(self, cursor: Cursor, parts: tuple[str, ...]) -> None:
        """Takes the class name of an object, or reports that it is taken."""
        if self.prefix is None:
            return
        name = self.prefix + "".join(parts)
        if name in self.classes:
            first = self.classes[name]
            text = f"the objects `{self.field(first)}` and `{self.field(cursor)}` both get the class `{name}`"
            cursor.report("MessageFormat", text, "rename one of them", at_key=True, first=first)
        self.classes.setdefault(name, cursor)

    def field(self, cursor: Cursor) -> str:
        """The dotted path of a value inside the format."""
        return dotted(cursor.path[self.root :])

    def array(self, cursor: Cursor, members: dict[str, Cursor], depth: int, parts: tuple[str, ...]) -> Array | None:
        """An array form."""
        length = array_length(members.get("$length"), "MessageFormat")
        if "$items" not in members:
            cursor.report("MessageFormat", "array needs `$items`", 'add `$items: "f64"` with the type of the elements')
            return None
        item = members["$items"]
        if is_array(item):
            hint = "wrap the inner array in an object"
            item.report("MessageFormat", "arrays of arrays are not supported", hint)
            return None
        if item.under("$optional") is True:
            item.report("MessageFormat", "array items cannot be optional", "remove `$optional`")
        items = self.type(item, depth, (*parts, "Item"))
        if items is None:
            return None
        assert not isinstance(items, Array)
        if "$length" in members and not _may_be_fixed(items):
            word = items.token.value if isinstance(items, Scalar) else "object"
            message = f"items are {quoted(word)}; fixed length needs numeric or bool items"
            members["$length"].report("MessageFormat", message, "remove `$length`", at_key=True)
        return Array(items, length)


def array_length(cursor: Cursor | None, kind: str) -> int | None:
    """The value of `$length`; another value than an integer from 1 is reported as `kind`."""
    if cursor is None:
        return None
    value = cursor.value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    cursor.report(kind, f"`$length` is {quoted(value)}, expected an integer from 1", "write the number of elements")
    return None


def is_array(cursor: Cursor) -> bool:
    """Whether the value declares an array."""
    return cursor.under("$type") == "array"


def _tail(cursor: Cursor) -> str:
    return str(cursor.path[-1])


def _form(members: dict[str, Cursor]) -> str:
    if "$type" not in members or members["$type"].value == "object":
        return "object"
    return "array" if members["$type"].value == "array" else "long"


def _is_form_key(entry: tuple[str, Cursor], form: str) -> bool:
    return entry[0] in _FORMS[form]


def _wrong_key(cursor: Cursor, form: str) -> None:
    key = str(cursor.path[-1])
    if key == "$default":
        cursor.report("MessageFormat", "`$default` belongs to parameters", "remove `$default`", at_key=True)
        return
    close = nearest(key, _FORMS[form])
    if key in ("$items", "$length"):
        hint = 'an array needs `$type: "array"`'
    elif close:
        hint = f"did you mean `{close}`?"
    else:
        hint = f"keys of {_FORM_NAMES[form]}: {', '.join(_FORMS[form]) or 'field names'}"
    cursor.report("MessageFormat", f"{quoted(key)} is not allowed in {_FORM_NAMES[form]}", hint, at_key=True)


def _is_field_name(name: str, cursor: Cursor, identifiers: dict[str, Cursor]) -> bool:
    if not is_name(name):
        cursor.report("MessageFormat", f"{quoted(name)} is not a field name: {NAME_RULE}", "rename it", at_key=True)
        return False
    python = identifier(name)
    if python in RESERVED_FIELDS:
        cursor.report("MessageFormat", f"the field name {quoted(name)} is reserved", "choose another name", at_key=True)
    elif python in identifiers:
        other = identifiers[python]
        text = f"{quoted(_tail(other))} and {quoted(name)} both become the Python name `{python}`"
        cursor.report("MessageFormat", text, "rename one of them", at_key=True, first=other)
    identifiers.setdefault(python, cursor)
    return True


def _scalar(cursor: Cursor) -> Scalar | None:
    if not isinstance(cursor.value, str):
        cursor.report(
            "MessageFormat", f"`$type` is {quoted(cursor.value)}, expected a string", 'write a type such as "f64"'
        )
        return None
    token = token_of(cursor.value)
    if token is None:
        cursor.report("MessageFormat", f"unknown type {quoted(cursor.value)}", token_hint(cursor.value))
        return None
    return Scalar(token)


def _optional(cursor: Cursor, nested: bool) -> bool:
    value = cursor.under("$optional", absent=False)
    if not isinstance(value, bool):
        text = f"`$optional` is {quoted(value)}, expected a bool"
        cursor.report("MessageFormat", text, "write `true` or leave it out")
        return False
    if value and nested:
        text = f"the field {quoted(_tail(cursor))} inside an object cannot be optional"
        cursor.report("MessageFormat", text, "make the outer object optional", at_key=True)
    return value


def _may_be_fixed(items: Scalar | Object) -> bool:
    return isinstance(items, Scalar) and items.token in FIXED_SIZE and items.token is not Token.BYTES
