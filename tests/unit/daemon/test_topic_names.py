"""Topics as people name them (docs/reference/cli.md, Topics of a running stack)."""

import dataclasses

import pytest

from daemon.entries import WHEELS, instance, node
from peppy.daemon.member_names import known_member
from peppy.daemon.registry import Registry
from peppy.daemon.standalone import OpenedTopic, StandaloneProgram, opened_topic
from peppy.daemon.topic_names import known_topic, live_topics, watched_topic
from peppy.errors import PeppyError
from peppy.manifest.interface import parse_interface
from peppy.model.lifecycle import State
from peppy.model.names import Reference, stable_hash
from peppy.model.node import Conformance, Service, Topic
from peppy.model.qos import QoSProfile
from peppy.protocol.streams import StreamOpen

CAMERA = Reference("camera", "v1")


def topic(name: str) -> Topic:
    return Topic(name, QoSProfile.Standard, None)


@pytest.fixture
def registry() -> Registry:
    """Wheels emit `speed` and `fault`, of the two instances `left` lives; a camera emits `frames`, none lives."""
    made = Registry("core-node-brisk-lovelace-2741")
    for reference, names in ((WHEELS, ("speed", "fault")), (CAMERA, ("frames",))):
        entry = node(reference)
        entry.manifest = dataclasses.replace(entry.manifest, emitted_topics=tuple(map(topic, names)))
        made.put_node(entry)
    made.put_instance(instance("left", 1, State.RUNNING))
    made.put_instance(instance("right", 2, State.FINISHED))
    return made


def test_topics_are_those_of_live_instances(registry: Registry):
    assert [found.address for found in live_topics(registry)] == ["left/speed", "left/fault"]


def test_a_standalone_program_has_what_its_node_declares_and_what_it_has_opened(registry: Registry):
    for number, reference in enumerate((CAMERA, Reference("mic", "v1"))):
        program = StandaloneProgram(f"s{number}", reference, 1, (), ())
        program.topics["frames"] = OpenedTopic("frames", QoSProfile.SensorData, 7, "[]")
        registry.programs[program.instance_id] = program
    registry.programs["s1"].topics["sound"] = OpenedTopic("sound", QoSProfile.Standard, 0, None)
    found = {live.address: live.topic for live in live_topics(registry) if live.instance_id != "left"}
    assert list(found) == ["s0/frames", "s1/frames", "s1/sound"]
    assert found["s0/frames"].qos is QoSProfile.SensorData
    assert watched_topic(registry, "s0/frames") == ("s0", "frames", True)
    assert known_topic(registry, "sound").address == "s1/sound"


@pytest.mark.parametrize("name", ["frames", "image_source:v1/frames"])
def test_a_stream_of_a_program_is_a_topic(name: str):
    text = '[["width","u16",0]]'
    opened = opened_topic(StreamOpen(1, name, 1, stable_hash(text), 1, text))
    assert opened == OpenedTopic(name, QoSProfile.Standard, stable_hash(text), text)


@pytest.mark.parametrize("name", ["", "a/b", "a:v1/", "/b", "a:v1/b/c", "a b"])
def test_a_stream_whose_name_is_none_is_refused(name: str):
    with pytest.raises(PeppyError):
        opened_topic(StreamOpen(1, name, 1, 0, 1))


@pytest.mark.parametrize("text", ["left/speed", "speed"])
def test_an_address_and_a_name_alone_find_the_topic(registry: Registry, text: str):
    assert known_topic(registry, text).address == "left/speed"
    assert watched_topic(registry, text) == ("left", "speed", True)


@pytest.mark.parametrize("find", [known_topic, watched_topic])
def test_a_name_of_two_instances_is_refused_with_their_addresses(registry: Registry, find: object):
    registry.put_instance(instance("rear", 3, State.RUNNING))
    with pytest.raises(PeppyError) as raised:
        find(registry, "speed")  # type: ignore[operator]
    assert raised.value.kind == "Refused"
    assert raised.value.message == "`speed` is a topic of 2 live instances: `left/speed`, `rear/speed`"
    assert known_topic(registry, "rear/speed").address == "rear/speed"


@pytest.mark.parametrize(
    ("text", "instance_id", "name"),
    [("frames", None, "frames"), ("front/frames", "front", "frames"), ("right/speed", "right", "speed")],
)
def test_what_is_declared_but_not_up_is_waited_for_and_has_no_details(
    registry: Registry, text: str, instance_id: str | None, name: str
):
    assert watched_topic(registry, text) == (instance_id, name, False)
    with pytest.raises(PeppyError) as raised:
        known_topic(registry, text)
    assert raised.value.kind == "NotFound"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("left/sped", "no live instance emits `left/sped`, nearest is `left/speed`"),
        ("falt", "no live instance emits `falt`, nearest is `fault`"),
        ("left/frames", "no live instance emits `left/frames`, nearest is `left/fault`"),
        ("qqqq", "no live instance emits `qqqq`"),
        ("/", "no live instance emits `/`"),
        ("", "no live instance emits ``"),
    ],
)
def test_what_nobody_declares_is_not_found(registry: Registry, text: str, message: str):
    for find in (known_topic, watched_topic):
        with pytest.raises(PeppyError) as raised:
            find(registry, text)
        assert (raised.value.kind, raised.value.message) == ("NotFound", message)


def test_a_node_that_does_not_run_is_named_in_the_hint(registry: Registry):
    with pytest.raises(PeppyError) as raised:
        known_topic(registry, "frames")
    assert raised.value.hint == "run `peppy node run camera:v1`"


# --- inherited members -----------------------------------------------------------------------------------------------

DRIVE = parse_interface(
    b"""{ peppy_schema: "interface_v1", manifest: { name: "drive", tag: "v1" },
          interfaces: { topics: [{ name: "speed" }, { name: "heat" }], services: [{ name: "halt" }] } }""",
    "drive.json5",
)


@pytest.fixture
def conforming(registry: Registry) -> Registry:
    """Wheels inherit `speed`, `heat` and service `halt` from `drive:v1`, and have a service `halt` of their own."""
    entry = registry.nodes[WHEELS]
    claim = Conformance(DRIVE.interface.reference)
    entry.manifest = dataclasses.replace(
        entry.manifest, conforms_to=(claim,), exposed_services=(Service("halt", None, None),)
    )
    entry.interfaces = {claim.interface: DRIVE}
    return registry


def test_inherited_topics_are_listed_with_their_interface(conforming: Registry):
    assert [found.address for found in live_topics(conforming)] == [
        *("left/speed", "left/fault", "left/drive:v1/speed", "left/drive:v1/heat"),
    ]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("left/speed", "left/speed"),
        ("left/drive:v1/speed", "left/drive:v1/speed"),
        ("drive:v1/speed", "left/drive:v1/speed"),
        ("heat", "left/drive:v1/heat"),
        ("left/heat", "left/drive:v1/heat"),
    ],
)
def test_what_is_unambiguous_is_found(conforming: Registry, text: str, address: str):
    found = known_topic(conforming, text)
    assert found.address == address
    assert watched_topic(conforming, text) == ("left", address.partition("/")[2], True)
    assert found.key == address.partition("/")[2]


def test_a_name_that_a_node_has_and_inherits_is_refused_with_both_addresses(conforming: Registry):
    with pytest.raises(PeppyError) as raised:
        known_topic(conforming, "speed")
    assert raised.value.message == "`speed` is one of 2 topics: `left/speed`, `left/drive:v1/speed`"
    with pytest.raises(PeppyError) as raised:
        known_member(conforming, "service", "halt")
    assert raised.value.message == "`halt` is one of 2 services: `left/halt`, `left/drive:v1/halt`"


@pytest.mark.parametrize("text", ["left/halt", "left/drive:v1/halt", "drive:v1/halt"])
def test_services_are_addressed_alike(conforming: Registry, text: str):
    found = known_member(conforming, "service", text)
    assert found.interface == ("drive:v1" if "drive" in text else None)


def test_an_inherited_topic_is_waited_for(conforming: Registry):
    assert watched_topic(conforming, "right/drive:v1/speed") == ("right", "drive:v1/speed", False)
    assert watched_topic(conforming, "right/heat") == ("right", "drive:v1/heat", False)
    assert watched_topic(conforming, "right/speed") == ("right", "speed", False)


@pytest.mark.parametrize("text", ["left/drive:v2/speed", "left/drive:v1/sped", "drive:v1/", "left//speed"])
def test_no_other_interface_is_meant(conforming: Registry, text: str):
    for find in (known_topic, watched_topic):
        with pytest.raises(PeppyError) as raised:
            find(conforming, text)
        assert raised.value.kind == "NotFound"
