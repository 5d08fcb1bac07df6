"""Which tree and which manifest a node is taken from (docs/reference/manifest.md, Variants)."""

import hashlib
import json
from pathlib import Path

import pytest

from peppy.errors import InvalidInput
from peppy.manifest.node import parse_node, read_node
from peppy.manifest.variants import select_variant
from peppy.model.node import Language

IDENTITY = 'name: "wheels", tag: "v1"'
INTERFACES = """{
    topics: { emits: [{ message_format: { y: "f64", x: "f64" }, name: "odometry" }, { name: "beat" }] },
    conforms_to: [{ tag: "v1", name: "base" }],
  }"""
VARIANTS = 'variants: [{ name: "sim", source: { local: "./trees/sim" } }]'
EXECUTION = 'execution: { language: "python", run_cmd: ["run"] }'
SIMULATED = 'execution: { run_cmd: ["simulate"], language: "other", parameters: { z: "u8", a: "u8" } }'


def root_text(variants: str = VARIANTS, execution: str = EXECUTION) -> str:
    return (
        f'{{ interfaces: {INTERFACES}, peppy_schema: "node_v1", // comments count\n'
        f"  manifest: {{ {variants}, {IDENTITY} }}, {execution} }}"
    )


def variant_text(members: str = "", execution: str = SIMULATED) -> str:
    return f'{{ peppy_schema: "node_v1", {members} {execution} }}'


def select(directory: Path, root: str, variant: str | None, name: str | None):
    (directory / "peppy.json5").write_text(root)
    if variant is not None:
        tree = directory / "trees" / "sim"
        tree.mkdir(parents=True)
        (tree / "peppy.json5").write_text(variant)
    return select_variant(read_node(directory), directory, name)


def mismatch(directory: Path, members: str):
    with pytest.raises(InvalidInput) as raised:
        select(directory, root_text(), variant_text(members), "sim")
    (problem,) = raised.value.details
    assert problem.file == str(directory / "trees" / "sim" / "peppy.json5")
    assert problem.hint
    return problem


@pytest.mark.parametrize("name", [None, "default"])
def test_without_a_variant_tree_the_root_is_taken_byte_for_byte(tmp_path: Path, name: str | None):
    effective = select(tmp_path, root_text(), None, name)
    assert effective.raw == root_text().encode()
    assert effective.sha256 == hashlib.sha256(effective.raw).hexdigest()
    assert (effective.directory, effective.variant) == (tmp_path, "default")


def test_a_variant_brings_its_execution_and_its_tree(tmp_path: Path):
    effective = select(tmp_path, root_text(), variant_text(), "sim")
    assert (effective.directory, effective.variant) == (tmp_path / "trees" / "sim", "sim")
    assert effective.manifest.execution is not None
    assert effective.manifest.execution.language is Language.OTHER
    assert effective.manifest.emitted_topics == read_node(tmp_path).manifest.emitted_topics


def test_the_effective_manifest_is_written_in_the_order_of_the_reference(tmp_path: Path):
    effective = select(tmp_path, root_text(), variant_text(), "sim")
    assert (
        effective.raw.decode()
        == json.dumps(
            {
                "peppy_schema": "node_v1",
                "manifest": {"name": "wheels", "tag": "v1"},
                "interfaces": {
                    "topics": {
                        "emits": [{"name": "odometry", "message_format": {"y": "f64", "x": "f64"}}, {"name": "beat"}]
                    },
                    "conforms_to": [{"name": "base", "tag": "v1"}],
                },
                "execution": {"language": "other", "parameters": {"z": "u8", "a": "u8"}, "run_cmd": ["simulate"]},
            },
            indent=2,
        )
        + "\n"
    )


def test_the_effective_manifest_reads_as_the_same_manifest(tmp_path: Path):
    effective = select(tmp_path, root_text(), variant_text(), "sim")
    again = parse_node(effective.raw, "peppy.json5")
    assert (again.manifest, again.sha256) == (effective.manifest, effective.sha256)


def test_a_variant_called_default_is_taken_without_being_named(tmp_path: Path):
    variants = 'variants: [{ name: "default", source: { local: "trees/sim" } }]'
    root = f'{{ peppy_schema: "node_v1", manifest: {{ {variants}, {IDENTITY} }} }}'
    effective = select(tmp_path, root, variant_text(), None)
    assert effective.directory == tmp_path / "trees" / "sim"
    assert effective.variant == "default"


def test_a_variant_may_repeat_the_root_in_another_order(tmp_path: Path):
    members = """manifest: { tag: "v1", name: "wheels" }, interfaces: {
      conforms_to: [{ name: "base", tag: "v1" }],
      topics: { emits: [{ name: "beat", message_format: {} },
                { name: "odometry", qos_profile: "standard", message_format: { y: "double", x: "f64" } }] } },"""
    assert select(tmp_path, root_text(), variant_text(members), "sim").variant == "sim"


def test_an_unknown_variant_is_refused_with_the_declared_ones(tmp_path: Path):
    with pytest.raises(InvalidInput) as raised:
        select(tmp_path, root_text(), variant_text(), "sin")
    assert raised.value.kind == "UnknownVariant"
    assert "`sin`; declared: `sim`" in raised.value.message
    assert raised.value.hint == "did you mean `sim`?"


def test_a_variant_tree_without_manifest_is_refused(tmp_path: Path):
    (tmp_path / "trees" / "sim").mkdir(parents=True)
    with pytest.raises(InvalidInput, match=r"no peppy\.json5 in .*trees/sim"):
        select(tmp_path, root_text(), None, "sim")


def test_a_variant_needs_an_execution(tmp_path: Path):
    with pytest.raises(InvalidInput) as raised:
        select(tmp_path, root_text(), '{ peppy_schema: "node_v1" }', "sim")
    assert raised.value.kind == "MissingKey"


@pytest.mark.parametrize(
    ("members", "key"), [('name: "wheel", tag: "v1"', "name"), ('name: "wheels", tag: "v2"', "tag")]
)
def test_a_variant_of_another_node_is_refused(tmp_path: Path, members: str, key: str):
    problem = mismatch(tmp_path, f"manifest: {{ {members} }},")
    assert (problem.kind, problem.path) == ("VariantMismatch", f"manifest.{key}")


def test_a_variant_with_other_dependencies_is_refused(tmp_path: Path):
    nodes = '[{ name: "battery", tag: "v1", link_id: "power" }]'
    problem = mismatch(tmp_path, f"manifest: {{ {IDENTITY}, depends_on: {{ nodes: {nodes} }} }},")
    assert (problem.kind, problem.path) == ("VariantMismatch", "manifest.depends_on")


def test_a_variant_whose_topic_differs_is_refused_at_the_difference(tmp_path: Path):
    topics = '[{ name: "beat" }, { name: "odometry", message_format: { y: "f64", x: "f32" } }]'
    problem = mismatch(tmp_path, f"interfaces: {{ topics: {{ emits: {topics} }} }},")
    assert (problem.kind, problem.path) == ("VariantMismatch", "interfaces.topics.emits[1]")


def test_a_variant_that_lacks_a_topic_is_refused(tmp_path: Path):
    problem = mismatch(tmp_path, 'interfaces: { topics: { emits: [{ name: "beat" }] } },')
    assert (problem.kind, problem.path) == ("VariantMismatch", "interfaces")
    assert "`interfaces.topics.emits[0]`" in problem.message
