"""What is wrong with the execution of a node and its parameters (docs/reference/manifest.md, Errors)."""

import pytest

from .broken import PARAMETERS, RUNNABLE, Broken, check, container, node, parameters

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

TABLE = [*EXECUTION, *DECLARED]


@pytest.mark.parametrize("broken", TABLE, ids=lambda broken: broken.name)
def test_a_broken_execution_is_explained_at_its_place(broken: Broken):
    check(broken)
