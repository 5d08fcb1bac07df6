"""An interface document that is valid (docs/reference/manifest.md, Interface document)."""

from dataclasses import dataclass

from peppy.errors import Problem
from peppy.model.names import Reference
from peppy.model.node import Action, Service, Surface, Topic


@dataclass(frozen=True, slots=True)
class Interface:
    """Members that a conforming node owns in full."""

    reference: Reference
    labels: tuple[str, ...] = ()
    topics: tuple[Topic, ...] = ()
    services: tuple[Service, ...] = ()
    actions: tuple[Action, ...] = ()

    def members(self, surface: Surface) -> tuple[Topic | Service | Action, ...]:
        """The members of one kind, as the document lists them."""
        match surface:
            case Surface.TOPIC:
                return self.topics
            case Surface.SERVICE:
                return self.services
            case Surface.ACTION:
                return self.actions


@dataclass(frozen=True, slots=True)
class CachedInterface:
    """One entry of the interface cache: the interface with the digest of its document, or why it cannot be used."""

    interface: Interface | None
    sha256: str
    problems: tuple[Problem, ...] = ()


def member_key(interface: Reference | str | None, name: str) -> str:
    """How a topic is called where native and inherited ones meet: `name`, or `<interface>:<tag>/<name>`."""
    return name if interface is None else f"{interface}/{name}"


def split_key(key: str) -> tuple[str | None, str]:
    """The interface (None: native) and the name in a `member_key`."""
    interface, slash, name = key.rpartition("/")
    return (interface, name) if slash else (None, key)
