"""`peppy info` and `peppy node info` at a real daemon (docs/reference/cli.md, 3.4 and 7)."""

import hashlib
import socket
from pathlib import Path

from living import LivingDaemon, make_node

from peppy.protocol.answers import Dependency, Member, ParameterLine
from peppy.protocol.frames import Info, NodeInfo, NodeStop

NODE = "echoer:0.1.0"


def test_the_daemon_tells_about_itself(daemon: LivingDaemon, tmp_path: Path):
    daemon.add(make_node(tmp_path))
    answer = daemon.ask(Info())
    assert daemon.process is not None
    assert (answer.pid, answer.node_count) == (daemon.process.pid, 2)
    assert answer.core_node_name == answer.core_node_instance_id
    assert answer.core_node_name.startswith("core-node-")
    assert answer.socket == str(daemon.home / "run/daemon.sock")
    assert answer.host_name == socket.gethostname()
    assert answer.uptime_seconds > 0


def test_node_info_tells_what_the_manifest_says(shared: LivingDaemon, tmp_path: Path):
    provider = make_node(tmp_path, "imu", tag="v1", interfaces={"topics": {"emits": [{"name": "attitude"}]}})
    shared.add(provider)
    source = make_node(
        tmp_path,
        build_cmd=["true"],
        depends_on={"nodes": [{"name": "imu", "tag": "v1", "link_id": "i", "from_any": True}]},
        interfaces={
            "topics": {
                "emits": [{"name": "t", "qos_profile": "sensor_data"}],
                "consumes": [{"link_id": "i", "name": "attitude"}],
            }
        },
        parameters={
            "radius": {"$type": "f64", "$default": 0.08},
            "label": {"$type": "string", "$default": "a"},
            "video": {"width": "u16"},
            "weights": {"$type": "array", "$items": "f32", "$length": 3},
        },
    )
    shared.add(source)
    details = shared.ask(NodeInfo(NODE))
    assert (details.name, details.tag, details.language, details.stage, details.variant) == (
        *NODE.split(":"),
        "other",
        "Added",
        "default",
    )
    assert details.build_cmd == ("true",)
    assert details.dependencies == (Dependency("i", "imu:v1", "node", True),)
    assert details.exposes.topics == (Member("t", qos="SensorData"),)
    assert details.consumes.topics == (Member("attitude", slot="i"),)
    assert details.config_sha256 == hashlib.sha256((source / "peppy.json5").read_bytes()).hexdigest()
    assert details.parameters == (
        ParameterLine(0, "radius: f64 = 0.08"),
        ParameterLine(0, 'label: string = "a"'),
        ParameterLine(0, "video:"),
        ParameterLine(1, "width: u16"),
        ParameterLine(0, "weights: array[f32; 3]"),
    )


def test_node_info_lists_instances_and_logs(shared: LivingDaemon, tmp_path: Path):
    node = shared.ready(make_node(tmp_path))
    shared.run(node, "one")
    shared.run(node, "two")
    shared.ask(NodeStop(("one",)))
    details = shared.ask(NodeInfo(node))
    assert [(row.instance_id, row.state) for row in details.instances] == [("one", "finished"), ("two", "running")]
    assert details.logs.run == {name: str(shared.home / f"logs/run/{name}.log") for name in ("one", "two")}
    assert details.logs.add is not None
    assert Path(details.logs.add).exists()
    assert details.logs.build is not None
    assert Path(details.logs.build).exists()


def test_an_unknown_node_is_not_found(shared: LivingDaemon):
    error = shared.refusal(NodeInfo("x:1"))
    assert (error.kind, error.message) == ("NotFound", "`x:1` is not in the node stack")
    assert "peppy node add" in (error.hint or "")
