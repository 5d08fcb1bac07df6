"""`peppy node add` of a local directory, manifest or archive (docs/reference/daemon.md, Add)."""

import contextlib
import secrets
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from peppy.daemon import library
from peppy.daemon.core import Core
from peppy.daemon.files import link_snapshot, remove_artifact
from peppy.daemon.gate import Hold
from peppy.daemon.handlers.remove import live_instances
from peppy.daemon.logs import OperationLog
from peppy.daemon.operation import Operation, in_thread, to_the_end
from peppy.daemon.refusals import refuse_container
from peppy.daemon.registry import Node
from peppy.daemon.sources import Source, open_source
from peppy.errors import InvalidInput, PeppyError
from peppy.faults import fault
from peppy.gen.package import Tree
from peppy.graph.assemble import check_add, dependents, interfaces_unchanged
from peppy.manifest.files import MANIFEST_FILE
from peppy.manifest.interface import InterfaceDocument
from peppy.manifest.node import read_node
from peppy.manifest.variants import EffectiveManifest, select_variant
from peppy.model.interface import Interface
from peppy.model.lifecycle import Stage
from peppy.model.names import Reference
from peppy.process.logs import log_name
from peppy.protocol.answers import Added
from peppy.protocol.frames import NodeAdd
from peppy.store.atomic import storage_errors, write_file
from peppy.store.repository_index import ResolvedInterfaces, resolve_interfaces
from peppy.store.staging import (
    Contents,
    check_space,
    copy_contents,
    install_snapshot,
    new_snapshot,
    survey,
    sync_snapshot,
)
from peppy.store.wheel import packed_wheel


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that may be added: what it is, where it comes from, and its generated library (None: it has none)."""

    effective: EffectiveManifest
    interfaces: ResolvedInterfaces
    source: Source
    contents: Contents
    tree: Tree | None


async def handle(core: Core, request: NodeAdd, operation: Operation) -> Added:
    """Takes the snapshot; nothing of the stack changes before every check has passed."""
    with _log(core) as log:
        log.line(f"Adding node from {request.source}")
        try:
            async with operation.limits("add", request.timeout_secs, core.idle_secs):
                return await _add(core, request, operation, log)
        except PeppyError as error:
            log.line(f"{error.kind}: {error}", "error")
            raise


@contextmanager
def _log(core: Core) -> Generator[OperationLog]:
    """The log of an add, under a random name until name and tag are known."""
    path = core.root.add_logs / log_name(secrets.token_hex(4))
    with storage_errors("write", path), OperationLog(path) as log:
        yield log


async def _add(core: Core, request: NodeAdd, operation: Operation, log: OperationLog) -> Added:
    with open_source(core.root, request.source) as source:
        effective, interfaces = await in_thread(_read, core, source, request.variant)
        reference = effective.manifest.reference
        log.rename(core.root.add_logs / log_name(reference.path_key))
        with core.gate.alone(reference, Hold("add", request.timeout_secs, operation.cancel)):
            refuse_container(effective.manifest)
            _check_stack(core, effective, interfaces)
            _check_replaced(core, effective, interfaces, request)
            candidate = await in_thread(_examine, core, effective, interfaces, source)
            await _install(core, candidate, log)
    _note(candidate, log)
    return Added(
        node=str(reference),
        variant=effective.variant,
        log=str(log.path),
        added=(str(reference),),
        warnings=_warnings(candidate),
    )


# --- checks ----------------------------------------------------------------------------------------------------------


def _read(core: Core, source: Source, variant: str | None) -> tuple[EffectiveManifest, ResolvedInterfaces]:
    effective = select_variant(read_node(source.directory), source.directory, variant)
    return effective, resolve_interfaces(core.root, effective.manifest)


def _check_stack(core: Core, effective: EffectiveManifest, interfaces: ResolvedInterfaces) -> None:
    if core.registry.is_core(effective.manifest.reference):
        raise PeppyError(f"`{effective.manifest.reference}` has the name of the core node", kind="Refused")
    manifest = effective.manifest
    problems = check_add(manifest, core.registry.manifests(), interfaces.checked_with(core.registry.interfaces()))
    if problems:
        raise InvalidInput(problems)


def _check_replaced(core: Core, effective: EffectiveManifest, interfaces: ResolvedInterfaces, request: NodeAdd) -> None:
    """An add in the place of a node: its dependents and its live instances may forbid it."""
    reference = effective.manifest.reference
    former = core.registry.nodes.get(reference)
    if former is None:
        return
    others = ", ".join(f"`{other}`" for other in dependents(reference, core.registry.manifests()))
    if others and not request.force:
        raise PeppyError(f"`{reference}` is needed by {others}", kind="Refused", hint="use `--force`")
    before, now = _read_interfaces(former.interfaces), _read_interfaces(interfaces.documents)
    if others and not interfaces_unchanged(former.manifest, effective.manifest, before, now):
        raise PeppyError(
            f"`{reference}` is needed by {others}, and its `interfaces` have changed",
            kind="Refused",
            hint="give the changed node another tag, or remove those first",
        )
    live = core.registry.live_instances(reference)
    if live and not request.force and not request.stop_instances:
        raise live_instances(former, [instance.instance_id for instance in live], "--force")


def _read_interfaces(documents: Mapping[Reference, InterfaceDocument]) -> dict[Reference, Interface]:
    return {reference: document.interface for reference, document in documents.items()}


def _examine(core: Core, effective: EffectiveManifest, interfaces: ResolvedInterfaces, source: Source) -> Candidate:
    """Reads the source: its library must fit the manifest, its files must fit the disk."""
    tree = None
    if library.has_library(effective.manifest):
        wheel = packed_wheel(core.root)
        stack, documents = core.registry.manifests(), interfaces.documents
        tree = library.generated(effective.manifest, stack, documents, sha256=effective.sha256, wheel=wheel)
        if source.local:
            library.check_library(effective.directory, tree, effective.sha256)
    contents = survey(effective.directory, outside=core.root.path)
    check_space(contents.size, core.root.snapshots)
    return Candidate(effective, interfaces, source, contents, tree)


# --- effects ---------------------------------------------------------------------------------------------------------


async def _install(core: Core, candidate: Candidate, log: OperationLog) -> None:
    reference = candidate.effective.manifest.reference
    with new_snapshot(core.root.snapshots, reference.path_key) as snapshot:
        await in_thread(_copy, candidate, snapshot)
        fault("add.copied")
        live = core.registry.live_instances(reference)
        await core.supervisor.stop(live, f"`peppy node add` of `{reference}`")
        fault("add.stopped")
        node = Node(
            reference=reference,
            manifest=candidate.effective.manifest,
            variant=candidate.effective.variant,
            stage=Stage.ADDED,
            source=candidate.source.name,
            config_sha256=candidate.effective.sha256,
            add_log=str(log.path),
            interfaces=candidate.interfaces.documents,
            staged=snapshot.name,
        )
        await to_the_end(_put(core, node, snapshot))


async def _put(core: Core, node: Node, snapshot: Path) -> None:
    """The saved state decides: until then the old node is whole, from then on whoever starts next finishes this."""
    reference = node.reference
    former = core.registry.nodes.get(reference)
    core.registry.put_node(node)
    try:
        await core.save()
        fault("add.recorded")
        await in_thread(install_snapshot, snapshot, core.root.snapshot(reference))
    except PeppyError:
        _put_back(core, reference, former)
        with contextlib.suppress(PeppyError):  # the first error says why
            await core.save()
        raise
    node.staged = None
    fault("add.installed")
    await in_thread(remove_artifact, core.root, reference)
    await in_thread(link_snapshot, core.root, reference)
    await core.drop_records(core.registry.instances_of(reference))
    if former is not None and former.artifact is not None:
        await core.drop_extracted(former.artifact)
    fault("add.cleaned")


def _put_back(core: Core, reference: Reference, former: Node | None) -> None:
    if former is None:
        core.registry.drop_node(reference)
    else:
        core.registry.restore_node(former)


def _copy(candidate: Candidate, snapshot: Path) -> None:
    effective = candidate.effective
    copy_contents(effective.directory, candidate.contents, snapshot)
    manifest = snapshot / MANIFEST_FILE
    if manifest.read_bytes() != effective.raw:
        write_file(manifest, effective.raw, mode=0o644)
    if candidate.tree is not None:
        library.write(candidate.tree, snapshot)
    sync_snapshot(snapshot)


def _warnings(candidate: Candidate) -> tuple[str, ...]:
    warnings: list[str] = []
    if candidate.contents.skipped:
        warnings.append(f"{candidate.contents.skipped} symbolic links and special files were not copied")
    return tuple(warnings)


def _note(candidate: Candidate, log: OperationLog) -> None:
    contents = candidate.contents
    with contextlib.suppress(OSError):  # the node is in the stack: a disk that is full now does not undo that
        log.line(f"Copied {len(contents.files)} files, {contents.size} bytes")
        if contents.left_out:
            log.line(f"Left out: {', '.join(contents.left_out)}")
        for warning in _warnings(candidate):
            log.line(warning, "warning")
        log.line(f"Added node {candidate.effective.manifest.reference} to the node stack")
