"""docs/reference/daemon.md, State and recovery."""

import asyncio
import threading

import pytest

from daemon.entries import WHEELS, instance, node
from peppy.daemon.registry import Artifact, Registry
from peppy.daemon.stack_state import StateKeeper, boot_id, described, restored_instance, restored_node
from peppy.errors import PeppyError
from peppy.manifest.interface import parse_interface
from peppy.model.lifecycle import Stage, State
from peppy.model.node import Language
from peppy.process.records import Pids, ProcessId
from peppy.protocol.answers import Exit, SlotBinding


def full_registry() -> Registry:
    registry = Registry("core")
    entry = registry.put_node(node(stage=Stage.READY))
    entry.artifact = Artifact("d" * 64, "0.1.0", "abc")
    entry.add_log, entry.build_log = "/a", "/b"
    text = '{ peppy_schema: "interface_v1", manifest: { name: "drive", tag: "v1" } } // caf\u00e9'
    drive = parse_interface(text.encode(), "the interface document of a node")
    entry.interfaces = {drive.interface.reference: drive}
    live = instance("live", 4, State.RUNNING)
    live.pids = Pids(ProcessId(10, 11), ProcessId(12, 13))
    live.arguments = {"rate": 2.0}
    live.slot_bindings = {"left": SlotBinding("pinned", "i1"), "rest": SlotBinding("from_any_bound", None, ("a", "b"))}
    live.variables = ("PATH",)
    ended = instance("ended", 3, State.FAILED)
    ended.exit = Exit(None, "SIGKILL", "2026-01-01T00:00:00.000+00:00", True)
    for entry in (live, ended):
        registry.put_instance(entry)
    return registry


def test_what_is_written_comes_back():
    registry = full_registry()
    stack = described(registry, "boot")
    (record,) = stack.nodes
    restored = restored_node(record, registry.nodes[WHEELS].manifest)
    assert [getattr(restored, name) for name in restored.__slots__] == [
        getattr(registry.nodes[WHEELS], name) for name in restored.__slots__
    ]
    for record in stack.instances:
        before = registry.instances[record.instance_id]
        after = restored_instance(record, WHEELS, Language.OTHER)
        assert [getattr(after, name) for name in after.__slots__] == [
            getattr(before, name) for name in before.__slots__
        ]


@pytest.mark.parametrize(("artifact", "stage"), [(None, Stage.ADDED), (Artifact("d", "v", "h"), Stage.READY)])
def test_a_node_that_was_being_built_is_where_it_was_before(artifact: Artifact | None, stage: Stage):
    registry = Registry("core")
    entry = registry.put_node(node(stage=Stage.BUILDING))
    entry.artifact = artifact
    (record,) = described(registry, "boot").nodes
    assert restored_node(record, entry.manifest).stage is stage


def test_the_boot_is_the_same_for_everybody():
    assert boot_id() == boot_id() != ""


def test_changes_that_come_while_one_is_written_are_written_together():
    written: list[int] = []
    first, gate = threading.Event(), threading.Event()
    changes: list[int] = []

    def write(count: int) -> None:
        written.append(count)
        first.set()
        gate.wait(30)

    async def run() -> None:
        keeper = StateKeeper(lambda: len(changes), write)
        tasks: list[asyncio.Task[None]] = []
        for change in range(5):
            changes.append(change)
            tasks.append(asyncio.create_task(keeper.save()))
            await asyncio.to_thread(first.wait, 30)
        gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert written == [1, 5]


def test_a_write_that_fails_is_told_and_the_next_one_is_tried():
    broken = [True]

    def write(_: int) -> None:
        if broken[0]:
            raise PeppyError("full")

    async def run() -> None:
        keeper = StateKeeper(lambda: 0, write)
        with pytest.raises(PeppyError):
            await keeper.save()
        broken[0] = False
        await keeper.save()

    asyncio.run(run())
