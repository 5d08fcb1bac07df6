"""The module `parameters`: one dataclass for the node and one per group (docs/reference/node_api.md, section 1)."""

import keyword

from peppy.codec.parameters import parameter_attribute
from peppy.gen.payloads import alias
from peppy.gen.text import Call, literal
from peppy.model.names import class_part
from peppy.model.parameters import ArrayOf, Group, Leaf, Parameter, ParameterType

ROOT_CLASS = "Parameters"


def parameters_module(group: Group, node: str) -> str:
    """The text of `parameters.py`. Group classes may have any name, so everything else has an underscore."""
    classes: list[str] = []
    _add_groups(group, (), (), classes)
    classes.append(_group_class(ROOT_CLASS, f"The parameters of `{node}`.", group, (), ()))
    nested = any(_group_in(member.type) for member in group.members)
    abstract = "from collections.abc import Mapping as _Mapping\n" if nested else ""
    typing = "from typing import ClassVar as _ClassVar\n" if nested else ""
    return (
        f'"""Parameters of `{node}`, checked before the node starts."""\n\n'
        f"{abstract}from dataclasses import dataclass as _dataclass\n{typing}\n"
        "from peppy import codec as _codec\n\n"
        "from . import _meta\n\n\n" + "\n\n".join(classes)
    )


def _add_groups(group: Group, path: tuple[str, ...], parts: tuple[str, ...], classes: list[str]) -> None:
    for member in group.members:
        inner = _group_in(member.type)
        if inner is None:
            continue
        inner_path, inner_parts = (*path, member.name), _parts(member, parts)
        _add_groups(inner, inner_path, inner_parts, classes)
        title = f"Parameters `{'.'.join(inner_path)}`" + (", one item." if isinstance(member.type, ArrayOf) else ".")
        classes.append(_group_class(_class_name(inner_parts), title, inner, inner_path, inner_parts))


def _group_class(name: str, title: str, group: Group, path: tuple[str, ...], parts: tuple[str, ...]) -> str:
    lines = ["@_dataclass(kw_only=True)", f"class {name}(_codec.ParameterGroup):", f'    """{title}"""', ""]
    root = "_meta.DECLARED_PARAMETERS"
    declared = f"_codec.group_at({', '.join([root, *map(literal, path)])})" if path else root
    lines.append(f"    DECLARED = {declared}")
    nested = [(member, _class_name(_parts(member, parts))) for member in group.members if _group_in(member.type)]
    if nested:
        groups = Call("{", [f"{literal(member.name)}: {inner}" for member, inner in nested], "}")
        lines.append(groups.text("    ", before="GROUPS: _ClassVar[_Mapping[str, type[_codec.ParameterGroup]]] = "))
    if group.members:
        lines.append("")
    lines += [f"    {_attribute(member, parts)}" for member in group.members]
    return "\n".join(lines) + "\n"


def _attribute(member: Parameter, parts: tuple[str, ...]) -> str:
    kind = member.type
    default = f" = {literal(kind.default)}" if isinstance(kind, Leaf) and kind.default is not None else ""
    return f"{parameter_attribute(member)}: {_annotation(kind, _class_name(_parts(member, parts)))}{default}"


def _annotation(kind: ParameterType, name: str) -> str:
    if isinstance(kind, Leaf):
        return f"_codec.{alias(kind.token)}"
    return name if isinstance(kind, Group) else f"_codec.Array[{_annotation(kind.items, name)}]"


def _group_in(kind: ParameterType) -> Group | None:
    inner = kind.items if isinstance(kind, ArrayOf) else kind
    return inner if isinstance(inner, Group) else None


def _parts(member: Parameter, parts: tuple[str, ...]) -> tuple[str, ...]:
    return (*parts, class_part(member.name), *(("Item",) if isinstance(member.type, ArrayOf) else ()))


def _class_name(parts: tuple[str, ...]) -> str:
    """The class of a group; a group called `none`, `true` or `false` cannot have its plain name."""
    name = "".join(parts)
    return f"{name}_" if keyword.iskeyword(name) else name
