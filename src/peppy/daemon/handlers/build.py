"""`peppy node build` (docs/reference/daemon.md, Build)."""

import asyncio
import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from peppy.daemon import library
from peppy.daemon.core import Core
from peppy.daemon.gate import BUILD, Hold
from peppy.daemon.logs import OperationLog
from peppy.daemon.operation import Operation, in_thread, to_the_end
from peppy.daemon.references import known_node
from peppy.daemon.refusals import refuse_container
from peppy.daemon.registry import Artifact, Node
from peppy.errors import PeppyError
from peppy.faults import fault
from peppy.model.lifecycle import Stage
from peppy.model.node import Execution
from peppy.process.environment import build_environment, expand_command
from peppy.process.follow import follow
from peppy.process.logs import ERROR_LINES, log_name, read_log
from peppy.process.records import Exit
from peppy.process.spawn import Start, header, start_shim
from peppy.process.watch import Shim
from peppy.protocol.answers import Built
from peppy.protocol.frames import NodeBuild
from peppy.store.archive import pack_artifact
from peppy.store.artifacts import extracted_artifact, install_artifact
from peppy.store.wheel import installed_runtime, packed_wheel

NOT_FOUND_STATUS = 127


async def handle(core: Core, request: NodeBuild, operation: Operation) -> Built:
    """Builds an added node; with `force` also a Ready one, in the place of a build that runs."""
    node = known_node(core.registry, request.node)
    if request.if_needed:
        await core.gate.build_ended(node.reference)
        node = known_node(core.registry, request.node)
        if node.stage is Stage.READY:
            return Built(str(node.reference), None, str(core.root.artifact(node.reference)), skipped=True)
    if request.force:
        await _end_running_build(core, node)
    hold = Hold(BUILD, request.timeout_secs, operation.cancel)
    with core.gate.alone(node.reference, hold):
        async with operation.limits("build", request.timeout_secs, core.idle_secs):
            return await _build(core, node, request, operation)


async def _end_running_build(core: Core, node: Node) -> None:
    holder = core.gate.holder(node.reference)
    if holder is not None and holder.operation == BUILD:
        holder.cancel()
        await core.gate.build_ended(node.reference)


async def _build(core: Core, node: Node, request: NodeBuild, operation: Operation) -> Built:
    execution = _check_buildable(core, node, request.force)
    environment = build_environment(
        request.environment, data_root=core.root.path, node=node.reference, language=execution.language
    )
    before, former_log = node.stage, node.build_log
    log = core.root.build_logs / log_name(node.reference.path_key)
    node.build_log = str(log)
    core.registry.set_stage(node, Stage.BUILDING)
    try:
        await core.save()
        fault("build.begun")
        await in_thread(_renew_library, core, node)
        await _run_command(core, node, execution, environment, log, operation)
        fault("build.command_ended")
        artifact = await in_thread(_pack, core, node)
        await to_the_end(_install(core, node, artifact))
    except BaseException:
        core.registry.set_stage(node, before)
        if not log.exists():
            node.build_log = former_log
        with contextlib.suppress(PeppyError):  # the first error says why; the state is saved with the next change
            await asyncio.shield(core.save())
        raise
    finally:
        with contextlib.suppress(OSError):
            core.root.unfinished_artifact(node.reference).unlink(missing_ok=True)
    return Built(str(node.reference), str(log), str(core.root.artifact(node.reference)))


def _check_buildable(core: Core, node: Node, force: bool) -> Execution:
    execution = node.manifest.execution
    assert execution is not None
    refuse_container(node.manifest)
    if node.stage is not Stage.ADDED and not force:
        raise PeppyError(
            f"`{node.reference}` is in stage `{node.stage}`; cannot build", kind="Refused", hint="use `--force`"
        )
    if not core.root.snapshot(node.reference).is_dir():
        raise PeppyError(
            f"`{node.reference}` has no staged snapshot", kind="NotFound", hint="add it again with `peppy node add`"
        )
    return execution


async def _run_command(
    core: Core, node: Node, execution: Execution, environment: Mapping[str, str], log: Path, operation: Operation
) -> None:
    if execution.build_cmd is None:
        with OperationLog(log) as written:
            written.line("No build_cmd: the snapshot is archived as it is")
        return
    command = _command(execution.build_cmd, environment)
    directory = core.root.run_build(node.reference)
    await in_thread(_fresh_directory, directory)
    try:
        await _supervise(node, _start(core, node, command, environment, log), operation)
    finally:
        await in_thread(shutil.rmtree, directory, ignore_errors=True)


def _command(declared: tuple[str, ...], environment: Mapping[str, str]) -> tuple[str, ...]:
    """One element is for a shell, which replaces variables itself."""
    return ("sh", "-c", *declared) if len(declared) == 1 else expand_command(declared, environment)


def _start(core: Core, node: Node, command: tuple[str, ...], environment: Mapping[str, str], log: Path) -> Start:
    snapshot = core.root.snapshot(node.reference)
    return Start(
        command=command,
        environment={**environment, "PWD": str(snapshot)},
        working_directory=snapshot,
        directory=core.root.run_build(node.reference),
        log=log,
        header=header("build_cmd", command, snapshot),
        max_bytes=core.configuration.whole("logs.max_bytes"),
        keep=core.configuration.whole("logs.keep"),
        open_files=core.open_files,
    )


async def _supervise(node: Node, start: Start, operation: Operation) -> None:
    """Runs the command to its end and shows its output meanwhile; a cancelled one ends with all its processes."""
    shim = await start_shim(start)
    ended = asyncio.Event()
    shown = asyncio.create_task(_show(start.log, ended, operation))
    try:
        record = await _wait(shim)
    finally:
        ended.set()
        with contextlib.suppress(asyncio.CancelledError):
            await shown
        shim.close()
    if record is None or record.status != 0:
        raise _failure(node, start, record)


async def _wait(shim: Shim) -> Exit | None:
    try:
        record = await shim.child_end()
    except BaseException:
        shim.terminate()
        await asyncio.shield(shim.end())
        raise
    shim.terminate()  # what the command left behind must not go on in the snapshot
    await shim.end()
    return record


async def _show(log: Path, ended: asyncio.Event, operation: Operation) -> None:
    async for line in follow(log, ended):
        if line.stream is not None:
            operation.output(line.stream, line.text)


def _failure(node: Node, start: Start, record: Exit | None) -> PeppyError:
    how = record.text if record is not None else "exit status unknown"
    command = " ".join(start.command)
    lines = [line.text for line in read_log(start.log, ERROR_LINES + 1) if line.stream is not None][-ERROR_LINES:]
    message = f"`{node.reference}`: build_cmd `{command}` failed: {how}"
    hint = f"see {start.log}"
    if record is not None and record.status == NOT_FOUND_STATUS:
        message += f", command not found (exit status {NOT_FOUND_STATUS})"
        hint = "install the command that is missing, or make the node with `--toolchain pip`"
    if lines:
        message += "\n" + "\n".join(lines)
    return PeppyError(message, kind="CommandFailed", hint=hint)


def _renew_library(core: Core, node: Node) -> None:
    """The library in the snapshot names the wheel of the peppy that was installed at add; it may be another one now."""
    if not library.has_library(node.manifest):
        return
    wheel, snapshot = packed_wheel(core.root), core.root.snapshot(node.reference)
    if not library.names_wheel(snapshot, wheel):
        stack = core.registry.manifests()
        tree = library.generated(node.manifest, stack, node.interfaces, sha256=node.config_sha256, wheel=wheel)
        library.write(tree, snapshot)


def _pack(core: Core, node: Node) -> Artifact:
    """Packs and extracts before the old artifact is replaced: a full disk leaves that one as it was."""
    unfinished = core.root.unfinished_artifact(node.reference)
    runtime = installed_runtime()
    digest = pack_artifact(core.root.snapshot(node.reference), unfinished)
    fault("build.packed")
    extracted_artifact(core.root, unfinished, digest)
    fault("build.unpacked")
    return Artifact(digest, runtime.version, runtime.digest)


async def _install(core: Core, node: Node, artifact: Artifact) -> None:
    """The saved state decides: until then the old artifact is valid, from then on whoever starts next finishes this."""
    former, node.artifact = node.artifact, artifact
    core.registry.set_stage(node, Stage.READY)
    try:
        await core.save()
        fault("build.recorded")
        await in_thread(
            install_artifact, core.root.unfinished_artifact(node.reference), core.root.artifact(node.reference)
        )
    except PeppyError:
        node.artifact = former
        core.registry.set_stage(node, Stage.BUILDING)
        with contextlib.suppress(PeppyError):
            await core.drop_extracted(artifact)
        raise
    fault("build.installed")
    if former is not None:
        await core.drop_extracted(former)
    fault("build.cleaned")


def _fresh_directory(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
