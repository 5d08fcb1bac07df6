"""Services and actions as people name them, `<instance_id>/<name>` or `<name>` (docs/reference/cli.md, Calls and
goals)."""

from collections.abc import Iterator
from typing import NamedTuple

from peppy.daemon.registry import Registry
from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.model.node import Action, NodeManifest, Service
from peppy.model.text import nearest, quoted

KINDS = ("service", "action")


class LiveMember(NamedTuple):
    """A service or an action that a live instance exposes, or a standalone program whose node is in the stack."""

    instance_id: str
    node: Reference
    member: Service | Action

    @property
    def address(self) -> str:
        """The full name."""
        return f"{self.instance_id}/{self.member.name}"


def known_member(registry: Registry, kind: str, text: str) -> LiveMember:
    """The service or action (`kind`) of a live instance that `text` names.

    Raises PeppyError: `NotFound`, or `Refused` when several instances have it.
    """
    if kind not in KINDS:
        raise PeppyError(f"{quoted(kind)} is neither a service nor an action", kind="Refused")
    instance_id, slash, name = text.partition("/")
    wanted = (instance_id, name) if slash else (None, text)
    found = [
        live
        for live in _live_members(registry, kind)
        if live.member.name == wanted[1] and wanted[0] in (None, live.instance_id)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        addresses = ", ".join(f"`{live.address}`" for live in found)
        raise PeppyError(
            f"{quoted(text)} is {_article(kind)} of {len(found)} live instances: {addresses}",
            kind="Refused",
            hint="name one of these addresses",
        )
    raise _unknown(registry, kind, text, wanted[1])


def _live_members(registry: Registry, kind: str) -> Iterator[LiveMember]:
    for found in (*registry.live_instances(), *registry.programs.values()):
        if (node := registry.nodes.get(found.reference)) is not None:
            for member in _exposed(node.manifest, kind):
                yield LiveMember(found.instance_id, found.reference, member)


def _exposed(manifest: NodeManifest, kind: str) -> tuple[Service, ...] | tuple[Action, ...]:
    return manifest.exposed_services if kind == "service" else manifest.exposed_actions


def _unknown(registry: Registry, kind: str, text: str, name: str) -> PeppyError:
    declaring = [
        str(node.reference)
        for node in registry.nodes.values()
        if any(member.name == name for member in _exposed(node.manifest, kind))
    ]
    what = f"no live instance exposes {_article(kind)} {quoted(text)}"
    if declaring and "/" not in text:
        return PeppyError(what, kind="NotFound", hint=f"run `peppy node run {declaring[0]}`")
    addresses = [live.address for live in _live_members(registry, kind)]
    close = nearest(text, addresses) or nearest(name, (address.partition("/")[2] for address in addresses))
    other = "action" if kind == "service" else "service"
    if any(live.member.name == name for live in _live_members(registry, other)):
        verb = "goal" if kind == "service" else "call"
        return PeppyError(what, kind="NotFound", hint=f"it is {_article(other)}: use `peppy {verb}`")
    guess = f", nearest is `{close}`" if close else ""
    return PeppyError(f"{what}{guess}", kind="NotFound", hint=_hint(addresses, kind))


def _hint(addresses: list[str], kind: str) -> str:
    if not addresses:
        return f"no live instance exposes {_article(kind)}: see `peppy stack list`"
    shown = ", ".join(f"`{address}`" for address in addresses[:8])
    return f"there {'is' if len(addresses) == 1 else 'are'} {shown}{', …' if len(addresses) > 8 else ''}"


def _article(kind: str) -> str:
    return "an action" if kind == "action" else "a service"
