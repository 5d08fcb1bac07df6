"""Any valid manifest is read as it was meant, and nothing but InvalidInput comes out of any other bytes."""

import json

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from peppy.errors import InvalidInput, Problem
from peppy.manifest.effective import effective_text
from peppy.manifest.interface import parse_interface
from peppy.manifest.node import parse_node
from peppy.model.names import Reference, class_part, identifier, is_name, is_tag
from peppy.model.node import Language
from peppy.model.parameters import ArrayOf, Group, Leaf, ParameterType
from peppy.model.qos import QoSProfile
from peppy.model.types import (
    FIXED_SIZE,
    INTEGERS,
    RESERVED_FIELDS,
    Array,
    Field,
    FieldType,
    MessageFormat,
    Object,
    Scalar,
    Token,
)

NAMES = st.text("abcXYZ019_-", min_size=1, max_size=8).filter(is_name)
TAGS = st.text("ab01._-", min_size=1, max_size=6).filter(is_tag)
FIELDS = NAMES.filter(lambda name: identifier(name) not in RESERVED_FIELDS)
SCALARS = st.sampled_from(list(Token)).map(Scalar)
FIXED = [token for token in FIXED_SIZE if token is not Token.BYTES]


def objects(types: st.SearchStrategy[FieldType]) -> st.SearchStrategy[Object]:
    fields = st.lists(st.tuples(FIELDS, types), max_size=4, unique_by=lambda field: class_part(field[0]).lower())
    return fields.map(lambda found: Object(tuple(Field(name, kind) for name, kind in found)))


def nested(types: st.SearchStrategy[FieldType]) -> st.SearchStrategy[FieldType]:
    fixed = st.builds(Array, st.sampled_from(FIXED).map(Scalar), st.integers(1, 100))
    return st.one_of(objects(types), st.builds(Array, st.one_of(SCALARS, objects(types))), fixed)


TYPES = st.recursive(SCALARS, nested, max_leaves=6)
FORMATS = st.lists(
    st.builds(Field, FIELDS, TYPES, st.booleans()), max_size=5, unique_by=lambda field: class_part(field.name).lower()
).map(lambda fields: MessageFormat(tuple(fields)) if fields else None)


def class_names(kind: FieldType, parts: str) -> list[str]:
    if isinstance(kind, Scalar):
        return []
    if isinstance(kind, Array):
        return class_names(kind.items, parts + "Item")
    return [parts, *(name for field in kind.fields for name in class_names(field.type, parts + class_part(field.name)))]


def is_collision_free(message_format: MessageFormat | None) -> bool:
    """Whether every nested object gets a class of its own, by the rule and not by the parser."""
    fields = message_format.fields if message_format else ()
    names = [name for field in fields for name in class_names(field.type, class_part(field.name))]
    return len(names) == len(set(names))


def written_type(kind: FieldType) -> object:
    if isinstance(kind, Scalar):
        return kind.token.value
    if isinstance(kind, Object):
        return {field.name: written_type(field.type) for field in kind.fields}
    length = {} if kind.length is None else {"$length": kind.length}
    return {"$type": "array", "$items": written_type(kind.items), **length}


def written_format(message_format: MessageFormat | None) -> dict[str, object]:
    written: dict[str, object] = {}
    for field in message_format.fields if message_format else ():
        kind = written_type(field.type)
        if field.optional:
            kind = {**(kind if isinstance(kind, dict) else {"$type": kind}), "$optional": True}
        written[field.name] = kind
    return written


@st.composite
def leaves(draw: st.DrawFn) -> Leaf:
    token = draw(st.sampled_from(list(Token)))
    if token in (Token.BYTES, Token.TIME) or not draw(st.booleans()):
        return Leaf(token)
    if token in INTEGERS:
        return Leaf(token, draw(st.integers(*INTEGERS[token])))
    if token is Token.BOOL:
        return Leaf(token, draw(st.booleans()))
    if token is Token.STRING:
        return Leaf(token, draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=5)))
    return Leaf(token, draw(st.floats(allow_nan=False, allow_infinity=False, width=32)))


def groups(types: st.SearchStrategy[ParameterType]) -> st.SearchStrategy[Group]:
    from peppy.model.parameters import Parameter

    members = st.lists(
        st.builds(Parameter, NAMES, types), max_size=3, unique_by=lambda member: class_part(member.name).lower()
    )
    return members.map(lambda found: Group(tuple(found)))


PLAIN = leaves().filter(lambda leaf: leaf.default is None)
PARAMETERS = groups(
    st.one_of(
        leaves(),
        groups(leaves()),
        st.builds(ArrayOf, st.one_of(PLAIN, groups(leaves())), st.none() | st.integers(1, 9)),
    )
)


def written_parameters(group: Group) -> dict[str, object]:
    return {member.name: written_parameter(member.type) for member in group.members}


def written_parameter(kind: ParameterType) -> object:
    if isinstance(kind, Group):
        return written_parameters(kind)
    if isinstance(kind, ArrayOf):
        length = {} if kind.length is None else {"$length": kind.length}
        return {"$type": "array", "$items": written_parameter(kind.items), **length}
    return kind.token.value if kind.default is None else {"$type": kind.token.value, "$default": kind.default}


def parameter_classes(kind: ParameterType, parts: str) -> list[str]:
    if isinstance(kind, Leaf):
        return []
    if isinstance(kind, ArrayOf):
        return parameter_classes(kind.items, parts + "Item")
    inner = [
        name for member in kind.members for name in parameter_classes(member.type, parts + class_part(member.name))
    ]
    return [parts or "Parameters", *inner]


@settings(deadline=None)
@given(
    reference=st.builds(Reference, NAMES, TAGS),
    message_format=FORMATS,
    qos=st.sampled_from(QoSProfile),
    parameters=PARAMETERS,
    language=st.sampled_from(Language),
)
def test_a_valid_manifest_is_read_as_it_was_written(
    reference: Reference, message_format: MessageFormat | None, qos: QoSProfile, parameters: Group, language: Language
):
    classes = parameter_classes(parameters, "")
    assume(is_collision_free(message_format) and len(classes) == len(set(classes)))
    written = {
        "peppy_schema": "node_v1",
        "manifest": {"name": reference.name, "tag": reference.tag},
        "interfaces": {
            "topics": {
                "emits": [{"name": "t", "qos_profile": qos.word, "message_format": written_format(message_format)}]
            }
        },
        "execution": {"language": language.value, "parameters": written_parameters(parameters), "run_cmd": ["run"]},
    }
    manifest = parse_node(json.dumps(written).encode(), "peppy.json5").manifest
    assert manifest.execution is not None
    assert (manifest.reference, manifest.execution.language) == (reference, language)
    assert manifest.execution.parameters == parameters
    (topic,) = manifest.emitted_topics
    assert (topic.qos, topic.message_format) == (qos, message_format)
    again = effective_text(written, written)
    assert parse_node(again.encode(), "peppy.json5").manifest == manifest


def problems_of(raw: bytes) -> list[Problem]:
    """What the two parsers refuse; anything but InvalidInput goes through and fails the test."""
    found: list[Problem] = []
    for parse in (parse_node, parse_interface):
        try:
            parse(raw, "peppy.json5")
        except InvalidInput as error:
            found += error.details or [Problem("Silent", "")]
    return found


def only_refuses(raw: bytes) -> None:
    for problem in problems_of(raw):
        assert problem.hint
        assert str(problem).isprintable()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_with_a_reason(raw: bytes):
    only_refuses(raw)


NODE_KEYS = "peppy_schema manifest name tag labels depends_on nodes interfaces link_id from_any sha256 variants source"
MEMBER_KEYS = "topics emits consumes services exposes actions goal_service feedback_topic result_service qos_profile x"
FORMAT_KEYS = "request_message_format response_message_format message_format $type $items $length $optional $default"
EXECUTION_KEYS = "execution language parameters build_cmd run_cmd container def_file mount_paths conforms_to local"
KNOWN = f"{NODE_KEYS} {MEMBER_KEYS} {FORMAT_KEYS} {EXECUTION_KEYS}".split()
VALUES = st.one_of(
    st.sampled_from(
        ["node_v1", "interface_v1", "array", "object", "u8", "f32", "bytes", "_", "a", "python", "default"]
    ),
    st.text(max_size=4),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
)


def shapes(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(st.lists(values, max_size=3), st.dictionaries(st.sampled_from(KNOWN), values, max_size=6))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(KNOWN), st.recursive(VALUES, shapes, max_leaves=20)))
def test_any_shape_of_known_keys_is_read_or_refused_with_a_reason(value: dict[str, object]):
    only_refuses(json.dumps({"peppy_schema": "node_v1", **value}).encode())
    only_refuses(json.dumps({"peppy_schema": "interface_v1", **value}).encode())


BASE = {
    "peppy_schema": "node_v1",
    "manifest": {
        "name": "a",
        "tag": "b",
        "depends_on": {"nodes": [{"name": "c", "tag": "d", "link_id": "e"}]},
        "variants": [{"name": "v", "source": {"local": "x"}}],
    },
    "interfaces": {
        "topics": {
            "emits": [
                {
                    "name": "t",
                    "message_format": {"x": {"$type": "array", "$items": "u8", "$length": 3}, "y": {"z": "u8"}},
                }
            ],
            "consumes": [{"link_id": "e", "name": "t"}],
        },
        "actions": {"exposes": [{"name": "k", "feedback_topic": {"message_format": {"x": "u8"}}, "goal_service": {}}]},
        "conforms_to": [{"name": "i", "tag": "j"}],
    },
    "execution": {
        "language": "python",
        "parameters": {"p": {"$type": "u8", "$default": 1}, "q": {"r": {"$type": "array", "$items": {"s": "u8"}}}},
        "container": {"def_file": "x", "mount_paths": ["${parameters:p}:/x"]},
    },
}


@st.composite
def mutated(draw: st.DrawFn) -> object:
    """The base manifest with one value, at any depth, replaced by anything."""
    copy = json.loads(json.dumps(BASE))
    value = copy
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = draw(st.sampled_from(keys))
        if not isinstance(value[key], dict | list) or not value[key] or draw(st.integers(0, 4)) == 0:
            value[key] = draw(st.recursive(VALUES, shapes, max_leaves=4))
            return copy
        value = value[key]


@settings(deadline=None)
@given(mutated())
def test_a_manifest_with_one_value_replaced_is_read_or_refused_with_a_reason(value: object):
    only_refuses(json.dumps(value).encode())
