"""Interface documents (docs/reference/manifest.md, Interface document)."""

import pytest

from peppy.errors import InvalidInput
from peppy.manifest.interface import parse_interface
from peppy.model.interface import Interface
from peppy.model.names import Reference
from peppy.model.node import Service, Topic
from peppy.model.qos import QoSProfile
from peppy.model.types import Field, MessageFormat, Scalar, Token

DOCUMENT = """{
  peppy_schema: "interface_v1",
  manifest: { name: "range_sensor", tag: "v2", labels: ["range"] },
  interfaces: {
    topics: [{ name: "distance", qos_profile: "sensor_data", message_format: { metres: "f32" } }],
    services: [{ name: "calibrate" }],
  },
}
"""


def problem(text: str):
    with pytest.raises(InvalidInput) as raised:
        parse_interface(text.encode(), "range.json5")
    (found,) = raised.value.details
    return found


def test_an_interface_is_read_into_the_model():
    found = parse_interface(DOCUMENT.encode(), "range.json5")
    metres = MessageFormat((Field("metres", Scalar(Token.F32)),))
    assert found.interface == Interface(
        Reference("range_sensor", "v2"),
        ("range",),
        (Topic("distance", QoSProfile.SensorData, metres),),
        (Service("calibrate", None, None),),
    )


def test_an_interface_without_members_is_valid():
    text = '{ peppy_schema: "interface/v1", manifest: { name: "a", tag: "b" } }'
    assert parse_interface(text.encode(), "a.json5").interface == Interface(Reference("a", "b"))


@pytest.mark.parametrize("key", ["depends_on", "variants"])
def test_an_interface_depends_on_nothing(key: str):
    found = problem(DOCUMENT.replace("labels", key))
    assert (found.kind, found.path, found.line) == ("UnknownKey", f"manifest.{key}", 3)


def test_an_interface_has_flat_lists():
    found = problem(
        DOCUMENT.replace("topics: [", "topics: { emits: [").replace("}],\n    services", "}] },\n    services")
    )
    assert (found.kind, found.path) == ("WrongType", "interfaces.topics")


def test_a_node_manifest_is_no_interface():
    found = problem('{ peppy_schema: "node_v1" }')
    assert (found.kind, found.path, found.column) == ("SchemaIdWrongKind", "peppy_schema", 17)
    assert "expected an interface document (`interface_v1` or `interface/v1`), found a node manifest" in found.message


def test_a_topic_of_an_interface_follows_the_rules_of_formats():
    found = problem(DOCUMENT.replace('"f32"', '"f33"'))
    assert (found.kind, found.path) == ("MessageFormat", "interfaces.topics[0].message_format.metres")
