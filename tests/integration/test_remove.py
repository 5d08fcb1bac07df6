"""`peppy node remove` and `peppy service reset` at a real daemon (docs/reference/daemon.md, 7.4)."""

from pathlib import Path

from living import LivingDaemon, make_node

from peppy.protocol.answers import Removed, Reset
from peppy.protocol.frames import NodeRemove, StackList, StackReset

NODE = "echoer:0.1.0"
NEEDS_IMU = {"nodes": [{"name": "imu", "tag": "v1", "link_id": "imu"}]}


def test_a_removed_node_leaves_only_its_logs(shared: LivingDaemon, tmp_path: Path):
    shared.ready(make_node(tmp_path))
    logs = [*(shared.home / "logs/add").iterdir(), *(shared.home / "logs/build").iterdir()]
    assert shared.ask(NodeRemove(NODE, False, False)) == Removed(NODE, ())
    assert shared.node_row(NODE) is None
    for directory in ("staging", "built_nodes", "cache/artifacts", "instances", "run/instances"):
        assert list((shared.home / directory).iterdir()) == []
    assert all(log.exists() for log in logs)


def test_live_instances_are_not_stopped_without_a_word(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "one")
    error = shared.refusal(NodeRemove(NODE, False, False))
    assert error.kind == "Refused"
    assert "`one`" in error.message
    assert "--stop-instances" in (error.hint or "")
    assert shared.instance_row("one").state == "running"


def test_instances_are_stopped_when_that_is_wanted(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "one")
    assert shared.ask(NodeRemove(NODE, False, True)) == Removed(NODE, ("one",))
    assert shared.instance_row("one") is None


def test_a_node_that_others_need_stays(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, "imu", tag="v1"))
    shared.add(make_node(tmp_path, depends_on=NEEDS_IMU))
    error = shared.refusal(NodeRemove("imu:v1", False, False))
    assert error.kind == "Refused"
    assert f"`{NODE}`" in error.message


def test_after_a_forced_remove_the_edge_is_missing(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, "imu", tag="v1"))
    shared.add(make_node(tmp_path, depends_on=NEEDS_IMU))
    shared.ask(NodeRemove("imu:v1", True, False))
    (edge,) = shared.ask(StackList()).edges
    assert (edge.source, edge.target, edge.missing) == (NODE, "imu:v1", True)


def test_the_core_node_is_not_removed(shared: LivingDaemon):
    with shared.client() as client:
        name = f"{client.welcome.core_node_name}:v{client.welcome.daemon_version}"
    assert shared.refusal(NodeRemove(name, True, True)).kind == "Refused"


def test_an_unknown_node_is_not_found(shared: LivingDaemon):
    assert shared.refusal(NodeRemove(NODE, False, False)).kind == "NotFound"


def test_no_reference_is_refused(shared: LivingDaemon):
    assert shared.refusal(NodeRemove("echoer", False, False)).kind == "BadName"


def test_a_reset_empties_the_stack_but_for_the_core_node(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "one")
    shared.add(make_node(tmp_path, "other"))
    refused = shared.refusal(StackReset(False))
    assert "`one`" in refused.message
    assert shared.ask(StackReset(True)) == Reset(2, 1)
    (core,) = shared.ask(StackList()).nodes
    assert core.stage == "Root"
