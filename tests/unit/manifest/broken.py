"""Broken manifests and what must be said about them: helpers of the tables in this directory.

`«` marks the place that the error must name; it is taken out before the document is read.
"""

from dataclasses import dataclass

import pytest

from peppy.errors import InvalidInput
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


def check(broken: Broken) -> None:
    """The document has exactly one problem, which is the expected one, at its place, with a hint."""
    before, mark, _ = broken.text.partition(MARK)
    with pytest.raises(InvalidInput) as raised:
        parse_node(broken.text.replace(MARK, "").encode(), "peppy.json5")
    assert len(raised.value.details) == 1, str(raised.value)
    (problem,) = raised.value.details
    place = (before.count("\n") + 1, len(before) - before.rfind("\n")) if mark else (None, None)
    assert (problem.kind, problem.path) == (broken.kind, broken.path)
    assert (problem.line, problem.column) == place
    assert broken.says in problem.message
    assert problem.hint
    assert problem.located().startswith("peppy.json5:")
