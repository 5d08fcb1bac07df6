"""Parameters of a node: what is declared, and how values are resolved against it (docs/reference/manifest.md, 5)."""

import base64
import binascii
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from peppy.errors import InvalidInput, PeppyError, Problem
from peppy.model.names import identifier
from peppy.model.text import nearest, quoted
from peppy.model.types import INTEGERS, Token

ParameterValue = bool | int | float | str | bytes | list["ParameterValue"] | dict[str, "ParameterValue"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value; `default` None means that it is required."""

    token: Token
    default: bool | int | float | str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Named parameters in declaration order."""

    members: "tuple[Parameter, ...]"

    def member(self, name: str) -> "Parameter | None":
        """The parameter declared as `name`."""
        return next((member for member in self.members if member.name == name), None)


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """A list of items; `length` None means any number."""

    items: "Leaf | Group"
    length: int | None = None


ParameterType = Leaf | Group | ArrayOf


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as declared; `identifier` is its name in Python."""

    name: str
    type: ParameterType

    @property
    def identifier(self) -> str:
        return identifier(self.name)


def type_text(kind: ParameterType) -> str:
    """The declared type as people read it: `u16`, `array[f32; 3]`, `array[object]`, `object`."""
    if isinstance(kind, Leaf):
        return kind.token.value
    if isinstance(kind, Group):
        return "object"
    length = "" if kind.length is None else f"; {kind.length}"
    return f"array[{type_text(kind.items)}{length}]"


def invalid_value(token: Token, value: object) -> str | None:
    """What a `token` takes when it does not take `value`, else None; floats take integers, nothing else is coerced."""
    if token is Token.BOOL:
        return None if isinstance(value, bool) else "`true` or `false`"
    if token in INTEGERS:
        low, high = INTEGERS[token]
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"an integer from {low} to {high}"
    if token is Token.STRING:
        return None if isinstance(value, str) and _is_encodable(value) else "a string"
    if token is Token.BYTES:
        return (
            None
            if isinstance(value, bytes) or (isinstance(value, str) and _is_encodable(value))
            else "bytes or a string"
        )
    fits = isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value, token)
    return None if fits else f"a finite number{' of the `f32` range' if token is Token.F32 else ''}"


def _is_encodable(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def _is_finite(value: float, token: Token) -> bool:
    try:
        number = float(value)
        if token is Token.F32:
            struct.pack("<f", number)
    except OverflowError:
        return False
    return math.isfinite(number)


@dataclass(slots=True)
class _Resolution:
    missing: list[str] = field(default_factory=list[str])
    problems: list[Problem] = field(default_factory=list[Problem])

    def finish(self) -> None:
        if self.missing:
            text = f"Missing required parameters: {', '.join(self.missing)}"
            hint = f"give `{self.missing[0]}=<value>`"
            self.problems.insert(0, Problem("MissingParameters", text, hint=hint))
        if self.problems:
            raise InvalidInput(self.problems)

    def unknown(self, path: str, name: str, group: Group) -> None:
        names = [member.name for member in group.members]
        close = nearest(name, names)
        text = "there is no such parameter" + (f", nearest is `{close}`" if close else "")
        listed = ", ".join(f"`{name}`" for name in names)
        hint = f"did you mean `{close}`?" if close else f"declared: {listed}" if names else "remove it"
        self.problems.append(Problem("UnknownParameter", text, path=path, hint=hint))

    def wrong(self, path: str, kind: ParameterType, value: object, expected: str) -> None:
        text = f"{quoted(value)} does not fit `{type_text(kind)}`: expected {expected}"
        self.problems.append(Problem("ParameterType", text, path=path, hint=f"give {expected}"))


def resolve(group: Group, supplied: Mapping[str, object]) -> dict[str, ParameterValue]:
    """Every declared value, in declaration order: what is supplied, checked, and defaults for the rest.

    Defaults also fill partly supplied groups and groups in arrays. Floats take integers, `bytes` also take a string as
    its UTF-8 bytes, nothing else is coerced; resolving a result again gives the same. InvalidInput with all of
    MissingParameters, UnknownParameter and ParameterType (docs/reference/manifest.md, Values).
    """
    resolution = _Resolution()
    values = _resolve_group(group, supplied, "", resolution)
    resolution.finish()
    return values


def _resolve_group(
    group: Group, supplied: Mapping[str, object], prefix: str, resolution: _Resolution
) -> dict[str, ParameterValue]:
    for name in supplied:
        if group.member(name) is None:
            resolution.unknown(prefix + name, name, group)
    values: dict[str, ParameterValue] = {}
    for member in group.members:
        value = _resolve_member(member, supplied, prefix, resolution)
        if value is not None:
            values[member.name] = value
    return values


def _resolve_member(
    member: Parameter, supplied: Mapping[str, object], prefix: str, resolution: _Resolution
) -> ParameterValue | None:
    path = prefix + member.name
    if member.name in supplied:
        return _checked(member.type, supplied[member.name], path, resolution)
    if isinstance(member.type, Group):
        return _resolve_group(member.type, {}, f"{path}.", resolution)
    if isinstance(member.type, Leaf) and member.type.default is not None:
        return member.type.default
    resolution.missing.append(path)
    return None


def _checked(kind: ParameterType, value: object, path: str, resolution: _Resolution) -> ParameterValue | None:
    if isinstance(kind, Leaf):
        return _checked_leaf(kind, value, path, resolution)
    if isinstance(kind, Group):
        if isinstance(value, Mapping):
            return _resolve_group(kind, cast(Mapping[str, object], value), f"{path}.", resolution)
        resolution.wrong(path, kind, value, "an object")
        return None
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        resolution.wrong(path, kind, cast(object, value), "a list")
        return None
    items = cast(Sequence[object], value)
    if kind.length is not None and len(items) != kind.length:
        resolution.wrong(path, kind, items, f"{kind.length} items, found {len(items)}")
        return None
    checked = [_checked(kind.items, item, f"{path}[{index}]", resolution) for index, item in enumerate(items)]
    return [item for item in checked if item is not None]


def _checked_leaf(kind: Leaf, value: object, path: str, resolution: _Resolution) -> ParameterValue | None:
    expected = invalid_value(kind.token, value)
    if expected is not None:
        resolution.wrong(path, kind, value, expected)
        return None
    if kind.token is Token.BYTES and isinstance(value, str):
        return value.encode()
    if kind.token in (Token.F32, Token.F64, Token.TIME):
        return float(cast(float, value))
    return cast(ParameterValue, value)


def assign(group: Group, texts: Iterable[str], parse_value: Callable[[str], object]) -> dict[str, object]:
    """What `key=value` texts of the command line supply, converted by the declared types, ready for `resolve`.

    `parse_value` reads the JSON5 value of an array or a group and raises ValueError. PeppyError of kind `Usage` for a
    text without `=` and a key given twice (also as a part of a group that is given whole); InvalidInput with all of
    UnknownParameter and ParameterType.
    """
    supplied: dict[str, object] = {}
    given: set[str] = set()
    resolution = _Resolution()
    for text in texts:
        key, equals, word = text.partition("=")
        if not equals or not key:
            raise PeppyError(f"{quoted(text)} is not `key=value`", kind="Usage", hint="write `key=value`")
        _refuse_repeated(key, given)
        kind = _declared(group, key, resolution)
        if kind is None:
            continue
        value = _converted(kind, word, key, parse_value, resolution)
        _place(supplied, key.split("."), value)
    resolution.finish()
    return supplied


def _refuse_repeated(key: str, given: set[str]) -> None:
    for other in given:
        if key == other or key.startswith(f"{other}.") or other.startswith(f"{key}."):
            both = "" if key == other else f", once as {quoted(other)}"
            text = f"the parameter {quoted(key)} is given twice{both}"
            raise PeppyError(text, kind="Usage", hint="give each parameter once")
    given.add(key)


def _declared(group: Group, key: str, resolution: _Resolution) -> ParameterType | None:
    kind: ParameterType = group
    for name in key.split("."):
        member = kind.member(name) if isinstance(kind, Group) else None
        if member is None:
            resolution.unknown(key, name, kind if isinstance(kind, Group) else Group(()))
            return None
        kind = member.type
    return kind


def _converted(
    kind: ParameterType, word: str, key: str, parse_value: Callable[[str], object], resolution: _Resolution
) -> object:
    if isinstance(kind, Leaf):
        value = _from_text(kind.token, word)
    else:
        try:
            value = parse_value(word)
        except ValueError as error:
            resolution.wrong(key, kind, word, f"a JSON5 value ({error})")
            return None
    # Only the type is judged here: members that are still missing are the business of `resolve`.
    shape = _Resolution()
    _checked(kind, value, key, shape)
    resolution.problems.extend(shape.problems)
    return value


def _from_text(token: Token, word: str) -> object:
    """The value of a word, or the word itself where it is no `token`."""
    if token is Token.BOOL:
        return {"true": True, "false": False}.get(word.lower(), word)
    if token in INTEGERS:
        digits = word.removeprefix("-") if word.startswith("-") else word.removeprefix("+")
        return int(word) if digits.isascii() and digits.isdigit() and len(digits) <= 20 else word
    if token in (Token.F32, Token.F64, Token.TIME):
        return _number(word)
    return word


def _number(word: str) -> object:
    # float() also takes blanks around the number and `_` between digits, which no document does.
    if word.strip() != word or "_" in word:
        return word
    try:
        return float(word)
    except ValueError:
        return word


def _place(supplied: dict[str, object], names: list[str], value: object) -> None:
    for name in names[:-1]:
        supplied = cast(dict[str, object], supplied.setdefault(name, {}))
    supplied[names[-1]] = value


def to_json(group: Group, values: Mapping[str, ParameterValue]) -> dict[str, object]:
    """Resolved values as strict JSON holds them: `bytes` become base64 text, everything else stays as it is."""
    return cast(
        dict[str, object], _mapped(group, values, lambda value: base64.b64encode(cast(bytes, value)).decode("ascii"))
    )


def from_json(group: Group, data: Mapping[str, object]) -> dict[str, ParameterValue]:
    """The values that `to_json` wrote, checked against the declaration as `resolve` does; InvalidInput."""
    return resolve(group, cast(dict[str, object], _mapped(group, data, _from_base64)))


def _from_base64(value: object) -> object:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None


def _mapped(kind: ParameterType, value: object, on_bytes: Callable[[object], object]) -> object:
    """`value` with every `bytes` leaf replaced; whatever does not have the declared shape is left as it is."""
    if isinstance(kind, Leaf):
        return on_bytes(value) if kind.token is Token.BYTES else value
    if isinstance(kind, Group) and isinstance(value, Mapping):
        entries = cast(Mapping[str, object], value).items()
        types = {member.name: member.type for member in kind.members}
        return {name: _mapped(types[name], part, on_bytes) if name in types else part for name, part in entries}
    if isinstance(kind, ArrayOf) and isinstance(value, Sequence) and not isinstance(value, str):
        return [_mapped(kind.items, part, on_bytes) for part in cast(Sequence[object], value)]
    return value
