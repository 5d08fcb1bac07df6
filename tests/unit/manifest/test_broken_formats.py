"""What is wrong with a message format (docs/reference/messages.md, Rules and rejections)."""

import pytest

from .broken import FORMAT, Broken, action, check, emits, message, nested, node

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

TABLE = [*FORMATS]


@pytest.mark.parametrize("broken", TABLE, ids=lambda broken: broken.name)
def test_a_broken_format_is_explained_at_its_place(broken: Broken):
    check(broken)
