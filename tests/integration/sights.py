"""Nodes of `nodes/sight.py`: manifests with a topic `image`, a service `zoom` and an action `track`."""

import json
import sys
from pathlib import Path

from telling import NODES, PARAMETERS

MEMBERS = {
    "topics": '{ name: "image", message_format: { number: "u64" } }',
    "services": """{ name: "zoom", request_message_format: { number: "u64" },
                     response_message_format: { said: "string" } }""",
    "actions": """{ name: "track", goal_service: { request_message_format: { number: "u64" } },
                    feedback_topic: { message_format: { number: "u64" } },
                    result_service: { response_message_format: { said: "string" } } }""",
}
ITS_OWN = ", ".join(
    f"{kind}: {{ {'emits' if kind == 'topics' else 'exposes'}: [{member}] }}" for kind, member in MEMBERS.items()
)
"""The members as those of a node itself."""

EVERYTHING = "topics services actions"


def write_sight(directory: Path, name: str, interfaces: str, slots: str = "") -> Path:
    """A node with these members and slots."""
    source = directory / name
    source.mkdir()
    (source / "peppy.json5").write_text(
        f"""{{ peppy_schema: "node_v1", manifest: {{ name: "{name}", tag: "v1", depends_on: {{ {slots} }} }},
               interfaces: {{ {interfaces} }},
               execution: {{ language: "python", {PARAMETERS}, run_cmd: ["{sys.executable}", "{name}.py"] }} }}"""
    )
    (source / f"{name}.py").write_text((NODES / "sight.py").read_text())
    return source


def consumes(**slots: str) -> str:
    """`link_id="topics services"`: what is used through each slot."""
    names = {"topics": "image", "services": "zoom", "actions": "track"}
    return ", ".join(
        f"{kind}: {{ consumes: ["
        + ", ".join(f'{{ link_id: "{link}", name: "{name}" }}' for link, kinds in slots.items() if kind in kinds)
        + "] }"
        for kind, name in names.items()
    )


def slot(link_id: str, name: str, *, from_any: bool = False) -> str:
    """One entry of `depends_on`."""
    return f'{{ name: "{name}", tag: "v1", link_id: "{link_id}", from_any: {json.dumps(from_any)} }}'
