"""What keeps a package from being generated (docs/reference/manifest.md, Against the stack and caches)."""

import re
from pathlib import Path
from typing import Any

import pytest

from peppy.errors import InvalidInput
from peppy.gen.package import generate, module_counts
from peppy.manifest.interface import parse_interface
from peppy.manifest.node import parse_node
from peppy.model.interface import Interface
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


def modules(files: dict[str, Any]) -> list[str]:
    """The generated modules of members, below the package."""
    paths = [path.split("/")[3:] for path in files if path.startswith("libs/peppygen/peppygen/")]
    return sorted("/".join(path) for path in paths if len(path) == 2 and path[1] != "__init__.py")


def hashes(files: dict[str, Any]) -> dict[str, int]:
    """The schema hashes that a package knows, in their order."""
    text = files["libs/peppygen/peppygen/_meta.py"]
    return {name: int(value, 16) for name, value in re.findall(r'"(\w+/[\w/]+)": 0x([0-9A-F]{16})', text)}


LINK = '{nodes: [{name: "two", tag: "v1", link_id: "l"}]}'
CONSUMES = '{services: {consumes: [{link_id: "l", name: "zero"}]}, actions: {consumes: [{link_id: "l", name: "dock"}]}}'


def test_every_kind_of_member_gets_a_module_in_its_category() -> None:
    provider = node('{services: {exposes: [{name: "zero"}]}, actions: {exposes: [{name: "dock"}]}}', name="two")
    assert modules(tree(provider)) == ["exposed_actions/dock.py", "exposed_services/zero.py"]
    assert modules(tree(node(CONSUMES, LINK), provider)) == [
        "consumed_actions/l_dock.py",
        "consumed_services/l_zero.py",
    ]


def test_the_modules_of_each_category_are_counted() -> None:
    manifest = node(
        '{topics: {emits: [{name: "scan"}]}, services: {exposes: [{name: "zero"}, {name: "log"}]},'
        'actions: {exposes: [{name: "dock"}]}}'
    )
    counts = module_counts(tree(manifest))
    assert counts == {
        "emitted_topics": 1,
        "consumed_topics": 0,
        "exposed_services": 2,
        "consumed_services": 0,
        "exposed_actions": 1,
        "consumed_actions": 0,
    }


def test_both_sides_of_a_service_and_an_action_have_the_same_schema_hashes() -> None:
    provider = node(
        '{services: {exposes: [{name: "zero", request_message_format: {n: "u8"}}]},'
        'actions: {exposes: [{name: "dock", feedback_topic: {message_format: {metres: "f32"}}}]}}',
        name="two",
    )
    exposed, consumed = hashes(tree(provider)), hashes(tree(node(CONSUMES, LINK), provider))
    assert [key.split("/", 1)[1] for key in exposed] == [f"zero/{payload}" for payload in ("request", "response")] + [
        f"dock/{payload}" for payload in ("goal", "feedback", "result")
    ]
    assert list(exposed.values()) == list(consumed.values())
    assert [value == 0 for value in exposed.values()] == [False, True, True, False, True]


@pytest.mark.parametrize("surface", ["topic", "service", "action"])
def test_a_member_that_the_provider_lacks_is_named_beside_those_it_has(surface: str) -> None:
    key = "emits" if surface == "topic" else "exposes"
    provider = node(f'{{{surface}s: {{{key}: [{{name: "one"}}, {{name: "other"}}]}}}}', name="two")
    consumer = node(f'{{{surface}s: {{consumes: [{{link_id: "l", name: "gone"}}]}}}}', LINK)
    with pytest.raises(InvalidInput) as caught:
        tree(consumer, provider)
    (problem,) = caught.value.details
    assert problem.kind == "DependencyNotExposed"
    assert problem.path == f"interfaces.{surface}s.consumes[0]"
    assert problem.message == f"{surface} `gone` of `two:v1` (slot `l`) is not exposed"
    assert problem.hint == f"{surface}s of `two:v1`: `one`, `other`"


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


# --- interfaces ------------------------------------------------------------------------------------------------------

CLAIMS = '{topics: {emits: [{name: "image"}]}, conforms_to: [{name: "face-to", tag: "v1.0"}]}'
THROUGH = '{interfaces: [{name: "face-to", tag: "v1.0", link_id: "f"}]}'
FACE = '{topics: [{name: "image"}, {name: "Image"}], services: [{name: "zoom"}], actions: [{name: "track"}]}'


def interface(members: str = FACE, name: str = "face-to", tag: str = "v1.0") -> Interface:
    text = f'{{peppy_schema: "interface_v1", manifest: {{name: "{name}", tag: "{tag}"}}, interfaces: {members}}}'
    return parse_interface(text.encode(), "face.json5").interface


def conforming(manifest: NodeManifest, *interfaces: Interface) -> dict[str, Any]:
    known = {each.reference: each for each in interfaces}
    return generate(manifest, {}, known, sha256="0" * 64, peppy_wheel=WHEEL)


def below(files: dict[str, Any], category: str) -> list[str]:
    root = f"libs/peppygen/peppygen/{category}/"
    return sorted(path.removeprefix(root) for path in files if path.startswith(root) and "__init__" not in path)


def test_inherited_members_are_in_the_package_of_their_interface_and_tag() -> None:
    files = conforming(node(CLAIMS), interface())
    assert below(files, "emitted_topics") == ["face_to/v1_0/image.py", "face_to/v1_0/image_1.py", "image.py"]
    assert below(files, "exposed_services") == ["face_to/v1_0/zoom.py"]
    assert below(files, "exposed_actions") == ["face_to/v1_0/track.py"]
    assert module_counts(files) == {
        "emitted_topics": 3,
        "consumed_topics": 0,
        "exposed_services": 1,
        "consumed_services": 0,
        "exposed_actions": 1,
        "consumed_actions": 0,
    }


def test_packages_of_interfaces_share_no_name_with_modules_or_each_other() -> None:
    manifest = node(
        '{topics: {emits: [{name: "a_b"}]}, conforms_to: [{name: "a-b", tag: "v1"}, {name: "A_B", tag: "v1"},'
        '{name: "a-b", tag: "v2"}]}'
    )
    members = '{topics: [{name: "x"}]}'
    claimed = [interface(members, name, tag) for name, tag in (("a-b", "v1"), ("A_B", "v1"), ("a-b", "v2"))]
    files = conforming(manifest, *claimed)
    assert below(files, "emitted_topics") == ["a_b.py", "a_b_1/v1/x.py", "a_b_1/v2/x.py", "a_b_2/v1/x.py"]
    assert '"A_B:v1"' in files["libs/peppygen/peppygen/emitted_topics/a_b_2/v1/x.py"]


def test_an_interface_slot_reaches_the_members_of_the_interface() -> None:
    consumes = ", ".join(
        f'{kind}: {{consumes: [{{link_id: "f", name: "{name}"}}]}}'
        for kind, name in (("topics", "Image"), ("services", "zoom"), ("actions", "track"))
    )
    files = conforming(node(f"{{{consumes}}}", THROUGH), interface())
    assert modules(files) == [
        "consumed_actions/f_track.py",
        "consumed_services/f_zoom.py",
        "consumed_topics/f_image.py",
    ]
    assert (
        'ConsumedTopic("f", "Image", _PLAN, "face-to:v1.0")'
        in files["libs/peppygen/peppygen/consumed_topics/f_image.py"]
    )


def test_a_member_that_the_interface_lacks_is_named_beside_those_it_has() -> None:
    with pytest.raises(InvalidInput) as caught:
        conforming(node('{services: {consumes: [{link_id: "f", name: "image"}]}}', THROUGH), interface())
    assert [(problem.kind, problem.hint) for problem in caught.value.details] == [
        ("DependencyNotExposed", "services of `face-to:v1.0`: `zoom`"),
    ]
