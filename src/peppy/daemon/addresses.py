"""How people address topics, services and actions: `<instance_id>/<name>`, or for a member that is inherited from an
interface `<instance_id>/<interface>:<tag>/<name>` (docs/reference/cli.md, Topics of a running stack).

Where only one live instance has it, the instance may be left out; where it is unambiguous, the interface may be too.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from peppy.daemon.registry import Node
from peppy.errors import PeppyError
from peppy.model.interface import member_key
from peppy.model.node import Action, Service, Topic
from peppy.model.text import nearest, quoted


class Address(NamedTuple):
    """What a person has typed; None is what was left out."""

    instance_id: str | None
    interface: str | None
    name: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """An instance id has no colon, the name of an interface always has one."""
        first, slash, rest = text.partition("/")
        if not slash:
            return cls(None, None, text)
        if ":" in first:
            return cls(None, first, rest)
        interface, slash, name = rest.partition("/")
        return cls(first, interface, name) if slash else cls(first, None, rest)

    def fits(self, instance_id: str, interface: str | None, name: str) -> bool:
        """Whether this may be the member."""
        return name == self.name and self.instance_id in (None, instance_id) and self.interface in (None, interface)

    def fits_member(self, interface: str | None, name: str) -> bool:
        """Whether this may be the member of whatever instance."""
        return name == self.name and self.interface in (None, interface)


class Addressed(Protocol):
    """A member of a live instance."""

    @property
    def instance_id(self) -> str: ...

    @property
    def address(self) -> str: ...


Found = TypeVar("Found", bound=Addressed)


def chosen(found: Iterable[Found], text: str) -> list[Found]:
    """Of what an address may mean the one that it is, letter for letter; else all of them."""
    several = list(found)
    exact = [each for each in several if each.address == text]
    return exact or several


def ambiguous(text: str, found: Sequence[Addressed], one: str, plural: str) -> PeppyError:
    """`Refused` for a name of several members; `one` and `plural` say of what kind, as in `a topic`, `topics`."""
    addresses = ", ".join(f"`{member.address}`" for member in found)
    owners = {member.instance_id for member in found}
    what = f"{one} of {len(owners)} live instances" if len(owners) > 1 else f"one of {len(found)} {plural}"
    return PeppyError(f"{quoted(text)} is {what}: {addresses}", kind="Refused", hint="name one of these addresses")


def close_guess(text: str, address: Address, live: Iterable[Addressed]) -> str:
    """The end of a message that knows no such member: the one that is nearest, if any is near."""
    addresses = [member.address for member in live]
    names = (known.partition("/")[2] for known in addresses)
    close = nearest(text, addresses) or nearest(member_key(address.interface, address.name), names)
    return f", nearest is `{close}`" if close else ""


def full_address(instance_id: str, interface: str | None, name: str) -> str:
    """The address that is unambiguous."""
    return f"{instance_id}/{member_key(interface, name)}"


def topics_of(node: Node) -> Iterator[tuple[str | None, Topic]]:
    """The topics of a node with the interface (`name:tag`) that it inherits each from; None: its own."""
    yield from ((None, topic) for topic in node.manifest.emitted_topics)
    for interface in node.inherited():
        yield from ((str(interface.reference), topic) for topic in interface.topics)


def services_of(node: Node) -> Iterator[tuple[str | None, Service]]:
    """The services of a node, as `topics_of`."""
    yield from ((None, service) for service in node.manifest.exposed_services)
    for interface in node.inherited():
        yield from ((str(interface.reference), service) for service in interface.services)


def actions_of(node: Node) -> Iterator[tuple[str | None, Action]]:
    """The actions of a node, as `topics_of`."""
    yield from ((None, action) for action in node.manifest.exposed_actions)
    for interface in node.inherited():
        yield from ((str(interface.reference), action) for action in interface.actions)
