"""`peppy node run` (docs/reference/daemon.md, Run)."""

import asyncio
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from peppy.daemon import library
from peppy.daemon.core import Core
from peppy.daemon.endings import startup_failure
from peppy.daemon.files import remove_instance
from peppy.daemon.gate import Hold
from peppy.daemon.instance_process import Process
from peppy.daemon.names import generated_name
from peppy.daemon.operation import Operation, in_thread
from peppy.daemon.references import known_node
from peppy.daemon.refusals import refuse_container
from peppy.daemon.registry import Instance, Node
from peppy.daemon.runtime_config import write_runtime_config
from peppy.errors import InvalidInput, PeppyError, Problem
from peppy.faults import fault
from peppy.graph.bindings import Bound, Candidate, bind
from peppy.manifest.document import parse_value
from peppy.model.lifecycle import Stage
from peppy.model.names import NAME_RULE, is_name
from peppy.model.node import Execution
from peppy.model.parameters import assign, resolve, to_json
from peppy.model.text import quoted
from peppy.process.environment import check_variables, run_environment
from peppy.process.logs import rotated
from peppy.process.spawn import Start, header
from peppy.protocol.answers import SlotBinding, Started
from peppy.protocol.frames import NodeRun
from peppy.store.artifacts import extracted_artifact, make_instance
from peppy.store.atomic import storage_errors


async def handle(core: Core, request: NodeRun, operation: Operation) -> Started:
    """Returns when the instance is `running`."""
    node = known_node(core.registry, request.node)
    hold = Hold("run", request.timeout_secs, operation.cancel)
    with core.gate.shared(node.reference, hold):
        async with operation.limits("run", request.timeout_secs, core.idle_secs):
            return await _run(core, node, request, operation)


async def _run(core: Core, node: Node, request: NodeRun, operation: Operation) -> Started:
    execution = _check_runnable(core, node)
    instance_id = await _free_id(core, request.instance_id)
    bound, arguments = _checked(core, node, instance_id, request, execution)
    await core.drop_records(_replaced(core, node, instance_id))
    _check_free(core, instance_id)  # somebody may have been faster
    instance = Instance(
        instance_id=instance_id,
        reference=node.reference,
        language=execution.language,
        order=core.registry.next_order(),
        started_at=time.time(),
        log=str(core.root.run_log(instance_id)),
        arguments=arguments,
        slot_bindings=_on_the_wire(bound),
        variables=tuple(sorted(request.environment)),
    )
    process = core.supervisor.accept(instance, core.root.run_instance(instance_id))
    fault("run.accepted")
    await _start(core, node, process, execution, request.environment, operation)
    fault("run.ended")
    assert instance.pids is not None
    return Started(
        node=str(node.reference),
        instance_id=instance_id,
        pid=instance.pids.child.pid,
        log=instance.log,
        bindings=instance.slot_bindings,
        warnings=bound.warnings,
    )


# --- checks ----------------------------------------------------------------------------------------------------------


def _check_runnable(core: Core, node: Node) -> Execution:
    execution = node.manifest.execution
    assert execution is not None
    refuse_container(node.manifest)
    if node.stage is not Stage.READY or node.artifact is None:
        raise PeppyError(
            f"`{node.reference}` is added but not built",
            kind="Refused",
            hint=f"run `peppy node build {node.reference}`",
        )
    if library.has_library(node.manifest) and node.artifact.runtime_version != core.version:
        message = (
            f"`{node.reference}` was built with peppy `{node.artifact.runtime_version}`, the daemon is `{core.version}`"
        )
        hint = f"run `peppy node build --force {node.reference}`"
        raise InvalidInput([Problem("RuntimeIncompatible", message)], hint=hint)
    return execution


async def _free_id(core: Core, wanted: str | None) -> str:
    """The id of the new instance. Waits for the last processes of an ended instance of this id."""
    registry = core.registry
    if wanted is None:
        return generated_name({*registry.taken_ids(), *registry.instances})
    if not is_name(wanted):
        raise InvalidInput([Problem("BadName", f"{quoted(wanted)} is not an instance id: {NAME_RULE}")])
    _check_free(core, wanted)
    await core.supervisor.settled(wanted)
    return wanted


def _check_free(core: Core, instance_id: str) -> None:
    if (holder := core.registry.holder(instance_id)) is None:
        return
    problem = Problem("DuplicateInstanceIdAcrossStack", f"the id `{instance_id}` is in use by {holder}")
    raise InvalidInput([problem], hint="choose another id")


def _checked(
    core: Core, node: Node, instance_id: str, request: NodeRun, execution: Execution
) -> tuple[Bound, dict[str, object]]:
    """Bindings, arguments and environment; all that is wrong with them is reported together."""
    problems: list[Problem] = []
    bound, arguments = Bound({}, ()), dict[str, object]()
    try:
        bound = bind(instance_id, node.manifest.slots, request.bindings, _candidates(core))
    except InvalidInput as error:
        problems += error.details
    try:
        arguments = _arguments(execution, request.arguments)
    except InvalidInput as error:
        problems += error.details
    try:
        check_variables(request.environment)
    except InvalidInput as error:
        problems += error.details
    if problems:
        raise InvalidInput(problems)
    return bound, arguments


def _arguments(execution: Execution, pairs: tuple[tuple[str, str], ...]) -> dict[str, object]:
    """Every declared parameter as the runtime config holds it, defaults filled in; InvalidInput."""
    declared = execution.parameters
    supplied = assign(declared, (f"{key}={text}" for key, text in pairs), parse_value)
    return to_json(declared, resolve(declared, supplied))


def _candidates(core: Core) -> dict[str, Candidate]:
    """Every instance, ended ones too, and every standalone program: the binding rules want to name the state of one
    that cannot be bound."""
    registry = core.registry
    here = [
        *((found.instance_id, found.reference, found.state) for found in registry.instances.values()),
        *((found.instance_id, found.reference, None) for found in registry.programs.values()),
    ]
    return {
        instance_id: Candidate(instance_id, reference, registry.claims_of(instance_id, reference), state)
        for instance_id, reference, state in here
    }


def _on_the_wire(bound: Bound) -> dict[str, SlotBinding]:
    return {
        link_id: SlotBinding(binding.kind, binding.producer_instance_id, binding.producer_instance_ids)
        for link_id, binding in bound.slot_bindings.items()
    }


def _replaced(core: Core, node: Node, instance_id: str) -> list[Instance]:
    """Records that go: the ended one of this id, and all but the newest of the node."""
    records = core.registry.surplus(node.reference)
    former = core.registry.instances.get(instance_id)
    return records if former is None or former in records else [*records, former]


# --- effects ---------------------------------------------------------------------------------------------------------


async def _start(
    core: Core,
    node: Node,
    process: Process,
    execution: Execution,
    variables: Mapping[str, str],
    operation: Operation,
) -> None:
    """Brings the instance up. Whatever fails, nothing of it goes on: its record says `failed`, or `finished` when the
    caller no longer wants it."""
    assert execution.run_cmd is not None
    log = Path(process.instance.log)
    try:
        await core.save()
        fault("run.recorded")
        await core.removed(process.instance.instance_id)
        await in_thread(_make_files, core, node, process.instance)
        fault("run.files_made")
        if process.stop_asked.is_set():
            raise PeppyError(f"`{process.instance.instance_id}` was stopped while it started", kind="Aborted")
        await core.supervisor.execute(process, _start_of(core, node, process, execution, variables))
        fault("run.executed")
        await core.save()
        fault("run.pids_recorded")
        await core.supervisor.wait_until_running(process)
        fault("run.up")
        await core.save()
    except asyncio.CancelledError:
        give_up = core.supervisor.fail_start if operation.limit_has_passed else core.supervisor.cancel_start
        await asyncio.shield(give_up(process))
        raise
    except PeppyError as error:
        await asyncio.shield(core.supervisor.fail_start(process))
        raise startup_failure(error, process.instance, log, execution.run_cmd) from None
    except BaseException:
        await asyncio.shield(core.supervisor.fail_start(process))
        raise


def _make_files(core: Core, node: Node, instance: Instance) -> None:
    """The instance directory, the shim's directory with the runtime config, and room for the log."""
    assert node.artifact is not None
    remove_instance(core.root, instance.instance_id)
    extracted = extracted_artifact(core.root, core.root.artifact(node.reference), node.artifact.digest)
    make_instance(extracted, core.root.snapshot(node.reference), core.root.instance(instance.instance_id))
    fault("run.copied")
    directory = core.root.run_instance(instance.instance_id)
    with storage_errors("write", directory):
        directory.mkdir(mode=0o700)
        write_runtime_config(core, instance, core.root.runtime_config(instance.instance_id))
    with storage_errors("rename", Path(instance.log)):
        _move_log(Path(instance.log), core.configuration.whole("logs.keep"))


def _move_log(log: Path, keep: int) -> None:
    """The log of an earlier instance of this id becomes `.1`, older ones move on, the oldest goes."""
    for number in range(keep, 0, -1):
        source = rotated(log, number - 1)
        if source.exists():
            shutil.move(source, rotated(log, number))


def _start_of(core: Core, node: Node, process: Process, execution: Execution, variables: Mapping[str, str]) -> Start:
    assert execution.run_cmd is not None
    instance_id = process.instance.instance_id
    working_directory = core.root.instance(instance_id)
    environment = run_environment(
        variables,
        {},
        data_root=core.root.path,
        node=node.reference,
        language=execution.language,
        runtime_config=core.root.runtime_config(instance_id),
        working_directory=working_directory,
    )
    return Start(
        command=execution.run_cmd,
        environment=environment,
        working_directory=working_directory,
        directory=process.directory,
        log=Path(process.instance.log),
        header=header("run_cmd", execution.run_cmd, working_directory),
        max_bytes=core.configuration.whole("logs.max_bytes"),
        keep=core.configuration.whole("logs.keep"),
        open_files=core.open_files,
    )
