"""A daemon that is killed at each fault point (docs/design/reliability.md, Fault points)."""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from living import WATCHDOG_SECS, LivingDaemon, assert_nothing_is_left, eventually, make_node, processes_of
from nursery import ForkedDaemon, Nursery

from peppy.errors import PeppyError
from peppy.faults import POINTS
from peppy.process.records import read_pids
from peppy.protocol.frames import NodeInfo, NodePrune, NodeRemove, NodeStop, StackList

NODE, KEY = "echoer:0.1.0", "echoer_0.1.0"
SHARED = {
    "shim.spawned": ("build", "run"),
    "state.backed_up": ("add", "remove"),
    "state.written": ("build",),
    "state.replaced": ("add",),
}
"""Points that several verbs pass, with those that die there."""
CASES = [(point, verb) for point in POINTS for verb in SHARED.get(point, (point.partition(".")[0],))]
BUILD = ["sh", "-c", "date +%N > stamp"]
Make = Callable[..., LivingDaemon]
Fork = Callable[..., LivingDaemon]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a Ready node and the record of an instance that failed, whose directory is kept."""
    daemon = LivingDaemon(tmp_path_factory.mktemp("f")).start()
    daemon.ready(make_node(tmp_path_factory.mktemp("s"), build_cmd=BUILD))
    os.kill(daemon.run(NODE, "old").pid, signal.SIGKILL)
    eventually(lambda: daemon.instance_row("old").state == "failed", "the failure")
    daemon.stop()
    assert_nothing_is_left(daemon.home)
    return daemon.home


@pytest.fixture
def home(furnished: Path, tmp_path: Path) -> Path:
    """A copy of the furnished data root."""
    return shutil.copytree(furnished, tmp_path / "h", symlinks=True)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def forked(nursery: Nursery, home: Path) -> Iterator[Fork]:
    """Makes the daemon of that data root, which has not started."""
    made: list[LivingDaemon] = []

    def make(**variables: str) -> LivingDaemon:
        made.append(ForkedDaemon(nursery, home, **variables))
        return made[-1]

    yield make
    for daemon in made:
        daemon.end()
    assert_nothing_is_left(home)


@pytest.mark.parametrize(("point", "verb"), CASES)
def test_a_verb_can_be_repeated_after_a_death_at_each_point(forked: Fork, tmp_path: Path, point: str, verb: str):
    daemon = forked(PEPPY_FAULT=point).start()
    source = changed(tmp_path)
    if verb == "stop":
        daemon.run(NODE, "one")
    with suppress(PeppyError):
        ask(daemon, verb, source)
    assert_died(daemon)
    daemon.start()
    eventually(lambda: not under_way(daemon), "the end of what was begun")
    assert_agreement(daemon)
    if not is_done(daemon, verb):
        ask(daemon, verb, source)
    assert_effect(daemon, verb)
    assert_agreement(daemon)
    if verb != "remove":
        ask(daemon, "remove", source)
    assert_agreement(daemon)
    assert instances(daemon) == []
    assert "Traceback" not in daemon.log()


def changed(directory: Path) -> Path:
    """The source of the node, with another manifest than it was added with."""
    return make_node(directory, build_cmd=BUILD, run_cmd=("sh", "-c", "exec sleep 2000"))


def ask(daemon: LivingDaemon, verb: str, source: Path) -> None:
    if verb == "add":
        daemon.add(source, force=True)
    elif verb == "build":
        daemon.build(NODE, force=True)
    elif verb == "run":
        daemon.run(NODE, "one")
    elif verb == "stop":
        daemon.ask(NodeStop(("one",)))
    else:
        daemon.ask(NodeRemove(NODE, force=True, stop_instances=True))


def assert_died(daemon: LivingDaemon) -> None:
    assert daemon.process is not None
    assert daemon.process.wait(WATCHDOG_SECS) == -signal.SIGKILL
    daemon.process.communicate()
    daemon.process = None
    del daemon.environment["PEPPY_FAULT"]


def instances(daemon: LivingDaemon) -> list[Any]:
    return [found for row in daemon.ask(StackList()).nodes if row.stage != "Root" for found in row.instances]


def under_way(daemon: LivingDaemon) -> bool:
    written = json.loads((daemon.home / "state/stack.json").read_text())["instances"]
    states = {*(found.state for found in instances(daemon)), *(found["state"] for found in written)}
    return bool(states & {"starting", "stopping"})


def is_done(daemon: LivingDaemon, verb: str) -> bool:
    """Whether the daemon that took over has finished what cannot be asked for twice."""
    if verb == "run":
        return any(found.state == "running" for found in instances(daemon))
    return verb == "remove" and daemon.node_row(NODE) is None


def assert_effect(daemon: LivingDaemon, verb: str) -> None:
    node, one = daemon.node_row(NODE), daemon.instance_row("one")
    if verb == "remove":
        assert node is None
    elif verb == "add":
        assert (node.stage, node.artifact_path, node.instances) == ("Added", None, ())
        assert "sleep 2000" in " ".join(daemon.ask(NodeInfo(NODE, False)).run_cmd)
    elif verb == "build":
        assert node.stage == "Ready"
    else:
        assert one.state == {"run": "running", "stop": "finished"}[verb]


# --- agreement -------------------------------------------------------------------------------------------------------


def assert_agreement(daemon: LivingDaemon) -> None:
    """What the daemon says, its state file, the disk and /proc are one and the same stack."""
    eventually(lambda: len(processes_of(daemon.home)) == 2 * len(live(daemon)), "no process of nobody")
    state = json.loads((daemon.home / "state/stack.json").read_text())
    assert names(daemon, "state") == {"stack.json", "stack.json.bak"}
    assert [(node["name"], node["stage"]) for node in state["nodes"]] == [
        (row.name, row.stage) for row in daemon.ask(StackList()).nodes if row.stage != "Root"
    ]
    assert {(found["instance_id"], found["state"]) for found in state["instances"]} == {
        (found.instance_id, found.state) for found in instances(daemon)
    }
    assert_nodes_on_disk(daemon, state["nodes"])
    assert_instances_on_disk(daemon)
    for place in ("run/builds", "tmp", "cache/wheels"):
        assert names(daemon, place) == set()


def names(daemon: LivingDaemon, place: str) -> set[str]:
    return {path.name for path in (daemon.home / place).iterdir()}


def live(daemon: LivingDaemon) -> list[Any]:
    return [found for found in instances(daemon) if found.state in ("starting", "running", "stopping")]


def assert_nodes_on_disk(daemon: LivingDaemon, nodes: list[Any]) -> None:
    artifacts = [node["artifact"]["digest"] for node in nodes if node["artifact"] is not None]
    assert names(daemon, "staging") == ({KEY} if nodes else set())
    assert names(daemon, "built_nodes") == ({KEY} if nodes else set()) | ({f"{KEY}.tar.zst"} if artifacts else set())
    assert names(daemon, "cache/artifacts") == set(artifacts)
    for node in nodes:
        assert (node["stage"] == "Ready") == (node["artifact"] is not None)
        assert digest(daemon.home / "staging" / KEY / "peppy.json5") == node["config_sha256"]
        assert (daemon.home / "built_nodes" / KEY).resolve() == (daemon.home / "staging" / KEY).resolve()
    for artifact in artifacts:
        assert digest(daemon.home / "built_nodes" / f"{KEY}.tar.zst") == artifact


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_instances_on_disk(daemon: LivingDaemon) -> None:
    """Live instances have both directories and their processes; those that failed may have them, others have none."""
    alive = {found.instance_id for found in live(daemon)}
    failed = {found.instance_id for found in instances(daemon) if found.state == "failed"}
    for place in ("instances", "run/instances"):
        assert alive <= names(daemon, place) <= alive | failed
    processes = set(processes_of(daemon.home))
    for found in live(daemon):
        pids = read_pids(daemon.home / "run/instances" / found.instance_id)
        assert pids is not None
        assert pids.child.pid == found.pid
        assert {pids.shim.pid, pids.child.pid} <= processes


# --- the variable ----------------------------------------------------------------------------------------------------


def test_a_point_that_does_not_exist_refuses_the_start(new_daemon: Make):
    process = new_daemon(PEPPY_FAULT="add.exchangd").spawn()
    _, errors = process.communicate(timeout=WATCHDOG_SECS)
    assert process.returncode == 1
    assert "`add.exchangd`" in errors


# --- a state that cannot be saved ------------------------------------------------------------------------------------


def test_an_add_whose_state_cannot_be_saved_changes_nothing(forked: Fork, home: Path, tmp_path: Path):
    daemon = forked().start()
    (home / "state").rename(home / "away")
    with pytest.raises(PeppyError, match=r"state/stack\.json"):
        daemon.add(changed(tmp_path))
    (home / "away").rename(home / "state")
    assert_old_node_is_whole(daemon)


def test_a_build_whose_artifact_cannot_be_recorded_changes_nothing(forked: Fork, home: Path, tmp_path: Path):
    daemon = forked().start()
    again = "date +%N > stamp; [ ! -e once ] || mv $PEPPY_HOME/state $PEPPY_HOME/away; touch once"
    daemon.ready(make_node(tmp_path, build_cmd=["sh", "-c", again]))
    with pytest.raises(PeppyError, match=r"state/stack\.json"):
        daemon.build(NODE, force=True)
    (home / "away").rename(home / "state")
    assert_old_node_is_whole(daemon)


def test_a_remove_whose_state_cannot_be_saved_changes_nothing(forked: Fork, home: Path):
    daemon = forked().start()
    daemon.ask(NodePrune(None))
    (home / "state").rename(home / "away")
    with pytest.raises(PeppyError, match=r"state/stack\.json"):
        daemon.ask(NodeRemove(NODE, force=False, stop_instances=False))
    (home / "away").rename(home / "state")
    assert_old_node_is_whole(daemon)


def assert_old_node_is_whole(daemon: LivingDaemon) -> None:
    """As the daemon sees it, and as the next one finds it."""
    assert daemon.node_row(NODE).stage == "Ready"
    daemon.kill()
    daemon.start()
    assert daemon.node_row(NODE).stage == "Ready"
    assert_agreement(daemon)
    assert daemon.run(NODE, "one").instance_id == "one"
