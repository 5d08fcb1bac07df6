"""`peppy node add` at a real daemon (docs/reference/daemon.md, Add)."""

import io
import tarfile
from pathlib import Path

import pytest
import zstandard
from living import LivingDaemon, make_node

from peppy.protocol.frames import NodeAdd


def request(source: Path, *, force: bool = False, variant: str | None = None) -> NodeAdd:
    return NodeAdd(str(source), variant, force, False, 60.0)


def test_an_added_node_is_in_the_stack_with_its_snapshot(shared: LivingDaemon, tmp_path: Path):
    answer = shared.add(make_node(tmp_path, files={"src/a.py": "1"}))
    assert (answer.node, answer.variant, answer.added) == ("echoer:0.1.0", "default", ("echoer:0.1.0",))
    row = shared.node_row("echoer:0.1.0")
    assert (row.stage, row.artifact_path, row.instances) == ("Added", None, ())
    assert Path(row.config_path, "src/a.py").read_text() == "1"
    assert (shared.home / "built_nodes/echoer_0.1.0").resolve() == Path(row.config_path).resolve()


def test_the_log_tells_what_was_copied(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path, files={"a.txt": "abc", "build/b": ""})
    log = Path(shared.add(source).log)
    assert log.name.startswith("echoer_0.1.0_")
    assert "Left out: build" in log.read_text()


def test_a_python_node_gets_its_library_in_the_snapshot(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, language="python"))
    snapshot = Path(shared.node_row("echoer:0.1.0").config_path)
    assert (snapshot / ".peppy/libs/peppygen/peppygen/__init__.py").is_file()
    assert (snapshot / ".peppy/generator.version").is_file()


def test_a_library_of_another_manifest_is_refused(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path, language="python")
    library = source / ".peppy/libs/peppygen"
    library.mkdir(parents=True)
    (library / "peppy.json5.sha256").write_text("0" * 64 + "\n")
    shared.add(source)  # without its stamp it counts as missing
    stamp = Path(shared.node_row("echoer:0.1.0").config_path, ".peppy/generator.version").read_text()
    (source / ".peppy/generator.version").write_text(stamp)
    error = shared.refusal(request(source))
    assert error.kind == "FingerprintMismatch"
    assert "Node config fingerprint mismatch" in error.message
    assert "0" * 64 in error.message
    assert "peppy node sync" in (error.hint or "")


def test_a_library_of_another_generator_is_refused(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path, language="python", files={".peppy/generator.version": "0\n"})
    assert shared.refusal(request(source)).kind == "GeneratorMismatch"


def test_a_container_node_is_refused(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path, execution={"language": "other", "container": {"def_file": "a.def"}})
    assert shared.refusal(request(source)).kind == "ContainerNotSupported"


def test_a_missing_dependency_is_refused(shared: LivingDaemon, tmp_path: Path):
    depends = {"nodes": [{"name": "imu", "tag": "v1", "link_id": "imu"}]}
    assert shared.refusal(request(make_node(tmp_path, depends_on=depends))).kind == "DependencyMissing"
    assert shared.node_row("echoer:0.1.0") is None


def test_a_broken_manifest_is_refused_with_its_place(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path, surplus=1)
    error = shared.refusal(request(source))
    assert error.kind == "UnknownKey"
    assert error.details[0].file == str(source / "peppy.json5")
    assert error.details[0].line == 1


def test_two_nodes_with_one_path_are_refused(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path / "a", "x", tag="y_z"))
    assert shared.refusal(request(make_node(tmp_path / "b", "x_y", tag="z"))).kind == "PathKeyCollision"


def test_a_node_that_closes_a_circle_of_calls_is_refused(shared: LivingDaemon, tmp_path: Path):
    def caller(name: str, callee: str | None) -> Path:
        interfaces: dict[str, object] = {"services": {"exposes": [{"name": "s"}]}}
        if callee is not None:
            interfaces["services"] = {"exposes": [{"name": "s"}], "consumes": [{"link_id": "to", "name": "s"}]}
        slots = [] if callee is None else [{"name": callee, "tag": "0.1.0", "link_id": "to"}]
        return make_node(tmp_path, name, depends_on={"nodes": slots}, interfaces=interfaces)

    shared.add(caller("imu", None))
    shared.add(caller("viewer", "imu"))
    error = shared.refusal(request(caller("imu", "viewer"), force=True))
    assert error.kind == "ServiceActionInterfaceCycle"
    assert "`imu:0.1.0 -> viewer:0.1.0 -> imu:0.1.0`" in error.message


def test_a_service_that_the_provider_lacks_is_named_beside_those_it_has(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, "imu", interfaces={"services": {"exposes": [{"name": "set_zero"}]}}))
    slots = {"nodes": [{"name": "imu", "tag": "0.1.0", "link_id": "imu"}]}
    consumes = {"services": {"consumes": [{"link_id": "imu", "name": "zoom"}]}}
    error = shared.refusal(request(make_node(tmp_path, "viewer", depends_on=slots, interfaces=consumes)))
    assert (error.kind, error.details[0].hint) == ("DependencyNotExposed", "services of `imu:0.1.0`: `set_zero`")


def test_adding_again_takes_the_new_files(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path, files={"a": "old"})
    shared.add(source)
    (source / "a").write_text("new")
    shared.add(source)
    assert Path(shared.node_row("echoer:0.1.0").config_path, "a").read_text() == "new"


def test_a_refused_add_changes_nothing(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path, files={"a": "old"})
    shared.add(source)
    (source / "a").write_text("new")
    (source / "peppy.json5").write_text("{")
    assert shared.refusal(request(source)).kind == "DocumentSyntax"
    assert Path(shared.node_row("echoer:0.1.0").config_path, "a").read_text() == "old"


def test_a_node_that_others_need_is_not_replaced(shared: LivingDaemon, tmp_path: Path):
    provider = make_node(tmp_path, "imu", tag="v1")
    shared.add(provider)
    depends = {"nodes": [{"name": "imu", "tag": "v1", "link_id": "imu"}]}
    shared.add(make_node(tmp_path, "viewer", depends_on=depends))
    error = shared.refusal(request(provider))
    assert error.kind == "Refused"
    assert "`viewer:0.1.0`" in error.message


def test_force_replaces_a_needed_node_whose_interfaces_are_the_same(shared: LivingDaemon, tmp_path: Path):
    provider = make_node(tmp_path, "imu", tag="v1")
    shared.add(provider)
    depends = {"nodes": [{"name": "imu", "tag": "v1", "link_id": "imu"}]}
    shared.add(make_node(tmp_path, "viewer", depends_on=depends))
    shared.add(provider, force=True)
    make_node(tmp_path, "imu", tag="v1", interfaces={"topics": {"emits": [{"name": "t"}]}})
    assert "`interfaces` have changed" in shared.refusal(request(provider, force=True)).message


def test_live_instances_are_not_stopped_without_a_word(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path)
    shared.run(shared.ready(source), "one")
    error = shared.refusal(request(source))
    assert error.kind == "Refused"
    assert "`one`" in error.message
    assert shared.instance_row("one").state == "running"


def test_force_stops_live_instances(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path)
    shared.run(shared.ready(source), "one")
    shared.add(source, force=True)
    row = shared.node_row("echoer:0.1.0")
    assert (row.stage, row.artifact_path, row.instances) == ("Added", None, ())


def test_a_repository_node_is_not_supported_yet(shared: LivingDaemon):
    assert shared.refusal(NodeAdd("https://example.org/a.git", None, False, False, 60.0)).kind == "NotSupported"
    assert shared.refusal(NodeAdd("imu:v1", None, False, False, 60.0)).kind == "NotSupported"


def test_a_path_that_is_no_source_is_refused(shared: LivingDaemon, tmp_path: Path):
    assert shared.refusal(request(tmp_path / "nothing")).kind == "NotFound"


def test_a_variant_gives_its_tree_and_execution(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path)
    manifest = {"name": "echoer", "tag": "0.1.0", "variants": [{"name": "sim", "source": {"local": "./sim"}}]}
    make_node(tmp_path, manifest=manifest)
    make_node(source, "sim", run_cmd=["sim"], manifest=manifest | {"variants": []}, files={"only": ""})
    assert shared.add(source, variant="sim").variant == "sim"
    snapshot = Path(shared.node_row("echoer:0.1.0").config_path)
    assert (snapshot / "only").exists()
    assert '"sim"' in (snapshot / "peppy.json5").read_text()


def test_a_manifest_file_stands_for_its_directory(shared: LivingDaemon, tmp_path: Path):
    assert shared.add(make_node(tmp_path) / "peppy.json5").node == "echoer:0.1.0"


# --- archives --------------------------------------------------------------------------------------------------------


def packed(source: Path, archive: Path, prefix: str = "") -> Path:
    """The files of a source as a `.tar.zst`, below `prefix`."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path in sorted(source.rglob("*")):
            tar.add(path, f"{prefix}{path.relative_to(source)}", recursive=False)
    archive.write_bytes(zstandard.compress(content.getvalue()))
    return archive


@pytest.mark.parametrize("prefix", ["", "echoer-0.1.0/"])
def test_an_archive_is_a_source(shared: LivingDaemon, tmp_path: Path, prefix: str):
    archive = packed(make_node(tmp_path, files={"a/b": "1"}), tmp_path / "node.tar.zst", prefix)
    assert shared.add(archive).node == "echoer:0.1.0"
    assert Path(shared.node_row("echoer:0.1.0").config_path, "a/b").read_text() == "1"
    assert list((shared.home / "tmp").iterdir()) == []


def test_the_library_in_an_archive_is_made_anew(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path, language="python", files={".peppy/generator.version": "0\n"})
    shared.add(packed(source, tmp_path / "node.tar.zst"))
    stamp = Path(shared.node_row("echoer:0.1.0").config_path, ".peppy/generator.version")
    assert stamp.read_text() != "0\n"


def test_an_unsafe_archive_is_refused(shared: LivingDaemon, tmp_path: Path):
    archive = packed(make_node(tmp_path), tmp_path / "node.tar.zst", "../")
    assert "unsafe archive" in shared.refusal(request(archive)).message
    assert list((shared.home / "tmp").iterdir()) == []


def test_a_file_that_is_no_archive_is_refused(shared: LivingDaemon, tmp_path: Path):
    (tmp_path / "node.tar.zst").write_bytes(b"x" * 100)
    assert shared.refusal(request(tmp_path / "node.tar.zst")).kind == "Refused"
