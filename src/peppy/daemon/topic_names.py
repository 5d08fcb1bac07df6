"""Topics as people name them, `<instance_id>/<name>` or `<name>` (docs/reference/cli.md, Topics of a running stack)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from peppy.daemon.registry import Registry
from peppy.daemon.standalone import OpenedTopic, StandaloneProgram
from peppy.errors import PeppyError
from peppy.model.names import Reference
from peppy.model.node import Topic
from peppy.model.text import nearest, quoted


class LiveTopic(NamedTuple):
    """A topic that a live instance declares, or that a standalone program has opened."""

    instance_id: str
    node: Reference
    topic: Topic | OpenedTopic

    @property
    def address(self) -> str:
        """The full name."""
        return f"{self.instance_id}/{self.topic.name}"


class WatchedTopic(NamedTuple):
    """What to watch: `instance_id` is None for the first instance that comes; `live`: whether it is there now."""

    instance_id: str | None
    name: str
    live: bool


def live_topics(registry: Registry) -> Iterator[LiveTopic]:
    """Every topic of live instances, in the order of their starts, then those of standalone programs.

    A program has the topics that its node declares in the stack, if it is there, and all that it has opened.
    """
    for instance in registry.live_instances():
        for topic in _declared(registry, instance.reference):
            yield LiveTopic(instance.instance_id, instance.reference, topic)
    for program in registry.programs.values():
        for topic in _topics_of(registry, program):
            yield LiveTopic(program.instance_id, program.reference, topic)


def known_topic(registry: Registry, text: str) -> LiveTopic:
    """The topic of a live instance that `text` names. Raises PeppyError: `NotFound`, or `Refused` when several do."""
    instance_id, name = _split(text)
    found = [
        live for live in live_topics(registry) if live.topic.name == name and instance_id in (None, live.instance_id)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        addresses = ", ".join(f"`{live.address}`" for live in found)
        raise PeppyError(
            f"{quoted(text)} is a topic of {len(found)} live instances: {addresses}",
            kind="Refused",
            hint="name one of these addresses",
        )
    raise _unknown(registry, text, name)


def watched_topic(registry: Registry, text: str) -> WatchedTopic:
    """The topic that `text` names, also when its instance is not up yet but a node of the stack declares the topic.

    Raises PeppyError: `NotFound` when nobody declares it, `Refused` when several live instances do.
    """
    instance_id, name = _split(text)
    is_live = instance_id in registry.taken_ids()
    if not is_live and _is_declared(registry, name) and (instance_id is not None or not _emitters(registry, name)):
        return WatchedTopic(instance_id, name, live=False)
    found = known_topic(registry, text)
    return WatchedTopic(found.instance_id, name, live=True)


def _split(text: str) -> tuple[str | None, str]:
    instance_id, slash, name = text.partition("/")
    return (instance_id, name) if slash else (None, text)


def _declared(registry: Registry, reference: Reference) -> tuple[Topic, ...]:
    node = registry.nodes.get(reference)
    return node.manifest.emitted_topics if node else ()


def _topics_of(registry: Registry, program: StandaloneProgram) -> Iterable[Topic | OpenedTopic]:
    declared: dict[str, Topic | OpenedTopic] = {topic.name: topic for topic in _declared(registry, program.reference)}
    return {**declared, **program.topics}.values()


def _emitters(registry: Registry, name: str) -> list[str]:
    return [live.instance_id for live in live_topics(registry) if live.topic.name == name]


def _is_declared(registry: Registry, name: str) -> bool:
    return any(topic.name == name for reference in registry.nodes for topic in _declared(registry, reference))


def _unknown(registry: Registry, text: str, name: str) -> PeppyError:
    declaring = [
        str(node.reference)
        for node in registry.nodes.values()
        if any(topic.name == name for topic in _declared(registry, node.reference))
    ]
    addresses = [live.address for live in live_topics(registry)]
    close = nearest(text, addresses) or nearest(name, (address.partition("/")[2] for address in addresses))
    if declaring and "/" not in text:
        return PeppyError(
            f"no live instance emits {quoted(text)}", kind="NotFound", hint=f"run `peppy node run {declaring[0]}`"
        )
    guess = f", nearest is `{close}`" if close else ""
    return PeppyError(
        f"no live instance emits {quoted(text)}{guess}", kind="NotFound", hint="list topics with `peppy topic list`"
    )
