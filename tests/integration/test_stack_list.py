"""`peppy stack list` and `peppy topic list` at a real daemon (docs/reference/cli.md, 4.1 and 8)."""

from pathlib import Path

from living import LivingDaemon, eventually, make_node, make_python_node

from peppy.protocol.frames import StackList, TopicList


def test_an_empty_stack_is_the_core_node_alone(shared: LivingDaemon):
    stack = shared.ask(StackList())
    (core,) = stack.nodes
    assert (core.stage, core.variant, core.config_path) == ("Root", "default", str(shared.home / "bin"))
    (instance,) = core.instances
    assert (instance.instance_id, instance.state, instance.healthy) == (core.name, "running", True)
    assert (stack.edges, stack.standalone) == ((), ())
    assert (shared.home / "bin/peppy").exists()


def test_nodes_are_listed_by_name_and_tag_behind_the_core_node(shared: LivingDaemon, tmp_path: Path):
    for number, (name, tag) in enumerate([("b", "v2"), ("b", "v1"), ("a", "v9")]):
        shared.add(make_node(tmp_path / str(number), name, tag=tag))
    nodes = shared.ask(StackList()).nodes
    assert [f"{node.name}:{node.tag}" for node in nodes[1:]] == ["a:v9", "b:v1", "b:v2"]


def test_dependencies_are_edges(shared: LivingDaemon, tmp_path: Path):
    shared.add(make_node(tmp_path, "imu", tag="v1"))
    needs = {"nodes": [{"name": "imu", "tag": "v1", "link_id": "imu"}]}
    shared.add(make_node(tmp_path, depends_on=needs))
    (edge,) = shared.ask(StackList()).edges
    assert (edge.source, edge.target, edge.via_interface, edge.missing) == ("echoer:0.1.0", "imu:v1", None, False)


def test_declared_topics_of_live_instances_are_listed_with_their_counters(shared: LivingDaemon, tmp_path: Path):
    interfaces = {"topics": {"emits": [{"name": "beat", "qos_profile": "sensor_data"}, {"name": "quiet"}]}}
    body = (
        "from peppygen.emitted_topics import beat\n"
        "async def setup(params, runner):\n"
        "    publisher = beat.declare_publisher(runner)\n"
        "    for _ in range(3):\n"
        "        publisher.publish()\n"
    )
    shared.run(shared.ready(make_python_node(tmp_path, body=body, interfaces=interfaces)), "one")
    rows = eventually(lambda: (rows := shared.ask(TopicList()).topics)[0].published == 3 and rows, "the messages")
    beat, quiet = rows
    assert (beat.address, beat.node, beat.qos, beat.subscribers) == ("one/beat", "pynode:0.1.0", "SensorData", 0)
    assert (quiet.address, quiet.qos, quiet.published) == ("one/quiet", "Standard", 0)
