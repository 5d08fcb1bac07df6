"""Names of generated modules and classes (docs/reference/messages.md, Name normalisation and Classes)."""

from collections.abc import Iterable, Sequence

from peppy.model.names import Reference, identifier
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


def inherited_packages(interfaces: Sequence[Reference], modules: Sequence[str]) -> dict[Reference, str]:
    """The package `<interface>/<tag>` of each interface, in a directory that holds these modules already."""
    names = list(dict.fromkeys(interface.name for interface in interfaces))
    unique = module_names([*modules, *(identifier(name) for name in names)])[len(modules) :]
    packages = dict(zip(names, unique, strict=True))
    return {interface: f"{packages[interface.name]}/{identifier(interface.tag)}" for interface in interfaces}
