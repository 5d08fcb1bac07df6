"""Generated packages are what `tests/golden/packages` shows: the documentation of the generator.

`PEPPY_UPDATE_GOLDEN=1` writes them anew.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from peppy.codec import Gathered
from peppy.errors import InvalidInput
from peppy.gen.package import generate
from peppy.manifest.interface import parse_interface
from peppy.manifest.node import read_node

HERE = Path(__file__).parent / "packages"
CASES = sorted(path.parent.name for path in HERE.glob("*/peppy.json5"))
WHEEL = Path("/var/lib/peppy/cache/wheels/peppy_stack-0.1.0+0123456789ab-cp311-abi3-linux_x86_64.whl")
UPDATE = os.environ.get("PEPPY_UPDATE_GOLDEN") == "1"


def generated(case: str) -> dict[str, str]:
    nodes = {name: read_node(HERE / name / "peppy.json5") for name in CASES}
    providers = {node.manifest.reference: node.manifest for node in nodes.values()}
    read = (parse_interface(path.read_bytes(), path.name).interface for path in HERE.glob("interfaces/*.json5"))
    interfaces = {interface.reference: interface for interface in read}
    tree = generate(nodes[case].manifest, providers, interfaces, sha256=nodes[case].sha256, peppy_wheel=WHEEL)
    return {path: text if isinstance(text, str) else text.decode() for path, text in tree.items()}


def write_golden(case: str, tree: dict[str, str]) -> None:
    shutil.rmtree(HERE / case / "generated", ignore_errors=True)
    for path, text in tree.items():
        file = HERE / case / "generated" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize("case", CASES)
def test_a_package_is_generated_as_shown(case: str) -> None:
    tree = generated(case)
    if UPDATE:
        write_golden(case, tree)
    root = HERE / case / "generated"
    shown = {str(file.relative_to(root)): file.read_text() for file in root.rglob("*") if file.is_file()}
    assert tree == {path: text for path, text in shown.items() if "__pycache__" not in path}


@pytest.fixture
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """`peppygen` of one golden case, imported as a node program does."""
    monkeypatch.syspath_prepend(str(HERE / request.param / "generated" / "libs" / "peppygen"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield importlib.import_module("peppygen")
    for name in [name for name in sys.modules if name.partition(".")[0] == "peppygen"]:
        del sys.modules[name]


EXPORTED = {
    *("QoSProfile", "NodeBuilder", "NodeRunner", "StandaloneConfig", "clock", "parameters"),
    *("emitted_topics", "consumed_topics", "exposed_services", "consumed_services"),
    *("exposed_actions", "consumed_actions"),
}


@pytest.mark.parametrize("package", CASES, indirect=True)
def test_every_package_exports_exactly_the_names_of_the_reference(package: Any) -> None:
    assert set(package.__all__) == EXPORTED
    assert {name for name in vars(package) if not name.startswith("_")} == EXPORTED


@pytest.mark.parametrize("package", ["viewer"], indirect=True)
def test_a_category_gives_its_modules_as_attributes(package: Any) -> None:
    assert package.consumed_topics.imu_attitude.Message(1.0, [1.0, 0.0, 0.0, 0.0]).stamp == 1.0
    assert not hasattr(package.consumed_topics.ping_ping, "Message")


@pytest.mark.parametrize("package", ["names"], indirect=True)
def test_equal_module_names_are_numbered_in_document_order(package: Any) -> None:
    assert package.emitted_topics.__all__ == sorted(
        ["point_cloud", "point_cloud_1", "point_cloud_2", "point_cloud_1_1", "class_", "_2d"]
    )
    topics = package.emitted_topics
    assert topics.point_cloud_1._TOPIC.name == "point_cloud"
    assert topics.point_cloud_2._TOPIC.name == "POINT--CLOUD"
    assert topics.point_cloud_1_1._TOPIC.name == "point_cloud_1"


@pytest.mark.parametrize("package", ["viewer"], indirect=True)
def test_what_a_producer_encodes_a_consumer_decodes_into_its_own_classes(package: Any) -> None:
    module = package.consumed_topics.front_camera_frames
    header = module.MessageHeader(7, 1.5, "cam")
    encoded = module._PLAN.encode(header, 4, 2, None, b"frame", [0.5], None)
    assert isinstance(encoded, Gathered)
    payload = bytearray(encoded.length)
    for part, offset in [(encoded.head, 0), *encoded.parts]:
        octets = memoryview(part).cast("B")
        payload[offset : offset + len(octets)] = octets
    message = module._PLAN.decode(payload)
    assert isinstance(message, module.Message)
    assert (message.header, message.frame) == (header, b"frame")


@pytest.mark.parametrize("package", ["viewer"], indirect=True)
def test_the_package_knows_its_node(package: Any) -> None:
    known = package._node.PACKAGE
    assert (known.name, known.tag, len(known.fingerprint)) == ("viewer", "v1", 64)
    assert [slot.link_id for slot in known.slots] == ["imu", "front-camera", "ping"]
    assert known.schema_hashes["consumed_topics/front_camera_frames"] == 0xEECC70B6218647D2
    assert known.schema_hashes["consumed_topics/ping_ping"] == 0


@pytest.mark.parametrize("package", ["eye"], indirect=True)
def test_inherited_members_have_packages_of_their_own_beside_native_ones(package: Any) -> None:
    topics, services = package.emitted_topics, package.exposed_services
    assert topics.__all__ == ["image", "image_source", "image_source_1"]
    assert topics.image._TOPIC.name == "image"
    assert topics.image_source._TOPIC.name == "image_source"
    assert topics.image_source_1.v1.image._TOPIC.name == "image_source:v1/image"
    assert (services.zoom._SERVICE.name, services.zoom._SERVICE.interface) == ("zoom", None)
    inherited = services.image_source.v1.zoom._SERVICE
    assert (inherited.name, inherited.interface) == ("zoom", "image_source:v1")
    assert services.light._0_2_0.switch._SERVICE.interface == "light:0.2.0"
    assert package.exposed_actions.image_source.v1.track._ACTION.interface == "image_source:v1"
    assert "emitted_topics/image_source_1/v1/image" in package._node.PACKAGE.schema_hashes


@pytest.mark.parametrize("package", ["watcher"], indirect=True)
def test_a_slot_for_an_interface_and_one_for_a_node_never_name_the_same_topic(package: Any) -> None:
    assert package.consumed_topics.eye_image._TOPIC.name == "image"
    assert package.consumed_topics.source_image._TOPIC.name == "image_source:v1/image"
    assert package.consumed_services.source_zoom._SERVICE.interface == "image_source:v1"
    assert package.consumed_actions.source_track._ACTION.interface == "image_source:v1"


def parameters_of(function: Any) -> list[str]:
    return list(signature(function).parameters)


@pytest.mark.parametrize("package", ["pilot"], indirect=True)
def test_what_has_no_request_is_called_with_a_timeout_only(package: Any) -> None:
    services, actions = package.consumed_services, package.consumed_actions
    assert parameters_of(services.base_set_zero.poll) == ["node_runner", "request", "timeout"]
    assert parameters_of(services.base_reset.poll) == ["node_runner", "timeout"]
    assert parameters_of(actions.base_dock.ActionHandle.fire_goal) == [
        *("node_runner", "request", "timeout", "feedback_qos"),
    ]
    assert parameters_of(actions.base_wave.ActionHandle.fire_goal) == ["node_runner", "timeout", "feedback_qos"]


@pytest.mark.parametrize("package", ["pilot"], indirect=True)
def test_what_has_no_payload_has_no_class_for_it(package: Any) -> None:
    services, actions = package.consumed_services, package.consumed_actions
    assert not {"Request", "Response", "ResponseData"} & vars(services.base_reset).keys()
    assert not {"GoalRequest", "FeedbackMessage", "ResultResponseData"} & vars(actions.base_wave).keys()
    assert actions.base_wave.ResultResponse._fields == ("core_node", "instance_id", "status")
    assert actions.base_dock.ResultResponse._fields == ("core_node", "instance_id", "status", "data")


@pytest.mark.parametrize("package", ["base"], indirect=True)
def test_a_request_without_payload_says_only_who_sent_it(package: Any) -> None:
    assert package.exposed_services.reset.Request._fields == ("instance_id", "core_node")
    assert package.exposed_services.set_zero.Request._fields == ("instance_id", "core_node", "data")
    assert package.exposed_actions.wave.GoalRequest._fields == ("instance_id", "core_node")


@pytest.mark.parametrize("package", ["base"], indirect=True)
def test_feedback_and_results_are_the_arguments_of_a_context(package: Any) -> None:
    dock, patrol, wave = (getattr(package.exposed_actions, name) for name in ("dock", "patrol", "wave"))
    assert parameters_of(dock.GoalContext.complete) == ["self", "docked", "metres"]
    assert parameters_of(dock.GoalContext.complete_cancelled) == ["self", "docked", "metres"]
    assert parameters_of(patrol.GoalContext.publish_feedback)[:4] == ["self", "from_", "timeout", "feedback_qos"]
    assert parameters_of(wave.GoalContext.complete) == ["self"]
    assert not hasattr(wave.GoalContext, "publish_feedback")


VALUES: dict[str, Any] = {
    "enabled": True,
    "scale": 2,
    "key": "k",
    "since": 5,
    "from-dict": 9,
    "weights": [1],
    "corner": [1, 2],
    "video": {"device": "/dev/video0", "resolution": {"width": 640}, "mapping": [{"name": "m", "at": {"x": 1}}]},
}


@pytest.mark.parametrize("package", ["parameters"], indirect=True)
def test_parameters_are_dataclasses_made_from_declared_names_with_defaults(package: Any) -> None:
    parameters = package.parameters.Parameters.from_dict(VALUES)
    assert parameters.title == 'it\'s "so" \\ {x} \n ü 😀'
    assert (parameters.from_dict_, parameters.class_, parameters.int, parameters.key) == (9, True, 1, b"k")
    assert parameters.video.resolution == package.parameters.VideoResolution(width=640)
    assert parameters.video.mapping[0].at.x == 1.0
    assert parameters._2nd.any == ""


@pytest.mark.parametrize("package", ["parameters"], indirect=True)
def test_parameters_go_back_to_declared_names(package: Any) -> None:
    from dataclasses import asdict

    parameters = package.parameters.Parameters.from_dict(VALUES)
    values = parameters.to_dict()
    assert values["video"]["resolution"] == {"width": 640, "height": 480}
    assert package.parameters.Parameters.from_dict(values) == parameters
    assert asdict(parameters)["from_dict_"] == values["from-dict"] == 9


@pytest.mark.parametrize("package", ["parameters"], indirect=True)
def test_missing_and_unknown_parameters_are_named_together(package: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        package.parameters.Parameters.from_dict({"video": {"nope": 1}})
    assert "video.resolution.width" in str(caught.value)
    assert "video.nope" in str(caught.value)


@pytest.mark.parametrize("package", ["imu"], indirect=True)
def test_no_parameter_group_needs_a_value_for_a_default(package: Any) -> None:
    assert package.parameters.Parameters().rate_hz == 100.0


def test_a_package_of_another_generator_is_refused_at_import(tmp_path: Path) -> None:
    tree = generated("imu")
    for path, text in tree.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("GENERATOR_VERSION = 1", "GENERATOR_VERSION = 999"))
    child = subprocess.run(
        [sys.executable, "-c", "import peppygen"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "libs" / "peppygen")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 1
    assert "ImportError" in child.stderr
    assert "run `peppy node sync`" in child.stderr


def test_importing_a_package_imports_neither_numpy_nor_json5() -> None:
    project = HERE / "viewer" / "generated" / "libs" / "peppygen"
    code = "import sys, peppygen; print(json.dumps([name for name in ('numpy', 'json5') if name in sys.modules]))"
    child = subprocess.run(
        [sys.executable, "-B", "-c", f"import json; {code}"],
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(child.stdout) == []


def test_generated_code_passes_ruff() -> None:
    style = ["--isolated", "--line-length", "120", "--no-cache", str(HERE)]
    rules = "E,F,W,I,UP,B,C4,SIM,RUF,PIE,RET,ARG,N"
    checked = subprocess.run([_tool("ruff"), "check", "--select", rules, *style], capture_output=True, check=False)
    formatted = subprocess.run([_tool("ruff"), "format", "--check", *style], capture_output=True, check=False)
    assert (checked.returncode, checked.stdout.strip()) == (0, b"All checks passed!")
    assert formatted.returncode == 0, formatted.stdout


def _tool(name: str) -> str:
    return str(Path(sys.executable).parent / name)
