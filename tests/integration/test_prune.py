"""`peppy node prune` at a real daemon."""

import os
import signal
from pathlib import Path

from living import LivingDaemon, eventually, make_node

from peppy.protocol.answers import Pruned
from peppy.protocol.frames import NodePrune, NodeStop


def test_prune_drops_ended_records_and_their_directories(shared: LivingDaemon, tmp_path: Path):
    node = shared.ready(make_node(tmp_path))
    os.kill(shared.run(node, "bad").pid, signal.SIGKILL)
    shared.run(node, "good")
    shared.ask(NodeStop(("good",)))
    shared.run(node, "live")
    eventually(lambda: shared.instance_row("bad").state == "failed", "the end")
    assert (shared.home / "instances/bad").exists()
    assert shared.ask(NodePrune(None)) == Pruned(("bad", "good"))
    assert [row.instance_id for row in shared.node_row(node).instances] == ["live"]
    assert not (shared.home / "instances/bad").exists()
    assert (shared.home / "logs/run/bad.log").exists()


def test_prune_of_one_node_leaves_the_others(shared: LivingDaemon, tmp_path: Path):
    for name in ("a", "b"):
        node = shared.ready(make_node(tmp_path, name))
        shared.run(node, f"{name}1")
        shared.ask(NodeStop((f"{name}1",)))
    assert shared.ask(NodePrune("a:0.1.0")) == Pruned(("a1",))
    assert shared.instance_row("b1") is not None


def test_an_unknown_node_is_not_found(shared: LivingDaemon):
    assert shared.refusal(NodePrune("ghost:v1")).kind == "NotFound"
