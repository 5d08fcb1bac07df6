"""An interface document that is valid (docs/reference/manifest.md, Interface document)."""

from dataclasses import dataclass

from peppy.model.names import Reference
from peppy.model.node import Action, Service, Topic


@dataclass(frozen=True, slots=True)
class Interface:
    """Members that a conforming node owns in full."""

    reference: Reference
    labels: tuple[str, ...] = ()
    topics: tuple[Topic, ...] = ()
    services: tuple[Service, ...] = ()
    actions: tuple[Action, ...] = ()
