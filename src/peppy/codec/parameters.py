"""The base of generated parameter dataclasses (docs/reference/node_api.md, Generated package)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self, cast

from peppy.model.parameters import ArrayOf, Group, Parameter, resolve

PARAMETER_MEMBERS = frozenset({"from_dict", "to_dict"})
"""Names of the base's own members; a parameter with such a name gets a `_` behind it."""


def parameter_attribute(parameter: Parameter) -> str:
    """The attribute of the dataclass that holds this parameter."""
    name = parameter.identifier
    return f"{name}_" if name in PARAMETER_MEMBERS else name


def group_at(group: Group, *path: str) -> Group:
    """The group below `group` that these declared names lead to, through arrays of groups too."""
    for name in path:
        kind = next(member.type for member in group.members if member.name == name)
        inner = kind.items if isinstance(kind, ArrayOf) else kind
        assert isinstance(inner, Group)
        group = inner
    return group


class ParameterGroup:
    """Parameters as attributes: `DECLARED` says which, `GROUPS` names the classes of nested groups by declared name."""

    DECLARED: ClassVar[Group]
    GROUPS: ClassVar[Mapping[str, "type[ParameterGroup]"]] = {}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make it from declared names, with defaults filled in.

        InvalidInput names every missing, unknown or wrong one (docs/reference/manifest.md, Values).
        """
        return cls._of(resolve(cls.DECLARED, values))

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Self:
        members = cls.DECLARED.members
        return cls(**{parameter_attribute(member): cls._made(member.name, values[member.name]) for member in members})

    @classmethod
    def _made(cls, name: str, value: Any) -> Any:
        group = cls.GROUPS.get(name)
        if group is None:
            return value
        return [group._of(item) for item in cast(list[Any], value)] if isinstance(value, list) else group._of(value)

    def to_dict(self) -> dict[str, Any]:
        """The values under their declared names, as `from_dict` takes them."""
        members = self.DECLARED.members
        return {member.name: _plain(getattr(self, parameter_attribute(member))) for member in members}


def _plain(value: Any) -> Any:
    if isinstance(value, ParameterGroup):
        return value.to_dict()
    return [_plain(item) for item in cast(list[Any], value)] if isinstance(value, list) else value
