"""What keeps a package from being generated (docs/reference/manifest.md, Against the stack and caches)."""

from pathlib import Path
from typing import Any

import pytest

from peppy.errors import InvalidInput
from peppy.gen.package import generate, module_counts
from peppy.manifest.node import parse_node
from peppy.model.node import NodeManifest

WHEEL = Path("/tmp/peppy_stack.whl")
PRODUCER = '{topics: {emits: [{name: "scan"}, {name: "map", qos_profile: "reliable"}]}}'


def node(interfaces: str = "{}", depends_on: str = "{}", name: str = "one") -> NodeManifest:
    text = (
        f'{{peppy_schema: "node_v1", manifest: {{name: "{name}", tag: "v1", depends_on: {depends_on}}},'
        f'interfaces: {interfaces}, execution: {{language: "python", run_cmd: ["x"]}}}}'
    )
    return parse_node(text.encode(), "peppy.json5").manifest


def problems(manifest: NodeManifest, *providers: NodeManifest) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as caught:
        tree(manifest, *providers)
    return [(problem.kind, problem.message) for problem in caught.value.details]


def tree(manifest: NodeManifest, *providers: NodeManifest) -> dict[str, Any]:
    known = {provider.reference: provider for provider in providers}
    return generate(manifest, known, sha256="0" * 64, peppy_wheel=WHEEL)


def test_services_and_actions_are_refused_by_name() -> None:
    link = '{nodes: [{name: "two", tag: "v1", link_id: "l"}]}'
    manifest = node(
        '{services: {exposes: [{name: "zero"}], consumes: [{link_id: "l", name: "s"}]},'
        'actions: {exposes: [{name: "dock"}], consumes: [{link_id: "l", name: "a"}]}}',
        link,
    )
    found = problems(manifest, node(name="two"))
    assert [kind for kind, _ in found] == ["NotSupported"] * 4
    for name, (_, text) in zip(("zero", "dock", "s", "a"), found, strict=True):
        assert f"`{name}`" in text
        assert "not supported yet" in text


@pytest.mark.parametrize("profile", ["reliable", "critical"])
def test_a_topic_with_a_waiting_profile_is_refused(profile: str) -> None:
    (problem,) = problems(node(f'{{topics: {{emits: [{{name: "cmd", qos_profile: "{profile}"}}]}}}}'))
    assert problem == ("NotSupported", f"topic `cmd` with the profile `{profile}`: not supported yet")


def test_everything_unresolved_is_reported_together() -> None:
    depends_on = (
        '{nodes: [{name: "two", tag: "v1", link_id: "l"}, {name: "gone", tag: "v1", link_id: "g"}],'
        'interfaces: [{name: "face", tag: "v1", link_id: "f"}]}'
    )
    consumes = (
        '{topics: {consumes: [{link_id: "l", name: "nope"}, {link_id: "l", name: "map"}, {link_id: "f", name: "x"}]},'
        'conforms_to: [{name: "base", tag: "v1"}]}'
    )
    found = problems(node(consumes, depends_on), node(PRODUCER, name="two"))
    assert found == [
        ("DependencyMissing", "`one:v1` depends on `gone:v1`, which does not exist in the stack"),
        ("InterfaceNotCached", "the interface `face:v1` of slot `f` is not in the cache"),
        ("InterfaceNotCached", "the interface `base:v1` of `conforms_to` is not in the cache"),
        ("DependencyNotExposed", "topic `nope` of `two:v1` (slot `l`) is not exposed"),
        ("NotSupported", "topic `map` of `two:v1` has the profile `reliable`: not supported yet"),
    ]


def test_two_slots_of_one_provider_give_two_modules() -> None:
    left, right = (f'{{name: "two", tag: "v1", link_id: "{slot}"}}' for slot in ("left", "right"))
    depends_on = f"{{nodes: [{left}, {right}]}}"
    consumes = '{topics: {consumes: [{link_id: "left", name: "scan"}, {link_id: "right", name: "scan"}]}}'
    files = tree(node(consumes, depends_on), node(PRODUCER, name="two"))
    assert "libs/peppygen/peppygen/consumed_topics/left_scan.py" in files
    assert "libs/peppygen/peppygen/consumed_topics/right_scan.py" in files
    assert module_counts(files)["consumed_topics"] == 2
    assert module_counts(files)["exposed_services"] == 0


def test_the_same_input_gives_the_same_bytes_and_the_stamp_stands_last() -> None:
    manifest = node('{topics: {emits: [{name: "scan"}]}}')
    assert tree(manifest) == tree(manifest)
    assert list(tree(manifest))[-1] == "generator.version"


def test_the_project_depends_on_the_packed_wheel_by_its_path() -> None:
    wheel = Path("/home/some body/cache/peppy_stack-0.1.0+abc-cp311-abi3-linux_x86_64.whl")
    text = generate(node(), {}, sha256="0" * 64, peppy_wheel=wheel)["libs/peppygen/pyproject.toml"]
    expected = "peppy-stack @ file:///home/some%20body/cache/peppy_stack-0.1.0+abc-cp311-abi3-linux_x86_64.whl"
    assert isinstance(text, str)
    assert expected in text
