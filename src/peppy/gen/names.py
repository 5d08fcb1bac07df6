"""Names of generated modules and classes (docs/reference/messages.md, Name normalisation and Classes)."""

from collections.abc import Iterable

from peppy.model.names import identifier
from peppy.model.node import Consumed


def module_names(wanted: Iterable[str]) -> list[str]:
    """A module name for each wanted one, in document order: equal ones become `x`, `x_1`, `x_2`."""
    taken: set[str] = set()
    names: list[str] = []
    for name in wanted:
        unique, count = name, 0
        while unique in taken:
            count += 1
            unique = f"{name}_{count}"
        taken.add(unique)
        names.append(unique)
    return names


def own_module(name: str) -> str:
    """The module of a member of the node itself, before equal names are told apart."""
    return identifier(name)


def consumed_module(consumed: Consumed) -> str:
    """The module of a consumed member, before equal names are told apart."""
    return f"{identifier(consumed.link_id)}_{identifier(consumed.name)}"
