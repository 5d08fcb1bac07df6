"""The stack as `state/stack.json` holds it, written after every change (docs/reference/daemon.md, State)."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from peppy.daemon.operation import in_thread
from peppy.daemon.registry import Artifact, Instance, Node, Registry
from peppy.manifest.interface import InterfaceDocument, parse_interface
from peppy.model.lifecycle import Stage
from peppy.model.names import Reference
from peppy.model.node import Language, NodeManifest
from peppy.process.records import Pids, ProcessId
from peppy.protocol.answers import Exit, SlotBinding
from peppy.store.state import (
    VERSION,
    ArtifactRecord,
    BindingRecord,
    ExitRecord,
    InstanceRecord,
    NodeRecord,
    ProcessRecord,
    StackFile,
)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

State = TypeVar("State")


class StateKeeper(Generic[State]):
    """Writes in a thread, one after the other; changes that come while one is written are written together."""

    def __init__(self, describe: Callable[[], State], write: Callable[[State], None]) -> None:
        """`describe` tells the state as it is now, `write` puts one on the disk or raises PeppyError."""
        self._describe = describe
        self._write = write
        self._turn = asyncio.Lock()
        self._changes = 0
        self._written = 0

    async def save(self) -> None:
        """Returns when the state as it is now, or a later one, is on the disk; PeppyError when it cannot be."""
        self._changes += 1
        change = self._changes
        async with self._turn:
            if self._written >= change:
                return
            latest = self._changes
            await in_thread(self._write, self._describe())
            self._written = latest


def boot_id() -> str:
    """Which boot of the machine this is: pids and start times mean nothing in another one."""
    return _BOOT_ID.read_text().strip()


# --- to the file -----------------------------------------------------------------------------------------------------


def described(registry: Registry, boot: str) -> StackFile:
    """The whole stack as it is now."""
    return StackFile(
        version=VERSION,
        boot_id=boot,
        core_node_name=registry.core_node_name,
        nodes=tuple(_node_record(node) for node in registry.nodes.values()),
        instances=tuple(_instance_record(instance) for instance in registry.instances.values()),
    )


def _node_record(node: Node) -> NodeRecord:
    artifact = node.artifact
    return NodeRecord(
        name=node.reference.name,
        tag=node.reference.tag,
        variant=node.variant,
        stage=node.stage,
        source=node.source,
        config_sha256=node.config_sha256,
        generation=node.generation,
        artifact=artifact and ArtifactRecord(artifact.digest, artifact.runtime_version, artifact.runtime_hash),
        add_log=node.add_log,
        build_log=node.build_log,
        interfaces=tuple(document.raw.decode() for document in node.interfaces.values()),
        staged=node.staged,
    )


def _instance_record(instance: Instance) -> InstanceRecord:
    pids, ended = instance.pids, instance.exit
    return InstanceRecord(
        instance_id=instance.instance_id,
        node=str(instance.reference),
        state=instance.state,
        order=instance.order,
        started_at=instance.started_at,
        log=instance.log,
        arguments=instance.arguments,
        slot_bindings={
            link_id: BindingRecord(bound.kind, bound.producer_instance_id, bound.producer_instance_ids)
            for link_id, bound in instance.slot_bindings.items()
        },
        variables=instance.variables,
        shim=pids and ProcessRecord(pids.shim.pid, pids.shim.start),
        child=pids and ProcessRecord(pids.child.pid, pids.child.start),
        exit=ended and ExitRecord(ended.status, ended.signal, ended.time, ended.killed),
    )


# --- from the file ---------------------------------------------------------------------------------------------------


def restored_node(record: NodeRecord, manifest: NodeManifest) -> Node:
    """A node as it was written; one that was being built is where it was before.

    Raises InvalidInput for an interface document that is not valid (any more).
    """
    artifact = record.artifact
    stage = record.stage
    if stage is Stage.BUILDING:
        stage = Stage.READY if artifact is not None else Stage.ADDED
    return Node(
        reference=Reference(record.name, record.tag),
        manifest=manifest,
        variant=record.variant,
        stage=stage,
        source=record.source,
        config_sha256=record.config_sha256,
        generation=record.generation,
        artifact=artifact and Artifact(artifact.digest, artifact.runtime_version, artifact.runtime_hash),
        add_log=record.add_log,
        build_log=record.build_log,
        interfaces={document.interface.reference: document for document in map(_interface, record.interfaces)},
        staged=record.staged,
    )


def _interface(text: str) -> InterfaceDocument:
    return parse_interface(text.encode(), "the interface document of a node")


def restored_instance(record: InstanceRecord, reference: Reference, language: Language) -> Instance:
    """An instance as it was written."""
    ended = record.exit
    return Instance(
        instance_id=record.instance_id,
        reference=reference,
        language=language,
        order=record.order,
        started_at=record.started_at,
        log=record.log,
        arguments=record.arguments,
        slot_bindings={
            link_id: SlotBinding(**msgspec.structs.asdict(bound)) for link_id, bound in record.slot_bindings.items()
        },
        variables=record.variables,
        state=record.state,
        pids=_pids(record),
        exit=ended and Exit(ended.status, ended.signal, ended.time, ended.killed),
    )


def _pids(record: InstanceRecord) -> Pids | None:
    if record.shim is None or record.child is None:
        return None
    shim, child = record.shim, record.child
    return Pids(ProcessId(shim.pid, shim.start), ProcessId(child.pid, child.start))
