"""What docs/reference/manifest.md and messages.md say is what the parsers do."""

import re
from pathlib import Path

from peppy.manifest import document, position
from peppy.manifest.node import parse_node
from peppy.model.types import MAX_DEPTH, MAX_FIELDS, schema_hash

from . import test_broken_dependencies, test_broken_executions, test_broken_formats, test_broken_manifests

ROOT = Path(__file__).parents[3]
MANIFEST = (ROOT / "docs/reference/manifest.md").read_text()
MESSAGES = (ROOT / "docs/reference/messages.md").read_text()
SOURCES = [*(ROOT / "src/peppy/manifest").glob("*.py"), ROOT / "src/peppy/model/parameters.py"]


def section(text: str, title: str) -> str:
    """The part of a page from a heading to the next one of the same level."""
    level = title.split()[0]
    return text.split(f"{title}\n", 1)[1].split(f"\n{level} ")[0]


def documented() -> set[str]:
    tables = section(MANIFEST, "### 8.1 Any document") + section(
        MANIFEST, "### 8.2 Node manifest and interface document"
    )
    tables += section(MANIFEST, "### 5.2 Values").split("| Error |")[1]
    rows = [line for line in tables.splitlines() if line.startswith("| `")]
    return {kind for row in rows for kind in re.findall(r"`([A-Z]\w+)`", row.split("|")[1])}


def raised() -> set[str]:
    kind = r'"([A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]+)|Usage)"'
    return {found for source in SOURCES for found in re.findall(kind, source.read_text())}


def test_the_documented_errors_are_those_of_the_parsers():
    class_names = {"RequestData", "GoalRequestData", "ParameterValue"}
    assert raised() - class_names == documented()


def test_every_documented_error_of_a_manifest_has_a_broken_manifest():
    tables = (test_broken_manifests, test_broken_dependencies, test_broken_formats, test_broken_executions)
    shown = {broken.kind for table in tables for broken in table.TABLE}
    elsewhere = {"DocumentMissing", "DocumentUnreadable", "UnknownVariant", "VariantMismatch"}
    elsewhere |= {"MissingParameters", "UnknownParameter", "ParameterType", "Usage"}
    assert shown == documented() - elsewhere


def test_the_documented_limits_are_those_of_the_parsers():
    assert f"at most {document.SIZE_LIMIT // 1024} KiB, {document.DEPTH_LIMIT} nesting levels" in MANIFEST
    assert f"and {document.VALUE_LIMIT} keys and list items" in MANIFEST
    assert f"at most {position.DIGIT_LIMIT} digits" in MANIFEST
    assert f"at most {document.REPORTED}, then `... and N more`" in MANIFEST
    assert f"nesting deeper than {MAX_DEPTH} objects" in MESSAGES
    assert f"more than {MAX_FIELDS:,} fields".replace(",", " ") in MESSAGES


def test_the_documented_manifest_is_valid():
    example = re.findall(r"```json5\n(.*?)```", section(MANIFEST, "## 2. Node manifest (`peppy.json5`)"), re.DOTALL)[0]
    assert str(parse_node(example.encode(), "peppy.json5").manifest.reference) == "wheels:0.2.0"


def test_the_documented_schema_hash_is_that_of_its_format():
    fields, digest = re.findall(r"\| `\{(arm_id.*?)\}` \| .* \| `(\w{16})` \|", MESSAGES)[0]
    text = f"""{{ peppy_schema: "node_v1", manifest: {{ name: "a", tag: "b" }},
      interfaces: {{ topics: {{ emits: [{{ name: "t", message_format: {{ {fields} }} }}] }} }},
      execution: {{ language: "other", run_cmd: ["x"] }} }}"""
    (topic,) = parse_node(text.encode(), "peppy.json5").manifest.emitted_topics
    assert f"{schema_hash(topic.message_format):016x}" == digest
