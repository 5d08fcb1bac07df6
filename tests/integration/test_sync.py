"""`peppy node sync` at a real daemon (docs/reference/daemon.md, Sync)."""

import hashlib
from pathlib import Path

from living import LivingDaemon, make_node, make_python_node

from peppy.protocol.frames import NodeSync

NEEDS_IMU = {"nodes": [{"name": "imu", "tag": "v1", "link_id": "imu"}]}
CONSUMES = {"topics": {"consumes": [{"link_id": "imu", "name": "attitude"}]}}


def sync(directory: Path) -> NodeSync:
    return NodeSync(str(directory), 60.0)


def tree(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_sync_writes_the_library_beside_the_manifest(shared: LivingDaemon, tmp_path: Path):
    source = make_python_node(tmp_path, interfaces={"topics": {"emits": [{"name": "attitude"}]}})
    answer = shared.ask(sync(source))
    digest = hashlib.sha256((source / "peppy.json5").read_bytes()).hexdigest()
    assert (answer.path, answer.config_sha256, answer.from_stack) == (str(source), digest, ())
    assert answer.modules["emitted_topics"] == 1
    assert (source / ".peppy/libs/peppygen/peppy.json5.sha256").read_text() == f"{digest}\n"
    assert (source / ".peppy/libs/peppygen/peppygen/emitted_topics/attitude.py").is_file()


def test_a_second_sync_gives_the_same_bytes(shared: LivingDaemon, tmp_path: Path):
    source = make_python_node(tmp_path)
    shared.ask(sync(source))
    before = tree(source / ".peppy")
    shared.ask(sync(source))
    assert tree(source / ".peppy") == before


def test_a_synced_node_can_be_added(shared: LivingDaemon, tmp_path: Path):
    source = make_python_node(tmp_path)
    shared.ask(sync(source))
    assert shared.add(source).node == "pynode:0.1.0"


def test_dependencies_come_from_the_stack(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, "imu", tag="v1", interfaces={"topics": {"emits": [{"name": "attitude"}]}}))
    source = make_python_node(tmp_path, depends_on=NEEDS_IMU, interfaces=CONSUMES)
    answer = shared.ask(sync(source))
    assert answer.from_stack == ("imu:v1",)
    assert (source / ".peppy/libs/peppygen/peppygen/consumed_topics/imu_attitude.py").is_file()
    assert shared.node_row("pynode:0.1.0") is None


def test_an_unresolved_dependency_leaves_the_old_library(shared: LivingDaemon, tmp_path: Path):
    source = make_python_node(tmp_path)
    shared.ask(sync(source))
    before = tree(source / ".peppy")
    make_python_node(tmp_path, depends_on=NEEDS_IMU, interfaces=CONSUMES)
    assert shared.refusal(sync(source)).kind == "DependencyMissing"
    assert tree(source / ".peppy") == before


def test_a_node_of_another_language_gets_a_warning_and_no_library(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path, language="rust")
    answer = shared.ask(sync(source))
    assert len(answer.warnings) == 1
    assert "`rust`" in answer.warnings[0]
    assert not (source / ".peppy").exists()


def test_services_and_actions_get_modules_and_formats_without_effect_a_warning(shared: LivingDaemon, tmp_path: Path):
    dock = {"name": "dock", "goal_service": {"response_message_format": {"queue": "u8"}}}
    exposes = {"services": {"exposes": [{"name": "zoom"}]}, "actions": {"exposes": [dock]}}
    source = make_python_node(tmp_path, interfaces=exposes)
    answer = shared.ask(sync(source))
    assert (answer.modules["exposed_services"], answer.modules["exposed_actions"]) == (1, 1)
    assert (source / ".peppy/libs/peppygen/peppygen/exposed_services/zoom.py").is_file()
    (warning,) = answer.warnings
    assert "`queue`" in warning


def test_the_library_of_every_variant_is_written(shared: LivingDaemon, tmp_path: Path):
    manifest = {"name": "pynode", "tag": "0.1.0", "variants": [{"name": "sim", "source": {"local": "./sim"}}]}
    source = make_python_node(tmp_path, manifest=manifest)
    make_python_node(source, "sim", manifest={"name": "pynode", "tag": "0.1.0"})
    shared.ask(sync(source))
    assert (source / ".peppy/generator.version").is_file()
    assert (source / "sim/.peppy/generator.version").is_file()


def test_a_directory_without_manifest_is_refused(shared: LivingDaemon, tmp_path: Path):
    assert shared.refusal(sync(tmp_path)).kind == "DocumentMissing"
