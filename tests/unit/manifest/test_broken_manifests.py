"""What is wrong with a document as a whole, or with the identity of a node (docs/reference/manifest.md, Errors)."""

import pytest

from peppy.manifest.node import parse_node

from .broken import POWER, RUNNABLE, Broken, check, container, depends, message, node, parameters

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
    Broken(
        "name-without-letter",
        node('name: «"__", tag: "v1"'),
        "BadName",
        "manifest.name",
        "`__` is not a name: letters, digits, `_` and `-`",
    ),
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

TABLE = [*ANY_DOCUMENT, *MANIFEST]


@pytest.mark.parametrize("broken", TABLE, ids=lambda broken: broken.name)
def test_a_broken_manifest_is_explained_at_its_place(broken: Broken):
    check(broken)


def test_the_templates_of_the_tables_are_valid_manifests():
    for text in (node(), depends(POWER), message('x: "u8"'), parameters('a: "u8"'), container('def_file: "x"')):
        parse_node(text.encode(), "peppy.json5")
