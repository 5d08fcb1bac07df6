"""`peppy node logs` at a real daemon: which log (docs/reference/cli.md, 3.3)."""

from pathlib import Path

from living import LivingDaemon, make_node

from peppy.protocol.answers import LogPlace
from peppy.protocol.frames import NodeLogs, NodeStop

NODE = "echoer:0.1.0"


def test_an_instance_has_a_run_log_that_grows_while_it_lives(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "one")
    log = str(shared.home / "logs/run/one.log")
    assert shared.ask(NodeLogs("one", "run")) == LogPlace(log, True, "one")
    shared.ask(NodeStop(("one",)))
    assert shared.ask(NodeLogs("one", "run")) == LogPlace(log, False, "one")


def test_a_node_stands_for_its_only_instance(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "one")
    assert shared.ask(NodeLogs(NODE, "run")).instance_id == "one"


def test_a_node_with_several_instances_lists_them(shared: LivingDaemon, tmp_path: Path):
    node = shared.ready(make_node(tmp_path))
    shared.run(node, "one")
    shared.run(node, "two")
    error = shared.refusal(NodeLogs(NODE, "run"))
    assert "`one`, `two`" in error.message


def test_a_node_that_was_never_run_says_how_to_run_it(shared: LivingDaemon, tmp_path: Path):
    error = shared.refusal(NodeLogs(shared.add(make_node(tmp_path)).node, "run"))
    assert (error.kind, error.message) == ("NotFound", f"`{NODE}` has no instance")
    assert error.hint == f"start one with `peppy node run {NODE}`"


def test_the_newest_add_and_build_logs_of_a_node(shared: LivingDaemon, tmp_path: Path):
    source = make_node(tmp_path)
    shared.add(source)
    log = shared.add(source).log
    assert shared.ask(NodeLogs(NODE, "add")) == LogPlace(log, False, None)
    assert shared.refusal(NodeLogs(NODE, "build")).kind == "NotFound"
    log = shared.build(NODE).log
    assert shared.ask(NodeLogs(NODE, "build")) == LogPlace(log, False, None)


def test_an_instance_has_no_build_log(shared: LivingDaemon, tmp_path: Path):
    shared.run(shared.ready(make_node(tmp_path)), "one")
    assert shared.refusal(NodeLogs("one", "build")).kind == "Refused"


def test_an_unknown_target_is_not_found(shared: LivingDaemon):
    assert shared.refusal(NodeLogs("ghost", "run")).kind == "NotFound"
    assert shared.refusal(NodeLogs("ghost:v1", "run")).kind == "NotFound"
