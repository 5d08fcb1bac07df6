"""Parameters of a node: what is declared, and how values are resolved against it (docs/reference/manifest.md, 5)."""

from dataclasses import dataclass

from peppy.model.names import identifier
from peppy.model.types import Token

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
