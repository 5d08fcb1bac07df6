"""Declarations of parameters (docs/reference/manifest.md, Parameters, Declaration)."""

from typing import cast

from peppy.manifest.cursor import Cursor
from peppy.manifest.formats import array_length, is_array, token_hint, token_of
from peppy.model.names import NAME_RULE, class_part, identifier, is_name
from peppy.model.parameters import ArrayOf, Group, Leaf, Parameter, ParameterType, invalid_value
from peppy.model.text import quoted
from peppy.model.types import Token

EXACT_F32 = 2**24
"""The largest magnitude up to which every integer is an `f32`."""

NO_DEFAULT = frozenset({Token.BYTES, Token.TIME})
_FORM_KEYS = {
    "leaf": ("$type", "$default"),
    "array": ("$type", "$items", "$length"),
    "group": ("$type",),
}


def group_of(cursor: Cursor | None) -> Group:
    """The declaration of all parameters of a node; empty when it is absent or wrong."""
    if cursor is None:
        return Group(())
    return _group(cursor, (), {"Parameters": cursor})


def _group(cursor: Cursor, parts: tuple[str, ...], classes: dict[str, Cursor]) -> Group:
    members: list[Parameter] = []
    identifiers: dict[str, Cursor] = {}
    for name, member in cursor.entries() or ():
        if name in _FORM_KEYS["group"]:
            continue
        if name.startswith("$"):
            _wrong_key(member, "a group")
        elif not is_name(name):
            member.report("BadName", f"{quoted(name)} is not a name: {NAME_RULE}", "rename it", at_key=True)
        else:
            _claim(identifiers, identifier(name), member, "Python name")
            kind = _type(member, (*parts, class_part(name)), classes)
            if kind is not None:
                members.append(Parameter(name, kind))
    return Group(tuple(members))


def _type(cursor: Cursor, parts: tuple[str, ...], classes: dict[str, Cursor]) -> ParameterType | None:
    if isinstance(cursor.value, str):
        return _leaf(cursor, None)
    if not cursor.is_object:
        text = f"expected a type, found {quoted(cursor.value)}"
        cursor.report("ParameterForm", text, 'write `{ $type: "f64", $default: … }` for a default')
        return None
    members = dict(cursor.entries() or ())
    kind = cursor.under("$type", absent="object")
    if kind == "object":
        _claim(classes, "".join(parts), cursor, "class")
        _refuse_default(members, "a group")
        return _group(cursor, parts, classes)
    form = "array" if kind == "array" else "leaf"
    for key, member in members.items():
        if key not in _FORM_KEYS[form] and not (form == "array" and key == "$default"):
            _wrong_key(member, "an array" if form == "array" else "a single value")
    if form == "array":
        _refuse_default(members, "an array")
        return _array(cursor, members, parts, classes)
    return _leaf(members["$type"], members.get("$default"))


def _array(
    cursor: Cursor, members: dict[str, Cursor], parts: tuple[str, ...], classes: dict[str, Cursor]
) -> ArrayOf | None:
    length = array_length(members.get("$length"), "ParameterForm")
    if "$items" not in members:
        cursor.report("ParameterForm", "array needs `$items`", 'add `$items: "f64"` with the type of the elements')
        return None
    item = members["$items"]
    if is_array(item):
        item.report("ParameterForm", "arrays of arrays are not supported", "wrap the inner array in a group")
        return None
    kind = _type(item, (*parts, "Item"), classes)
    if isinstance(kind, Leaf) and kind.default is not None:
        item.report("ParameterDefault", "`$default` is not allowed in `$items`", "remove `$default`")
    return None if kind is None else ArrayOf(cast(Leaf | Group, kind), length)


def _leaf(cursor: Cursor, default: Cursor | None) -> Leaf | None:
    if not isinstance(cursor.value, str):
        text = f"`$type` is {quoted(cursor.value)}, expected a string"
        cursor.report("ParameterForm", text, 'write a type such as "f64"')
        return None
    token = token_of(cursor.value)
    if token is None:
        cursor.report("ParameterForm", f"unknown type {quoted(cursor.value)}", token_hint(cursor.value))
        return None
    return Leaf(token, None if default is None else _default(default, token))


def _default(cursor: Cursor, token: Token) -> bool | int | float | str | None:
    if token in NO_DEFAULT:
        text = f"`$default` {quoted(cursor.value)} is not allowed for `{token}`"
        cursor.report("ParameterDefault", text, "remove `$default` and give the value when running")
        return None
    value = cursor.value
    wrong = invalid_value(token, value)
    if wrong is None and token is Token.F32 and isinstance(value, int) and abs(value) > EXACT_F32:
        wrong = f"an integer between -{EXACT_F32} and {EXACT_F32}, or a number with a point"
    if wrong is not None:
        text = f"`$default` {quoted(value)} does not fit `{token}`: expected {wrong}"
        cursor.report("ParameterDefault", text, f"write {wrong}")
        return None
    if token in (Token.F32, Token.F64):
        return float(cast(float, value))
    return cast(bool | int | str, value)


def _refuse_default(members: dict[str, Cursor], form: str) -> None:
    if "$default" in members:
        member = members["$default"]
        text = f"`$default` {quoted(member.value)} is not allowed for {form}"
        member.report("ParameterDefault", text, "give the members defaults", at_key=True)


def _wrong_key(cursor: Cursor, form: str) -> None:
    key = str(cursor.path[-1])
    if key == "$default":
        return
    hint = "give it a `$default` instead" if key == "$optional" else "remove it"
    if key in ("$items", "$length"):
        hint = 'an array needs `$type: "array"`'
    cursor.report("ParameterForm", f"{quoted(key)} is not allowed in {form}", hint, at_key=True)


def _claim(taken: dict[str, Cursor], name: str, cursor: Cursor, noun: str) -> None:
    if name in taken:
        text = f"{quoted(str(cursor.path[-1]))} gives the same {noun} `{name}` as another parameter"
        cursor.report("ParameterForm", text, "rename one of them", at_key=True, first=taken[name])
    taken.setdefault(name, cursor)
