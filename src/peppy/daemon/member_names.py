"""Services and actions as people name them (docs/reference/cli.md, Calls and goals)."""

from collections.abc import Iterator
from typing import NamedTuple

from peppy.daemon.addresses import (
    Address,
    actions_of,
    ambiguous,
    chosen,
    close_guess,
    full_address,
    services_of,
)
from peppy.daemon.registry import Node, Registry
from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.model.node import Action, Service
from peppy.model.text import quoted

KINDS = ("service", "action")

NOT_LIVE = "NotLive"
"""The kind of the error for what a node of the stack declares and no live instance exposes: it may come."""


class LiveMember(NamedTuple):
    """A service or an action that a live instance exposes, or a standalone program whose node is in the stack.

    `interface` (`name:tag`) is where it is inherited from; None: the node's own.
    """

    instance_id: str
    node: Reference
    interface: str | None
    member: Service | Action

    @property
    def address(self) -> str:
        """The full name."""
        return full_address(self.instance_id, self.interface, self.member.name)


def known_member(registry: Registry, kind: str, text: str) -> LiveMember:
    """The service or action (`kind`) of a live instance that `text` names.

    Raises PeppyError: `NotFound`, `NotLive` when only a node of the stack declares it and no instance of that is live,
    or `Refused` when it may be one of several.
    """
    if kind not in KINDS:
        raise PeppyError(f"{quoted(kind)} is neither a service nor an action", kind="Refused")
    address = Address.parse(text)
    members = _live_members(registry, kind)
    fitting = (live for live in members if address.fits(live.instance_id, live.interface, live.member.name))
    found = chosen(fitting, text)
    if len(found) == 1:
        return found[0]
    if found:
        raise ambiguous(text, found, _article(kind), f"{kind}s")
    raise _unknown(registry, kind, text, address)


def _live_members(registry: Registry, kind: str) -> Iterator[LiveMember]:
    for found in (*registry.live_instances(), *registry.programs.values()):
        if (node := registry.nodes.get(found.reference)) is not None:
            for interface, member in _exposed(node, kind):
                yield LiveMember(found.instance_id, found.reference, interface, member)


def _exposed(node: Node, kind: str) -> Iterator[tuple[str | None, Service]] | Iterator[tuple[str | None, Action]]:
    return services_of(node) if kind == "service" else actions_of(node)


def _unknown(registry: Registry, kind: str, text: str, address: Address) -> PeppyError:
    declaring = [
        str(node.reference)
        for node in registry.nodes.values()
        if any(address.fits_member(interface, member.name) for interface, member in _exposed(node, kind))
    ]
    what = f"no live instance exposes {_article(kind)} {quoted(text)}"
    live = list(_live_members(registry, kind))
    guess = close_guess(text, address, live)
    if declaring and (address.instance_id is None or registry.holder(address.instance_id) is None):
        named = f"-i {address.instance_id} " if address.instance_id else ""
        return PeppyError(f"{what}{guess}", kind=NOT_LIVE, hint=f"run `peppy node run {named}{declaring[0]}`")
    other = "action" if kind == "service" else "service"
    if any(live.member.name == address.name for live in _live_members(registry, other)):
        verb = "goal" if kind == "service" else "call"
        return PeppyError(what, kind="NotFound", hint=f"it is {_article(other)}: use `peppy {verb}`")
    return PeppyError(f"{what}{guess}", kind="NotFound", hint=_hint([member.address for member in live]))


def _hint(addresses: list[str]) -> str:
    if not addresses:
        return "see what runs with `peppy stack list`"
    shown = ", ".join(f"`{address}`" for address in addresses[:8])
    return f"there {'is' if len(addresses) == 1 else 'are'} {shown}{', …' if len(addresses) > 8 else ''}"


def _article(kind: str) -> str:
    return "an action" if kind == "action" else "a service"
