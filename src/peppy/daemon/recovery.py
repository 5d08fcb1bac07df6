"""What a daemon finds of the one before it (docs/reference/daemon.md, State and recovery)."""

import asyncio
import logging
from pathlib import Path

import msgspec

from peppy.daemon.core import Core
from peppy.daemon.endings import exit_of
from peppy.daemon.files import link_snapshot, remove_instance
from peppy.daemon.instance_process import Process
from peppy.daemon.operation import in_thread
from peppy.daemon.registry import Instance, Node
from peppy.daemon.stack_state import boot_id, restored_instance, restored_node
from peppy.errors import PeppyError
from peppy.manifest.node import read_node
from peppy.model.lifecycle import Stage, State
from peppy.model.names import Reference
from peppy.model.node import Execution, Language, NodeManifest
from peppy.process.records import read_exit
from peppy.process.watch import adopt
from peppy.store.archive import check_digest
from peppy.store.artifacts import finish_artifact, remove_extracted_but
from peppy.store.atomic import remove_unfinished, storage_errors
from peppy.store.copying import remove_tree
from peppy.store.staging import install_snapshot
from peppy.store.state import InstanceRecord, NodeRecord, StackFile, load_stack
from peppy.store.wheel import remove_wheels

logger = logging.getLogger(__name__)


async def recover(core: Core) -> list[asyncio.Task[None]]:
    """Restores the stack; the tasks finish what was being started or stopped. Nothing is ever restarted by itself.

    Raises PeppyError when the state file is of a newer peppy.
    """
    loaded = await in_thread(load_stack, core.root)
    for warning in loaded.warnings:
        logger.warning("%s", warning)
    tasks: list[asyncio.Task[None]] = []
    await _end_builds(core)
    if loaded.stack is not None:
        for record in loaded.stack.nodes:
            core.registry.restore_node(await in_thread(_node, core, record))
        tasks = [task for record in loaded.stack.instances for task in await _instance(core, loaded.stack, record)]
    await _remove_leftovers(core)
    if loaded.stack is not None and not loaded.warnings:
        await in_thread(_remove_artifacts, core, loaded.stack)
    await core.save()
    return tasks


# --- nodes -----------------------------------------------------------------------------------------------------------


async def _end_builds(core: Core) -> None:
    """A build whose daemon has gone cannot be finished."""
    for directory in list(core.root.run_builds.iterdir()):
        await _end_shim(directory)


async def _end_shim(directory: Path) -> None:
    shim = adopt(directory)
    if shim is not None:
        shim.terminate()
        await shim.end()
        shim.close()


def _node(core: Core, record: NodeRecord) -> Node:
    reference = Reference(record.name, record.tag)
    snapshot = core.root.snapshot(reference)
    if record.staged is not None:
        record = _finish_add(core, record, snapshot)
    try:
        manifest = read_node(snapshot).manifest
    except PeppyError as error:
        logger.warning("`%s` has no staged snapshot any more: %s", reference, error.message)
        unknown = msgspec.structs.replace(record, interfaces=())
        node = restored_node(unknown, NodeManifest(reference, Execution(Language.OTHER)))
        return _added(node)
    try:
        node = restored_node(record, manifest)
    except PeppyError as error:
        logger.warning("`%s` has lost its interfaces, add it again: %s", reference, error.message)
        node = restored_node(msgspec.structs.replace(record, interfaces=()), manifest)
    if node.stage is Stage.READY and not _artifact_is_whole(core, node):
        return _added(node)
    return node


def _finish_add(core: Core, record: NodeRecord, snapshot: Path) -> NodeRecord:
    """The state names a snapshot that its daemon may not have put in its place."""
    staged = core.root.snapshots / str(record.staged)
    if staged.is_dir():
        install_snapshot(staged, snapshot)
    return msgspec.structs.replace(record, staged=None)


def _artifact_is_whole(core: Core, node: Node) -> bool:
    if node.artifact is None:
        return False
    archive, unfinished = core.root.artifact(node.reference), core.root.unfinished_artifact(node.reference)
    finish_artifact(unfinished, archive, node.artifact.digest)
    try:
        check_digest(archive, node.artifact.digest)
    except PeppyError as error:
        logger.warning("`%s` has to be built again: %s", node.reference, error.message)
        return False
    return True


def _added(node: Node) -> Node:
    node.stage, node.artifact = Stage.ADDED, None
    return node


# --- instances -------------------------------------------------------------------------------------------------------


async def _instance(core: Core, stack: StackFile, record: InstanceRecord) -> list[asyncio.Task[None]]:
    """Restores one instance; what is still to be done for it."""
    reference = Reference.parse(record.node)
    node = core.registry.nodes.get(reference) if reference else None
    if node is None or node.manifest.execution is None:
        logger.warning("instance `%s` of `%s`, which is not in the stack, is dropped", record.instance_id, record.node)
        return []
    instance = restored_instance(record, node.reference, node.manifest.execution.language)
    core.registry.put_instance(instance)
    if not instance.live:
        if instance.state is State.FINISHED:
            await in_thread(remove_instance, core.root, instance.instance_id)
        return []
    directory = core.root.run_instance(instance.instance_id)
    shim = adopt(directory) if stack.boot_id == boot_id() else None
    if shim is None:
        await _ended_meanwhile(core, instance, directory)
        return []
    instance.pids = shim.pids
    instance.healthy = instance.state is State.RUNNING and not instance.must_connect
    logger.info("instance `%s` of `%s` lives on (%s)", instance.instance_id, instance.reference, instance.state)
    process = core.supervisor.adopt(instance, shim)
    if instance.state is State.STARTING:
        return [asyncio.create_task(_finish_start(core, process))]
    if instance.state is State.STOPPING:
        return [asyncio.create_task(_finish_stop(core, instance))]
    return []


async def _ended_meanwhile(core: Core, instance: Instance, directory: Path) -> None:
    record = read_exit(directory)
    asked, up = instance.state is State.STOPPING, instance.state is not State.STARTING
    done = instance.state is State.RUNNING and record is not None and record.status == 0
    core.registry.set_state(instance, State.FINISHED if asked or done else State.FAILED, exit_of(record))
    logger.info("instance `%s` of `%s` ended meanwhile (%s)", instance.instance_id, instance.reference, instance.state)
    if instance.state is State.FINISHED or not up:  # a shim that is slow to start ends when its directory is gone
        await in_thread(remove_instance, core.root, instance.instance_id)


async def _finish_start(core: Core, process: Process) -> None:
    try:
        await core.supervisor.wait_until_running(process)
        await core.save()
    except PeppyError as error:
        logger.warning("%s", error.message)
        await core.supervisor.fail_start(process)


async def _finish_stop(core: Core, instance: Instance) -> None:
    try:
        await core.supervisor.stop([instance], "the daemon was asked to before it was started again")
    except PeppyError as error:
        logger.error("%s", error.message)


# --- leftovers -------------------------------------------------------------------------------------------------------


async def _remove_leftovers(core: Core) -> None:
    """What belongs to nobody goes; archives and logs stay."""
    keys = {reference.path_key for reference in core.registry.nodes}
    ids = set(core.registry.instances)
    for directory, known in (
        (core.root.run_instances, ids),
        (core.root.instances, ids),
        (core.root.snapshots, keys),
        (core.root.run_builds, set[str]()),
        (core.root.temporary, set[str]()),
    ):
        for path in [path for path in directory.iterdir() if path.name not in known]:
            await _end_shim(path)
            with storage_errors("delete", path):
                await in_thread(remove_tree, path)
    artifacts = [node.artifact for node in core.registry.nodes.values() if node.artifact is not None]
    await in_thread(remove_wheels, core.root, keep=[artifact.runtime_hash for artifact in artifacts])
    await in_thread(remove_extracted_but, core.root, {artifact.digest for artifact in artifacts})
    for directory in (core.root.state.parent, core.root.built_nodes, core.root.wheels):
        await in_thread(remove_unfinished, directory)


def _remove_artifacts(core: Core, stack: StackFile) -> None:
    """Archives and links of nodes that the state, which was whole, does not know, or knows as not built."""
    known: set[str] = set()
    for record in stack.nodes:
        reference = Reference(record.name, record.tag)
        link_snapshot(core.root, reference)
        known.add(core.root.built_link(reference).name)
        if record.artifact is not None:
            known.add(core.root.artifact(reference).name)
    for path in [path for path in core.root.built_nodes.iterdir() if path.name not in known]:
        with storage_errors("delete", path):
            remove_tree(path)
