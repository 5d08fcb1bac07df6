"""Every rule of docs/reference/manifest.md and messages.md that a node manifest can break, one document for each.

`«` marks the place that the error must name; it is taken out before the document is read.
"""

from dataclasses import dataclass

import pytest

from peppy.errors import InvalidInput, Problem
from peppy.manifest.node import parse_node

MARK = "«"
RUNNABLE = 'language: "python", run_cmd: ["run"]'
FORMAT = "interfaces.topics.emits[0].message_format"
PARAMETERS = "execution.parameters"


@dataclass(frozen=True)
class Broken:
    name: str
    text: str
    kind: str
    path: str | None
    says: str


def node(manifest: str = 'name: "wheels", tag: "v1"', interfaces: str = "", execution: str = RUNNABLE) -> str:
    """A manifest whose three objects have these members."""
    return (
        '{\n  peppy_schema: "node_v1",\n'
        f"  manifest: {{\n    {manifest}\n  }},\n"
        f"  interfaces: {{\n    {interfaces}\n  }},\n"
        f"  execution: {{\n    {execution}\n  }},\n}}\n"
    )


def depends(nodes: str = "", interfaces: str = "", consumes: str = "") -> str:
    return node(
        f'name: "wheels", tag: "v1",\n    depends_on: {{ nodes: [{nodes}],\n      interfaces: [{interfaces}] }}',
        f"topics: {{ consumes: [{consumes}] }}" if consumes else "",
    )


def message(fields: str) -> str:
    return node(interfaces='topics: { emits: [{ name: "pose", message_format: {\n      ' + fields + "\n    } }] }")


def emits(items: str) -> str:
    return node(interfaces=f"topics: {{ emits: [{items}] }}")


def action(members: str) -> str:
    return node(interfaces='actions: { exposes: [{ name: "dock", ' + members + " }] }")


def parameters(members: str) -> str:
    return node(execution=f"{RUNNABLE},\n    parameters: {{ {members} }}")


def container(members: str, declared: str = "") -> str:
    return node(execution=f'language: "python", parameters: {{ {declared} }},\n    container: {{ {members} }}')


def nested(levels: int) -> str:
    """A field with that many objects inside each other; the innermost one is marked when it is one too many."""
    return "a: { " * (levels - 1) + "a: " + MARK + "{ }" + " }" * (levels - 1)


POWER = '{ name: "battery", tag: "v1", link_id: "power" }'
DIGEST = "ab" * 32

ANY_DOCUMENT = [
    Broken("empty", "", "DocumentEmpty", None, "is empty"),
    Broken("only-comments", "// nothing\n/* here */\n", "DocumentEmpty", None, "is empty"),
    Broken(
        "unfinished-object", "{ a: 1«", "DocumentSyntax", None, "expected `,` or `}`, found the end of the document"
    ),
    Broken("two-commas", "{ a: 1,«, }", "DocumentSyntax", None, "expected a key or `}`, found `,`"),
    Broken(
        "no-colon",
        '{\n  peppy_schema «"node_v1" }',
        "DocumentSyntax",
        None,
        "expected `:` after the key `peppy_schema`",
    ),
    Broken("no-value", "{ a: «}", "DocumentSyntax", None, "expected a value for `a`, found `}`"),
    Broken("no-comma", "{ a: [1 «2] }", "DocumentSyntax", None, "expected `,` or `]`, found `2`"),
    Broken("bare-word", "{ a: «yes }", "DocumentSyntax", None, "found `yes`"),
    Broken(
        "open-string",
        '{ a: "text«\n }',
        "DocumentSyntax",
        None,
        'the closing `"` of the string, found the end of the line',
    ),
    Broken("open-comment", "{ a: 1 } «/* never", "DocumentSyntax", None, "`*/`"),
    Broken("bad-escape", '{ a: "x«\\xZZ" }', "DocumentSyntax", None, "an escape of JSON5, found `\\x`"),
    Broken("trailing-text", "{ a: 1 }\n«{ }", "DocumentSyntax", None, "expected the end of the document, found `{`"),
    Broken(
        "key-is-number", "{ «1a: 1 }", "DocumentSyntax", None, "a key that is a quoted string or starts with a letter"
    ),
    Broken(
        "endless-number",
        "{ a: «" + "1" * 5000 + " }",
        "DocumentSyntax",
        None,
        "an integer of at most 4300 digits, found 5000 digits",
    ),
    Broken("too-deep", "[" * 33 + "]" * 33, "DocumentTooLarge", None, "33 nesting levels, the limit is 32"),
    Broken("too-long", "//" + "x" * 65535, "DocumentTooLarge", None, "65537 bytes, the limit is 65536"),
    Broken("too-many-values", "[" + "1," * 2048 + "]", "DocumentTooLarge", None, "the limit is 2048"),
    Broken("not-an-object", "«[]", "WrongType", None, "expected an object, found a list"),
    Broken(
        "half-of-a-pair",
        node('name: "wheels", tag: "v1", labels: [«"\\ud800"]'),
        "WrongType",
        "manifest.labels[0]",
        "half of a",
    ),
    Broken(
        "repeated-key",
        node('name: "wheels", tag: "v1",\n    «"name": "wheels"'),
        "DuplicateKey",
        "manifest.name",
        "the key `name` is repeated, first at 4:5",
    ),
    Broken(
        "no-schema",
        "«" + node().replace('peppy_schema: "node_v1",', ""),
        "SchemaIdMissing",
        None,
        "accepted: `node_v1` or `node/v1`",
    ),
    Broken(
        "other-version",
        node().replace('"node_v1"', '«"node_v9"'),
        "SchemaIdUnknown",
        "peppy_schema",
        "unknown schema `node_v9`",
    ),
    Broken(
        "schema-number",
        node().replace('"node_v1"', "«1"),
        "WrongType",
        "peppy_schema",
        "expected a string, found an integer `1`",
    ),
    Broken(
        "launcher",
        '{ peppy_schema: «"launcher_v1", deployments: [] }',
        "SchemaIdWrongKind",
        "peppy_schema",
        "expected a node manifest (`node_v1` or `node/v1`), found a launcher",
    ),
    Broken(
        "interface",
        '{ peppy_schema: «"interface/v1", manifest: { name: "a", tag: "b" } }',
        "SchemaIdWrongKind",
        "peppy_schema",
        "found an interface document",
    ),
]

MANIFEST = [
    Broken(
        "unknown-root-key",
        node().replace("  execution", "  «executoin"),
        "UnknownKey",
        "executoin",
        "nearest is `execution`",
    ),
    Broken(
        "unknown-key", node('name: "wheels", tag: "v1", «tags: []'), "UnknownKey", "manifest.tags", "nearest is `tag`"
    ),
    Broken(
        "hostile-key",
        node('name: "wheels", tag: "v1", «"\\u001b[2J": 1'),
        "UnknownKey",
        'manifest["\\x1b[2J"]',
        "`\\x1b[2J`",
    ),
    Broken("misspelt-name", node('«nam: "wheels", tag: "v1"'), "UnknownKey", "manifest.nam", "nearest is `name`"),
    Broken(
        "no-name",
        node('tag: "v1"').replace("manifest: {", "manifest: «{"),
        "MissingKey",
        "manifest",
        "the key `name` is missing",
    ),
    Broken(
        "no-tag",
        node('name: "wheels"').replace("manifest: {", "manifest: «{"),
        "MissingKey",
        "manifest",
        "the key `tag` is missing",
    ),
    Broken(
        "no-manifest",
        "«{ peppy_schema: 'node_v1', execution: { " + RUNNABLE + " } }",
        "MissingKey",
        None,
        "`manifest` is missing",
    ),
    Broken(
        "tag-is-number",
        node('name: "wheels", tag: «1'),
        "WrongType",
        "manifest.tag",
        "expected a string, found an integer `1`",
    ),
    Broken(
        "name-is-null", node('name: «null, tag: "v1"'), "WrongType", "manifest.name", "expected a string, found null"
    ),
    Broken(
        "name-with-blank",
        node('name: «"my wheels", tag: "v1"'),
        "BadName",
        "manifest.name",
        "`my wheels` is not a name",
    ),
    Broken("name-without-letter", node('name: «"__", tag: "v1"'), "BadName", "manifest.name", "`__`"),
    Broken("name-too-long", node(f'name: «"{"x" * 101}", tag: "v1"'), "BadName", "manifest.name", "is not a name"),
    Broken("name-with-path", node('name: «"../x", tag: "v1"'), "BadName", "manifest.name", "`../x`"),
    Broken("tag-with-dots", node('name: "wheels", tag: «"1..2"'), "BadTag", "manifest.tag", "`1..2` is not a tag"),
    Broken("tag-with-dash", node('name: "wheels", tag: «"-1"'), "BadTag", "manifest.tag", "`-1`"),
    Broken(
        "labels-text",
        node('name: "wheels", tag: "v1", labels: «"drive"'),
        "WrongType",
        "manifest.labels",
        "expected a list, found a string",
    ),
    Broken(
        "empty-label",
        node('name: "wheels", tag: "v1", labels: ["a", «""]'),
        "WrongType",
        "manifest.labels[1]",
        "non-empty",
    ),
    Broken(
        "label-bool",
        node('name: "wheels", tag: "v1", labels: [«true]'),
        "WrongType",
        "manifest.labels[0]",
        "found a bool `true`",
    ),
    Broken(
        "manifest-list",
        node().replace("manifest: {", "manifest: «[{").replace('"v1"\n  }', '"v1"\n  }]'),
        "WrongType",
        "manifest",
        "expected an object, found a list",
    ),
]

DEPENDENCIES = [
    Broken(
        "reserved-link",
        depends('{ name: "battery", tag: "v1", link_id: «"_" }'),
        "ReservedLinkId",
        "manifest.depends_on.nodes[0].link_id",
        "reserved",
    ),
    Broken(
        "same-link-twice",
        depends(POWER, '{ name: "range", tag: "v1", link_id: «"power" }'),
        "DuplicateLinkId",
        "manifest.depends_on.interfaces[0].link_id",
        "the link_id `power` is used twice, first at 5:66",
    ),
    Broken(
        "two-wildcards",
        depends(
            '{ name: "battery", tag: "v1", link_id: "a", from_any: true },'
            ' «{ name: "battery", tag: "v1", link_id: "b", from_any: true }'
        ),
        "ConflictingFromAny",
        "manifest.depends_on.nodes[1]",
        "`a` and `b`",
    ),
    Broken(
        "own-slot",
        depends('«{ name: "wheels", tag: "v1", link_id: "me" }'),
        "SelfDependency",
        "manifest.depends_on.nodes[0]",
        "`wheels:v1`",
    ),
    Broken(
        "link-missing",
        depends('«{ name: "battery", tag: "v1" }'),
        "MissingKey",
        "manifest.depends_on.nodes[0]",
        "`link_id`",
    ),
    Broken(
        "node-pin",
        depends(f'{{ name: "battery", tag: "v1", link_id: "p", «sha256: "{DIGEST}" }}'),
        "UnknownKey",
        "manifest.depends_on.nodes[0].sha256",
        "`sha256`",
    ),
    Broken(
        "short-pin",
        depends("", '{ name: "range", tag: "v1", link_id: "r", sha256: «"ab12" }'),
        "BadSha256",
        "manifest.depends_on.interfaces[0].sha256",
        "`ab12`",
    ),
    Broken(
        "wildcard-text",
        depends('{ name: "battery", tag: "v1", link_id: "p", from_any: «"yes" }'),
        "WrongType",
        "manifest.depends_on.nodes[0].from_any",
        "expected a bool, found a string `yes`",
    ),
    Broken(
        "undeclared-link",
        depends(POWER, consumes='{ link_id: «"powr", name: "voltage" }'),
        "UndeclaredLinkId",
        "interfaces.topics.consumes[0].link_id",
        "`powr`; declared: `power`",
    ),
    Broken(
        "consumed-twice",
        depends(POWER, consumes='{ link_id: "power", name: "voltage" }, «{ link_id: "power", name: "voltage" }'),
        "DuplicateItem",
        "interfaces.topics.consumes[1]",
        "`voltage` is consumed through `power` twice, first at 9:26",
    ),
    Broken(
        "consumed-format",
        depends(POWER, consumes='{ link_id: "power", name: "voltage", «message_format: {} }'),
        "UnknownKey",
        "interfaces.topics.consumes[0].message_format",
        "`message_format`",
    ),
    Broken(
        "conforms-twice",
        node(interfaces='conforms_to: [{ name: "base", tag: "v1" }, «{ name: "base", tag: "v1" }]'),
        "DuplicateItem",
        "interfaces.conforms_to[1]",
        "`base:v1` is listed twice, first at 7:19",
    ),
    Broken(
        "tags-alike",
        node(interfaces='conforms_to: [{ name: "base", tag: "1.0" }, «{ name: "base", tag: "1-0" }]'),
        "ConformsTagCollision",
        "interfaces.conforms_to[1]",
        "`1.0` and `1-0`",
    ),
    Broken(
        "both-defaults",
        "«" + node('name: "wheels", tag: "v1", variants: [{ name: "default", source: { local: "x" } }]'),
        "VariantDefault",
        None,
        "both are given",
    ),
    Broken(
        "no-execution",
        "«" + "{ peppy_schema: 'node_v1', manifest: { name: 'a', tag: 'b' } }",
        "VariantDefault",
        None,
        "neither is given",
    ),
    Broken(
        "variant-twice",
        node(
            'name: "wheels", tag: "v1", variants: [{ name: "sim", source: { local: "x" } },'
            ' «{ name: "sim", source: { local: "y" } }]'
        ),
        "DuplicateVariant",
        "manifest.variants[1]",
        "`sim` is listed twice, first at 4:43",
    ),
    Broken(
        "git-variant",
        node('name: "wheels", tag: "v1", variants: [{ name: "sim", source: { local: "x", «repo: "y" } }]'),
        "UnknownKey",
        "manifest.variants[0].source.repo",
        "`repo`",
    ),
]

MEMBERS = [
    Broken(
        "topic-twice",
        emits('{ name: "pose" }, «{ name: "pose" }'),
        "DuplicateItem",
        "interfaces.topics.emits[1]",
        "the topic `pose` is listed twice, first at 7:23",
    ),
    Broken(
        "service-twice",
        node(interfaces='services: { exposes: [{ name: "s" }, «{ name: "s" }] }'),
        "DuplicateItem",
        "interfaces.services.exposes[1]",
        "the service `s`",
    ),
    Broken(
        "action-twice",
        node(interfaces='actions: { exposes: [{ name: "s" }, «{ name: "s" }] }'),
        "DuplicateItem",
        "interfaces.actions.exposes[1]",
        "the action `s`",
    ),
    Broken(
        "topics-expose",
        node(interfaces="topics: { «exposes: [] }"),
        "UnknownKey",
        "interfaces.topics.exposes",
        "`exposes`",
    ),
    Broken(
        "qos-word",
        emits('{ name: "pose", qos_profile: «"relaible" }'),
        "BadQosProfile",
        "interfaces.topics.emits[0].qos_profile",
        "`relaible` is not a QoS profile: `sensor_data`, `standard`, `reliable`, `critical`",
    ),
    Broken(
        "qos-goal",
        action('goal_service: { qos_profile: «"fast" }'),
        "BadQosProfile",
        "interfaces.actions.exposes[0].goal_service.qos_profile",
        "`fast`",
    ),
    Broken(
        "feedback-empty",
        action("feedback_topic: { message_format: «{} }"),
        "FeedbackFormatRequired",
        "interfaces.actions.exposes[0].feedback_topic.message_format",
        "action `dock`: feedback needs a non-empty message_format",
    ),
    Broken(
        "feedback-absent",
        action("feedback_topic: «{}"),
        "FeedbackFormatRequired",
        "interfaces.actions.exposes[0].feedback_topic",
        "feedback needs a non-empty message_format",
    ),
    Broken(
        "service-format",
        node(interfaces='services: { exposes: [{ name: "s", «message_format: {} }] }'),
        "UnknownKey",
        "interfaces.services.exposes[0].message_format",
        "nearest is",
    ),
    Broken(
        "feedback-class",
        action('feedback_topic: { message_format: { «message: { a: "u8" } } }'),
        "MessageFormat",
        "interfaces.actions.exposes[0].feedback_topic.message_format.message",
        "`FeedbackMessage`",
    ),
    Broken(
        "result-class",
        action('result_service: { response_message_format: { «status: { a: "u8" } } }'),
        "MessageFormat",
        "interfaces.actions.exposes[0].result_service.response_message_format.status",
        "`ResultStatus`",
    ),
]

FORMATS = [
    Broken("unknown-token", message('x: «"float65"'), "MessageFormat", f"{FORMAT}.x", "unknown type `float65`"),
    Broken("capital-token", message('x: «"Bool"'), "MessageFormat", f"{FORMAT}.x", "unknown type `Bool`"),
    Broken("type-number", message("x: «3"), "MessageFormat", f"{FORMAT}.x", "expected a type, found `3`"),
    Broken("type-null", message("x: «null"), "MessageFormat", f"{FORMAT}.x", "found `null`"),
    Broken(
        "type-not-text",
        message("x: { $type: «7 }"),
        "MessageFormat",
        f"{FORMAT}.x.$type",
        "`$type` is `7`, expected a string",
    ),
    Broken(
        "optional-text",
        message('x: «{ $type: "u8", $optional: "yes" }'),
        "MessageFormat",
        f"{FORMAT}.x",
        "`$optional` is `yes`, expected a bool",
    ),
    Broken(
        "length-zero",
        message('x: { $type: "array", $items: "u8", $length: «0 }'),
        "MessageFormat",
        f"{FORMAT}.x.$length",
        "`$length` is `0`, expected an integer from 1",
    ),
    Broken(
        "length-float",
        message('x: { $type: "array", $items: "u8", $length: «3.5 }'),
        "MessageFormat",
        f"{FORMAT}.x.$length",
        "`3.5`",
    ),
    Broken(
        "length-bool",
        message('x: { $type: "array", $items: "u8", $length: «true }'),
        "MessageFormat",
        f"{FORMAT}.x.$length",
        "`true`",
    ),
    Broken(
        "long-form-items",
        message('x: { $type: "u8", «$items: "u8" }'),
        "MessageFormat",
        f"{FORMAT}.x.$items",
        "`$items` is not allowed in a long form",
    ),
    Broken(
        "object-length",
        message('x: { a: "u8", «$length: 3 }'),
        "MessageFormat",
        f"{FORMAT}.x.$length",
        "`$length` is not allowed in an object",
    ),
    Broken(
        "dollar-typo",
        message('x: { $type: "u8", «$optonal: true }'),
        "MessageFormat",
        f"{FORMAT}.x.$optonal",
        "`$optonal`",
    ),
    Broken(
        "array-field",
        message('x: { $type: "array", $items: "u8", «size: 3 }'),
        "MessageFormat",
        f"{FORMAT}.x.size",
        "`size` is not allowed in an array",
    ),
    Broken(
        "root-type",
        message('«$type: "object", x: "u8"'),
        "MessageFormat",
        f"{FORMAT}.$type",
        "`$type` is not allowed in a message format",
    ),
    Broken("no-items", message('x: «{ $type: "array" }'), "MessageFormat", f"{FORMAT}.x", "array needs `$items`"),
    Broken(
        "array-of-arrays",
        message('x: { $type: "array", $items: «{ $type: "array", $items: "u8" } }'),
        "MessageFormat",
        f"{FORMAT}.x.$items",
        "arrays of arrays are not supported",
    ),
    Broken(
        "optional-item",
        message('x: { $type: "array", $items: «{ $type: "u8", $optional: true } }'),
        "MessageFormat",
        f"{FORMAT}.x.$items",
        "array items cannot be optional",
    ),
    Broken(
        "nested-optional",
        message('x: { «a: { $type: "u8", $optional: true } }'),
        "MessageFormat",
        f"{FORMAT}.x.a",
        "inside an object cannot be optional",
    ),
    Broken(
        "fixed-strings",
        message('x: { $type: "array", $items: "string", «$length: 3 }'),
        "MessageFormat",
        f"{FORMAT}.x.$length",
        "items are `string`; fixed length needs numeric or bool items",
    ),
    Broken(
        "fixed-times",
        message('x: { $type: "array", $items: "time", «$length: 3 }'),
        "MessageFormat",
        f"{FORMAT}.x.$length",
        "items are `time`",
    ),
    Broken(
        "fixed-bytes",
        message('x: { $type: "array", $items: "bytes", «$length: 3 }'),
        "MessageFormat",
        f"{FORMAT}.x.$length",
        "items are `bytes`",
    ),
    Broken(
        "fixed-objects",
        message('x: { $type: "array", $items: { a: "u8" }, «$length: 3 }'),
        "MessageFormat",
        f"{FORMAT}.x.$length",
        "items are `object`",
    ),
    Broken(
        "repeated-field",
        message('x: "u8",\n      «x: "u16"'),
        "DuplicateKey",
        f"{FORMAT}.x",
        "the key `x` is repeated, first at 8:7",
    ),
    Broken(
        "field-with-blank",
        message('«"my field": "u8"'),
        "MessageFormat",
        f'{FORMAT}["my field"]',
        "`my field` is not a field name",
    ),
    Broken(
        "field-without-letter", message('«__: "u8"'), "MessageFormat", f'{FORMAT}["__"]', "`__` is not a field name"
    ),
    Broken(
        "reserved-field",
        message('«instance_id: "u8"'),
        "MessageFormat",
        f"{FORMAT}.instance_id",
        "`instance_id` is reserved",
    ),
    Broken(
        "reserved-nested",
        message('x: { «"Node-Runner": "u8" }'),
        "MessageFormat",
        f"{FORMAT}.x.Node-Runner",
        "`Node-Runner` is reserved",
    ),
    Broken("reserved-self", message('«Self: "u8"'), "MessageFormat", f"{FORMAT}.Self", "`Self` is reserved"),
    Broken(
        "same-identifier",
        message('"a-b": "u8",\n      «A_B: "u8"'),
        "MessageFormat",
        f"{FORMAT}.A_B",
        "`a-b` and `A_B` both become the Python name `a_b`, first at 8:7",
    ),
    Broken(
        "same-class",
        message('a_b: { c: "u8" },\n      a: { «b: { c: "u8" } }'),
        "MessageFormat",
        f"{FORMAT}.a.b",
        "`a_b` and `a.b` both get the class `MessageAB`",
    ),
    Broken(
        "same-item-class",
        message('a: { $type: "array", $items: { c: "u8" } },\n      «a_item: { c: "u8" }'),
        "MessageFormat",
        f"{FORMAT}.a_item",
        "`a.$items` and `a_item` both get the class `MessageAItem`",
    ),
    Broken("too-nested", message(nested(17)), "MessageFormat", FORMAT + ".a" * 17, "objects nest deeper than 16"),
    Broken(
        "too-many-fields",
        message(", ".join(f'f{i}: "u8"' for i in range(1025))).replace("message_format: {", "message_format: «{"),
        "MessageFormat",
        FORMAT,
        "1025 fields, the limit is 1024",
    ),
    Broken(
        "default-in-format",
        message('x: { $type: "u8", «$default: 1 }'),
        "MessageFormat",
        f"{FORMAT}.x.$default",
        "`$default` belongs to parameters",
    ),
    Broken(
        "format-is-list",
        emits('{ name: "pose", message_format: «[] }'),
        "WrongType",
        FORMAT,
        "expected an object, found a list",
    ),
    Broken(
        "request-token",
        node(interfaces='services: { exposes: [{ name: "s", request_message_format: { x: «"u7" } }] }'),
        "MessageFormat",
        "interfaces.services.exposes[0].request_message_format.x",
        "unknown type `u7`",
    ),
    Broken(
        "unused-format-checked",
        action('goal_service: { response_message_format: { x: «"u7" } }'),
        "MessageFormat",
        "interfaces.actions.exposes[0].goal_service.response_message_format.x",
        "unknown type `u7`",
    ),
]

EXECUTION = [
    Broken(
        "language",
        node(execution='language: «"pyhton", run_cmd: ["run"]'),
        "BadLanguage",
        "execution.language",
        "`pyhton` is not a language: `python`, `rust`, `other`",
    ),
    Broken(
        "no-language",
        node(execution='run_cmd: ["run"]').replace("execution: {", "execution: «{"),
        "MissingKey",
        "execution",
        "`language`",
    ),
    Broken(
        "no-command",
        node(execution='language: "python"').replace("execution: {", "execution: «{"),
        "ExecutionMode",
        "execution",
        "`run_cmd` and `container` is needed, neither is given",
    ),
    Broken(
        "both-modes",
        node(execution=RUNNABLE + ', container: { def_file: "x.def" }').replace("execution: {", "execution: «{"),
        "ExecutionMode",
        "execution",
        "both are given",
    ),
    Broken(
        "empty-run",
        node(execution='language: "python", run_cmd: «[]'),
        "EmptyCommand",
        "execution.run_cmd",
        "`run_cmd` is an empty list",
    ),
    Broken(
        "empty-build",
        node(execution=RUNNABLE + ", build_cmd: «[]"),
        "EmptyCommand",
        "execution.build_cmd",
        "`build_cmd` is an empty list",
    ),
    Broken(
        "empty-word",
        node(execution='language: "python", run_cmd: ["run", «""]'),
        "EmptyCommand",
        "execution.run_cmd[1]",
        "empty string",
    ),
    Broken(
        "command-text",
        node(execution='language: "python", run_cmd: «"run me"'),
        "WrongType",
        "execution.run_cmd",
        "expected a list, found a string `run me`",
    ),
    Broken(
        "command-number",
        node(execution='language: "python", run_cmd: ["run", «1]'),
        "WrongType",
        "execution.run_cmd[1]",
        "found an integer `1`",
    ),
    Broken(
        "nul-in-command",
        node(execution='language: "python", run_cmd: [«"a\\0b"]'),
        "WrongType",
        "execution.run_cmd[0]",
        "NUL",
    ),
    Broken(
        "no-def-file",
        container("").replace("container: {", "container: «{"),
        "MissingKey",
        "execution.container",
        "`def_file`",
    ),
    Broken(
        "mount-root",
        container('def_file: "x", mount_paths: [«"/etc/../"]'),
        "MountBlocked",
        "execution.container.mount_paths[0]",
        "`/etc/../`",
    ),
    Broken(
        "mount-target",
        container('def_file: "x", mount_paths: ["/data", «"//usr/.:/usr"]'),
        "MountBlocked",
        "execution.container.mount_paths[1]",
        "`//usr/.`",
    ),
    Broken(
        "mount-unknown",
        container('def_file: "x", mount_paths: [«"${parameters:dta}"]', 'data: "string"'),
        "MountParameter",
        "execution.container.mount_paths[0]",
        "`${parameters:dta}` names no parameter",
    ),
    Broken(
        "mount-number",
        container('def_file: "x", mount_paths: [«"${parameters:a.b}/x"]', 'a: { b: "u8" }'),
        "MountParameter",
        "execution.container.mount_paths[0]",
        "`${parameters:a.b}` is `u8`, not `string`",
    ),
    Broken(
        "mount-other",
        container('def_file: "x", mount_paths: [«"${env:HOME}/x"]'),
        "MountParameter",
        "execution.container.mount_paths[0]",
        "`${env:HOME}` is not a reference",
    ),
]

DECLARED = [
    Broken("parameter-token", parameters('a: «"u33"'), "ParameterForm", f"{PARAMETERS}.a", "unknown type `u33`"),
    Broken("parameter-value", parameters("a: «10"), "ParameterForm", f"{PARAMETERS}.a", "expected a type, found `10`"),
    Broken("parameter-name", parameters('«"a b": "u8"'), "BadName", f'{PARAMETERS}["a b"]', "`a b` is not a name"),
    Broken(
        "parameter-optional",
        parameters('a: { $type: "u8", «$optional: true }'),
        "ParameterForm",
        f"{PARAMETERS}.a.$optional",
        "`$optional` is not allowed",
    ),
    Broken(
        "parameter-key", parameters('a: { $type: "u8", «$min: 1 }'), "ParameterForm", f"{PARAMETERS}.a.$min", "`$min`"
    ),
    Broken(
        "parameter-arrays",
        parameters('a: { $type: "array", $items: «{ $type: "array", $items: "u8" } }'),
        "ParameterForm",
        f"{PARAMETERS}.a.$items",
        "arrays of arrays",
    ),
    Broken(
        "parameter-items",
        parameters('a: «{ $type: "array" }'),
        "ParameterForm",
        f"{PARAMETERS}.a",
        "array needs `$items`",
    ),
    Broken(
        "parameter-length",
        parameters('a: { $type: "array", $items: "u8", $length: «-1 }'),
        "ParameterForm",
        f"{PARAMETERS}.a.$length",
        "`-1`",
    ),
    Broken(
        "parameter-class",
        parameters('a_b: { c: "u8" }, a: { «b: { c: "u8" } }'),
        "ParameterForm",
        f"{PARAMETERS}.a.b",
        "the same class `AB`",
    ),
    Broken(
        "parameter-identifier",
        parameters('"a-b": "u8", «a_b: "u8"'),
        "ParameterForm",
        f"{PARAMETERS}.a_b",
        "the same Python name `a_b`",
    ),
    Broken(
        "parameters-class",
        parameters('«parameters: { c: "u8" }'),
        "ParameterForm",
        f"{PARAMETERS}.parameters",
        "`Parameters`",
    ),
    Broken(
        "default-range",
        parameters('a: { $type: "u8", $default: «256 }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "`256` does not fit `u8`: expected an integer from 0 to 255",
    ),
    Broken(
        "default-text",
        parameters('a: { $type: "u8", $default: «"7" }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "`7` does not fit `u8`",
    ),
    Broken(
        "default-bool",
        parameters('a: { $type: "i32", $default: «true }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "`true` does not fit `i32`",
    ),
    Broken(
        "default-float",
        parameters('a: { $type: "u8", $default: «1.0 }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "`1.0`",
    ),
    Broken(
        "default-null",
        parameters('a: { $type: "string", $default: «null }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "`null`",
    ),
    Broken(
        "default-infinite",
        parameters('a: { $type: "f64", $default: «Infinity }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "`Infinity`",
    ),
    Broken(
        "default-too-large",
        parameters('a: { $type: "f64", $default: «1e999 }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "does not fit `f64`",
    ),
    Broken(
        "default-single",
        parameters('a: { $type: "f32", $default: «1e39 }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "of the `f32` range",
    ),
    Broken(
        "default-inexact",
        parameters('a: { $type: "float", $default: «16777217 }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "`16777217` does not fit `f32`",
    ),
    Broken(
        "default-bytes",
        parameters('a: { $type: "bytes", $default: «"x" }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "not allowed for `bytes`",
    ),
    Broken(
        "default-time",
        parameters('a: { $type: "time", $default: «1 }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "not allowed for `time`",
    ),
    Broken(
        "default-group",
        parameters('a: { b: "u8", «$default: {} }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "not allowed for a group",
    ),
    Broken(
        "default-array",
        parameters('a: { $type: "array", $items: "u8", «$default: [] }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "not allowed for an array",
    ),
    Broken(
        "default-item",
        parameters('a: { $type: "array", $items: «{ $type: "u8", $default: 1 } }'),
        "ParameterDefault",
        f"{PARAMETERS}.a.$items",
        "not allowed in `$items`",
    ),
    Broken(
        "default-huge",
        parameters("a: { $type: 'u64', $default: «0x" + "f" * 300 + " }"),
        "ParameterDefault",
        f"{PARAMETERS}.a.$default",
        "an integer of 1200 bits",
    ),
]

TABLE = [*ANY_DOCUMENT, *MANIFEST, *DEPENDENCIES, *MEMBERS, *FORMATS, *EXECUTION, *DECLARED]


def only_problem(text: str) -> Problem:
    with pytest.raises(InvalidInput) as raised:
        parse_node(text.encode(), "peppy.json5")
    assert len(raised.value.details) == 1, str(raised.value)
    return raised.value.details[0]


@pytest.mark.parametrize("broken", TABLE, ids=lambda broken: broken.name)
def test_a_broken_manifest_is_explained_at_its_place(broken: Broken):
    before, mark, _ = broken.text.partition(MARK)
    problem = only_problem(broken.text.replace(MARK, ""))
    place = (before.count("\n") + 1, len(before) - before.rfind("\n")) if mark else (None, None)
    assert (problem.kind, problem.path) == (broken.kind, broken.path)
    assert (problem.line, problem.column) == place
    assert broken.says in problem.message
    assert problem.hint
    assert problem.located().startswith("peppy.json5:")


def test_every_document_of_the_table_differs():
    assert len({broken.text for broken in TABLE}) == len({broken.name for broken in TABLE}) == len(TABLE)


def test_the_templates_of_the_table_are_valid_manifests():
    for text in (node(), depends(POWER), message('x: "u8"'), parameters('a: "u8"'), container('def_file: "x"')):
        parse_node(text.encode(), "peppy.json5")
