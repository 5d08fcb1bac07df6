"""What a generated package knows about its node."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from peppy.model.names import Reference
from peppy.model.node import Slot
from peppy.model.parameters import Group


class Parameters(Protocol):
    """The generated dataclass of a node's parameters: made from declared names, and back."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self: ...

    def to_dict(self) -> dict[str, Any]: ...


T = TypeVar("T", bound=Parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package(Generic[T]):
    """`fingerprint` is the SHA-256 of the manifest (64 hex digits) that the package was generated from."""

    name: str
    tag: str
    fingerprint: str
    generator_version: int
    conforms_to: tuple[Reference, ...]
    slots: tuple[Slot, ...]
    declared_parameters: Group
    schema_hashes: Mapping[str, int]
    parameters: type[T]
