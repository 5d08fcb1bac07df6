"""Topics as people name them (docs/reference/cli.md, Topics of a running stack)."""

from collections.abc import Iterator
from typing import NamedTuple

from peppy.daemon.addresses import Address, ambiguous, chosen, close_guess, full_address, topics_of
from peppy.daemon.registry import Registry
from peppy.daemon.standalone import OpenedTopic, StandaloneProgram
from peppy.errors import PeppyError
from peppy.model.interface import member_key, split_key
from peppy.model.names import Reference
from peppy.model.node import Topic
from peppy.model.text import quoted


class LiveTopic(NamedTuple):
    """A topic that a live instance declares, or that a standalone program has opened.

    `interface` (`name:tag`) is where it is inherited from; None: the node's own.
    """

    instance_id: str
    node: Reference
    interface: str | None
    topic: Topic | OpenedTopic

    @property
    def key(self) -> str:
        """How its stream calls it."""
        return member_key(self.interface, self.name)

    @property
    def name(self) -> str:
        """Its declared name."""
        return split_key(self.topic.name)[1]

    @property
    def address(self) -> str:
        """The full name."""
        return full_address(self.instance_id, self.interface, self.name)


class WatchedTopic(NamedTuple):
    """What to watch: `instance_id` is None for the first instance that comes; `live`: whether it is there now.

    `key` is how its stream calls it.
    """

    instance_id: str | None
    key: str
    live: bool


def live_topics(registry: Registry) -> Iterator[LiveTopic]:
    """Every topic of live instances, in the order of their starts, then those of standalone programs.

    A program has the topics that its node declares in the stack, if it is there, and all that it has opened.
    """
    for instance in registry.live_instances():
        for interface, topic in _declared(registry, instance.reference):
            yield LiveTopic(instance.instance_id, instance.reference, interface, topic)
    for program in registry.programs.values():
        for key, topic in _topics_of(registry, program).items():
            yield LiveTopic(program.instance_id, program.reference, split_key(key)[0], topic)


def known_topic(registry: Registry, text: str) -> LiveTopic:
    """The topic of a live instance that `text` names. Raises PeppyError: `NotFound`, or `Refused` when several do."""
    address = Address.parse(text)
    fitting = (live for live in live_topics(registry) if address.fits(live.instance_id, live.interface, live.name))
    found = chosen(fitting, text)
    if len(found) == 1:
        return found[0]
    if found:
        raise ambiguous(text, found, "a topic", "topics")
    raise _unknown(registry, text, address)


def watched_topic(registry: Registry, text: str) -> WatchedTopic:
    """The topic that `text` names, also when its instance is not up yet but a node of the stack declares the topic.

    Raises PeppyError: `NotFound` when nobody declares it, `Refused` when several live instances do.
    """
    address = Address.parse(text)
    is_live = address.instance_id in registry.taken_ids()
    keys = {key: None for reference in registry.nodes for key in _declared_keys(registry, reference, address)}
    if not is_live and keys and (address.instance_id is not None or not _is_emitted(registry, address)):
        return WatchedTopic(address.instance_id, _one_key(text, address, list(keys)), live=False)
    found = known_topic(registry, text)
    return WatchedTopic(found.instance_id, found.key, live=True)


def _one_key(text: str, address: Address, keys: list[str]) -> str:
    """The topic to wait for. One of a node's own is addressed by its name alone."""
    if len(keys) == 1:
        return keys[0]
    if address.interface is None and address.name in keys:
        return address.name
    listed = ", ".join(f"`{key}`" for key in keys)
    raise PeppyError(
        f"{quoted(text)} may be one of several topics: {listed}", kind="Refused", hint="name the interface as well"
    )


def _declared(registry: Registry, reference: Reference) -> Iterator[tuple[str | None, Topic]]:
    node = registry.nodes.get(reference)
    return iter(()) if node is None else topics_of(node)


def _declared_keys(registry: Registry, reference: Reference, address: Address) -> Iterator[str]:
    for interface, topic in _declared(registry, reference):
        if address.fits_member(interface, topic.name):
            yield member_key(interface, topic.name)


def _topics_of(registry: Registry, program: StandaloneProgram) -> dict[str, Topic | OpenedTopic]:
    declared: dict[str, Topic | OpenedTopic] = {
        member_key(interface, topic.name): topic for interface, topic in _declared(registry, program.reference)
    }
    return {**declared, **program.topics}


def _is_emitted(registry: Registry, address: Address) -> bool:
    return any(address.fits_member(live.interface, live.name) for live in live_topics(registry))


def _unknown(registry: Registry, text: str, address: Address) -> PeppyError:
    declaring = [str(reference) for reference in registry.nodes if any(_declared_keys(registry, reference, address))]
    if declaring and address.instance_id is None:
        return PeppyError(
            f"no live instance emits {quoted(text)}", kind="NotFound", hint=f"run `peppy node run {declaring[0]}`"
        )
    guess = close_guess(text, address, live_topics(registry))
    return PeppyError(
        f"no live instance emits {quoted(text)}{guess}", kind="NotFound", hint="list topics with `peppy topic list`"
    )
