"""Taking typed values out of a document: what is absent, unknown or of another type is reported with its place."""

from collections.abc import Iterable, Mapping
from typing import cast

from peppy.manifest.document import Document, Finding, whole_text
from peppy.manifest.position import Path
from peppy.model.names import NAME_RULE, TAG_RULE, is_name, is_sha256, is_tag
from peppy.model.text import nearest, quoted

_KINDS: dict[type, str] = {
    bool: "a bool",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


class Cursor:
    """One value of a document with its path. A method that cannot give what it is asked for reports and gives None."""

    __slots__ = ("document", "path", "value")

    def __init__(self, document: Document, path: Path, value: object) -> None:
        self.document = document
        self.path = path
        self.value = value

    @classmethod
    def of(cls, document: Document) -> "Cursor":
        """A cursor on the whole document."""
        return cls(document, (), document.root)

    @property
    def is_object(self) -> bool:
        """Whether the value is an object."""
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        """Whether the value is a list."""
        return isinstance(self.value, list)

    def report(
        self, kind: str, message: str, hint: str, *, at_key: bool = False, first: "Cursor | None" = None
    ) -> None:
        """Notes a problem at this value (or at its key); `first` is an earlier value that the text refers to."""
        self.document.add(Finding(kind, message, hint, self.path, at_key, first.path if first else None))

    def wrong_type(self, expected: str) -> None:
        """Reports that the value is no `expected`."""
        found = "null" if self.value is None else _KINDS[type(self.value)]
        value = f" {quoted(self.value)}" if isinstance(self.value, bool | int | float | str) else ""
        hint = f"write {expected}"
        if expected == "a string" and isinstance(self.value, int | float):
            hint = f'write "{quoted(self.value)[1:-1]}"'
        self.report("WrongType", f"expected {expected}, found {found}{value}", hint)

    def entries(self) -> list[tuple[str, "Cursor"]] | None:
        """Every key and value of an object, in order."""
        if not self.is_object:
            self.wrong_type("an object")
            return None
        members = cast(dict[str, object], self.value)
        return [(key, Cursor(self.document, (*self.path, key), value)) for key, value in members.items()]

    def members(self, known: Mapping[str, bool]) -> "dict[str, Cursor] | None":
        """The members of an object whose keys are `known` (True: required); other and missing keys are reported."""
        entries = self.entries()
        if entries is None:
            return None
        found = dict(entries)
        for key, cursor in entries:
            if key not in known:
                cursor.unknown_key(known)
        for key, required in known.items():
            if required and key not in found and not self.misspells(key, known):
                self.report("MissingKey", f"the key `{key}` is missing", f"add `{key}`")
        return {key: cursor for key, cursor in found.items() if key in known}

    def misspells(self, key: str, known: Iterable[str]) -> bool:
        """Whether an unknown key of this object was probably meant to be `key`, which makes one problem and not two."""
        return any(name not in known and nearest(name, known) == key for name, _ in self.entries() or ())

    def under(self, key: str, absent: object = None) -> object:
        """The plain value of `key`, or `absent` where this is no object or has no such key."""
        return cast(dict[str, object], self.value).get(key, absent) if self.is_object else absent

    def has(self, key: str) -> bool:
        """Whether this is an object with that key."""
        return self.is_object and key in cast(dict[str, object], self.value)

    def child(self, step: str | int) -> "Cursor":
        """The cursor on a member or an item that exists."""
        if isinstance(step, int):
            return self.items()[step]
        return Cursor(self.document, (*self.path, step), cast(dict[str, object], self.value)[step])

    def descend(self, keys: str) -> "Cursor":
        """The cursor on the value below the dotted `keys`, which exist."""
        cursor = self
        for key in keys.split("."):
            cursor = cursor.child(key)
        return cursor

    def unknown_key(self, known: Iterable[str]) -> None:
        """Reports that the key of this value is not in the schema."""
        key = str(self.path[-1])
        close = nearest(key, known)
        guess = f"did you mean `{close}`?" if close else f"known keys: {', '.join(f'`{name}`' for name in known)}"
        suggestion = f", nearest is `{close}`" if close else ""
        self.report("UnknownKey", f"unknown key {quoted(key)}{suggestion}", guess, at_key=True)

    def items(self) -> list["Cursor"]:
        """The items of a list; none after reporting another type."""
        if not self.is_list:
            self.wrong_type("a list")
            return []
        values = cast(list[object], self.value)
        return [Cursor(self.document, (*self.path, index), value) for index, value in enumerate(values)]

    def boolean(self) -> bool | None:
        """True or false."""
        if isinstance(self.value, bool):
            return self.value
        self.wrong_type("a bool")
        return None

    def string(self) -> str | None:
        """Text; halves of surrogate pairs, which no file or terminal can hold, are reported."""
        if not isinstance(self.value, str):
            self.wrong_type("a string")
            return None
        text = whole_text(self.value)
        if text is None:
            self.report("WrongType", "expected text, found half of a surrogate pair", "write the character itself")
        return text

    def filled(self) -> str | None:
        """Text with at least one character that is no blank."""
        text = self.string()
        if text is not None and not text.strip():
            self.report("WrongType", "expected a non-empty string, found an empty one", "write some text or remove it")
            return None
        return text

    def name(self) -> str | None:
        """A name of the grammar."""
        text = self.string()
        if text is None or is_name(text):
            return text
        self.report("BadName", f"{quoted(text)} is not a name: {NAME_RULE}", "rename it")
        return None

    def tag(self) -> str | None:
        """A tag of the grammar."""
        text = self.string()
        if text is None or is_tag(text):
            return text
        self.report("BadTag", f"{quoted(text)} is not a tag: {TAG_RULE}", 'write a tag such as "v1" or "0.2.0"')
        return None

    def sha256(self) -> str | None:
        """A digest, in lower case."""
        text = self.string()
        if text is None or is_sha256(text):
            return text and text.lower()
        self.report("BadSha256", f"{quoted(text)} is not a SHA-256 digest: 64 hexadecimal digits", "write all of them")
        return None

    def one_of(self, kind: str, noun: str, choices: Iterable[str]) -> str | None:
        """One of the words `choices`; another one is reported as `kind`."""
        words = list(choices)
        text = self.string()
        if text is None or text in words:
            return text
        listed = ", ".join(f"`{word}`" for word in words)
        close = nearest(text, words)
        self.report(
            kind, f"{quoted(text)} is not a {noun}: {listed}", f"write `{close}`" if close else "choose one of these"
        )
        return None
