"""The four steps from a directory to a running instance; `node add -sbr` takes them one after the other.

Each prints its lines and gives its `data` (docs/reference/cli.md, What is printed).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peppy.cli.confirm import stopping_allowed
from peppy.cli.report import Report
from peppy.cli.session import caller_environment
from peppy.cli.terminal import shortened
from peppy.cli.words import Pairs
from peppy.errors import PeppyError
from peppy.protocol.frames import NodeAdd, NodeBuild, NodeRun, NodeSync

if TYPE_CHECKING:
    from peppy.client import Client
    from peppy.protocol.answers import Built
    from peppy.protocol.frames import Output


def sync(report: Report, client: "Client", directory: Path, timeout: float) -> dict[str, Any]:
    """Generates the library of the node in `directory`."""
    answer = client.call(NodeSync(str(directory), timeout), timeout=None, on_output=report.output)
    for warning in answer.warnings:
        report.warning(warning)
    report.result(f"Synced node interfaces at {shortened(answer.path)}")
    if any(answer.modules.values()):
        report.info(f"{shortened(answer.path)}/.peppy holds {_modules(answer.modules)}")
    return {
        "path": answer.path,
        "config_sha256": answer.config_sha256,
        "from_stack": answer.from_stack,
        "from_repositories": answer.from_repositories,
        "modules": answer.modules,
    }


def _modules(counts: dict[str, int]) -> str:
    """`2 modules in emitted_topics, 1 in consumed_topics`."""
    listed = [f"{count} in {category}" for category, count in counts.items() if count]
    return f"generated modules: {', '.join(listed)}"


def add(
    report: Report, client: "Client", source: Path, *, variant: str | None, force: bool, timeout: float
) -> dict[str, Any]:
    """Puts a snapshot of the node at `source` into the stack."""
    report.result(f"Adding node from {shortened(str(source))}...")

    def attempt(may_stop: bool) -> Any:
        request = NodeAdd(str(source), variant, force, may_stop, timeout)
        return client.call(request, timeout=None, on_output=report.output)

    answer = stopping_allowed(
        report,
        client,
        attempt,
        node=_node_of(source),
        flag="--force",
        consequence="Adding the node again",
        yes=force,
    )
    for warning in answer.warnings:
        report.warning(warning)
    report.result(f"Log file: {shortened(answer.log)}")
    for node in answer.added or (answer.node,):
        report.result(f"Added node {node} to the node stack")
    return {"node": answer.node, "variant": answer.variant, "log": answer.log, "added": answer.added}


def _node_of(source: Path) -> str | None:
    """The `name:tag` of a local source, to find its live instances; None where it cannot be read."""
    from peppy.manifest.node import read_node

    try:
        return str(read_node(source).manifest.reference)
    except (PeppyError, OSError):
        return None


def build(report: Report, client: "Client", node: str, *, force: bool, timeout: float) -> dict[str, Any]:
    """Builds a node of the stack."""
    report.result(f"Building node {node}...")
    answer = _built(client, node, force=force, if_needed=False, timeout=timeout, show=report.output)
    _tell_built(report, answer)
    return {"node": answer.node, "log": answer.log, "artifact": answer.artifact}


def build_if_needed(report: Report, client: "Client", node: str, timeout: float) -> None:
    """Builds a node that is Added, waits for one that is Building, and says so when there is nothing to do."""
    announced = False

    def announce() -> None:
        nonlocal announced
        if not announced:
            announced = True
            report.result(f"Building node {node}...")

    def show(output: "Output") -> None:
        announce()
        report.output(output)

    answer = _built(client, node, force=False, if_needed=True, timeout=timeout, show=show)
    if answer.skipped:
        return report.info(f"{node} is ready: build skipped")
    announce()
    return _tell_built(report, answer)


def _tell_built(report: Report, answer: "Built") -> None:
    report.result(f"Log file: {shortened(answer.log or '')}")
    report.result(f"Built node {answer.node}. Artifact: {shortened(answer.artifact)}")


def _built(
    client: "Client", node: str, *, force: bool, if_needed: bool, timeout: float, show: Callable[["Output"], None]
) -> "Built":
    request = NodeBuild(node, force, if_needed, caller_environment(), timeout)
    return client.call(request, timeout=None, on_output=show)


def run(
    report: Report,
    client: "Client",
    node: str,
    *,
    instance_id: str | None,
    arguments: Pairs,
    bindings: Pairs,
    timeout: float,
) -> dict[str, Any]:
    """Starts an instance and waits until it is `running`."""
    report.result(f"Running node {node}...")
    request = NodeRun(node, instance_id, arguments, bindings, caller_environment(), timeout)
    answer = client.call(request, timeout=None, on_output=report.output)
    for warning in answer.warnings:
        report.warning(warning)
    report.result(f"Log file: {shortened(answer.log)}")
    report.result(f"Started instance {answer.instance_id} of {answer.node} (pid: {answer.pid})")
    return {
        "node": answer.node,
        "instance_id": answer.instance_id,
        "pid": answer.pid,
        "log": answer.log,
        "bindings": answer.bindings,
    }
