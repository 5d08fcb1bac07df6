"""docs/reference/daemon.md, State and recovery: `state/stack.json`."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from peppy.errors import PeppyError
from peppy.model.lifecycle import Stage, State
from peppy.store.root import DataRoot
from peppy.store.state import (
    ArtifactRecord,
    BindingRecord,
    ExitRecord,
    InstanceRecord,
    Loaded,
    NodeRecord,
    ProcessRecord,
    StackFile,
    load_stack,
    save_stack,
)

from .disks import fill, needs_root, small_disk

NODE = NodeRecord(
    name="wheels",
    tag="0.2.0",
    variant="default",
    stage=Stage.READY,
    source="/home/ada/wheels",
    config_sha256="ab" * 32,
    generation=3,
    artifact=ArtifactRecord("cd" * 32, "0.1.0", "0123456789ab"),
    add_log="/logs/add",
)
INSTANCE = InstanceRecord(
    instance_id="left",
    node="wheels:0.2.0",
    state=State.FAILED,
    order=7,
    started_at=1795288998.5,
    log="/logs/run/left.log",
    arguments={"speed": 1.5, "video": {"width": 640}},
    slot_bindings={"camera": BindingRecord("pinned", "front")},
    variables=("SPEED",),
    shim=ProcessRecord(10, 100),
    child=ProcessRecord(11, 101),
    exit=ExitRecord(None, "SIGKILL", "2026-11-03T13:59:04.507+01:00", killed=True),
)
STACK = StackFile(1, "boot", "core-node-brave-hopper-1234", (NODE,), (INSTANCE,))


def other(name: str) -> StackFile:
    return StackFile(1, "boot", name)


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    root = DataRoot(tmp_path / "home")
    root.create()
    return root


def test_what_is_saved_is_loaded(root: DataRoot):
    save_stack(root, STACK)
    assert load_stack(root) == Loaded(STACK)


def test_a_missing_file_is_no_stack(root: DataRoot):
    assert load_stack(root) == Loaded(None)


def test_the_previous_version_is_kept(root: DataRoot):
    for name in ("first", "second", "third"):
        save_stack(root, other(name))
    assert json.loads(root.state_backup.read_bytes())["core_node_name"] == "second"


def test_only_state_and_backup_are_left(root: DataRoot):
    save_stack(root, STACK)
    save_stack(root, STACK)
    assert sorted(root.state.parent.iterdir()) == [root.state, root.state_backup]


def test_a_backup_that_is_the_state_itself_is_left_under_one_name(root: DataRoot):
    save_stack(root, other("first"))
    root.state_backup.hardlink_to(root.state)  # as a process leaves it that is killed between backup and state
    save_stack(root, other("second"))
    assert sorted(root.state.parent.iterdir()) == [root.state, root.state_backup]
    assert json.loads(root.state_backup.read_bytes())["core_node_name"] == "first"


@pytest.mark.parametrize("name", ["..", "../x", ".x/y", "x", ""])
def test_the_name_of_a_staged_snapshot_leads_nowhere_else(root: DataRoot, name: str):
    save_stack(root, STACK)
    text = json.loads(root.state.read_bytes())
    text["nodes"][0]["staged"] = name
    root.state.write_text(json.dumps(text))
    loaded = load_stack(root)
    assert loaded.stack is None
    assert "damaged" in loaded.warnings[0]


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"version": "1"}', b'{"version": 1}', b"[" * 100_000],
)
def test_a_damaged_file_is_kept_and_the_backup_is_used(root: DataRoot, damage: bytes):
    save_stack(root, other("first"))
    save_stack(root, other("second"))
    root.state.write_bytes(damage)
    loaded = load_stack(root, datetime(2026, 11, 3, 13, 59, 4, 507_000))
    assert loaded.stack == other("first")
    assert len(loaded.warnings) == 1
    assert (root.state.parent / "stack.json.corrupt-20261103_135904_507").read_bytes() == damage
    assert load_stack(root) == Loaded(other("first"))


def test_a_damaged_file_without_good_backup_gives_an_empty_stack(root: DataRoot):
    root.state.write_bytes(b"{")
    root.state_backup.write_bytes(b"{")
    loaded = load_stack(root)
    assert loaded.stack is None
    assert "damaged" in loaded.warnings[0]
    assert load_stack(root) == Loaded(None)


@pytest.mark.parametrize("name", ["state", "state_backup"])
def test_a_newer_version_is_refused_and_untouched(root: DataRoot, name: str):
    save_stack(root, STACK)
    save_stack(root, STACK)
    newer = b'{"version": 2, "what": "ever"}'
    if name == "state_backup":
        root.state.write_bytes(b"{")
    getattr(root, name).write_bytes(newer)
    before = {path: path.read_bytes() for path in root.state.parent.iterdir()}
    with pytest.raises(PeppyError, match="version `2`"):
        load_stack(root)
    assert {path: path.read_bytes() for path in root.state.parent.iterdir()} == before


def test_unknown_fields_of_the_same_version_are_ignored(root: DataRoot):
    save_stack(root, STACK)
    text = json.loads(root.state.read_bytes())
    text["nodes"][0]["colour"] = "red"
    root.state.write_text(json.dumps(text))
    assert load_stack(root) == Loaded(STACK)


def test_the_first_state_file_loads_for_ever(root: DataRoot):
    golden = Path(__file__).parents[2] / "golden" / "state" / "stack-1.json"
    root.state.write_bytes(golden.read_bytes())
    assert load_stack(root) == Loaded(STACK)


@needs_root
def test_a_full_disk_leaves_the_old_state(tmp_path: Path):
    with small_disk(tmp_path, "256k") as disk:
        root = DataRoot(disk)
        root.create()
        save_stack(root, STACK)
        fill(disk)
        large = StackFile(1, "boot", "x", tuple(NODE for _ in range(1000)))
        with pytest.raises(PeppyError, match="No space left on device") as failed:
            save_stack(root, large)
        assert load_stack(root) == Loaded(STACK)
    assert f"`{root.state}`" in failed.value.message
