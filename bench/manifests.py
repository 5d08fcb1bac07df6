"""The manifests of the nodes in bench/nodes."""

import sys
from typing import Any

FRAMES = {"frame_1m": 1 << 20, "frame_8m": 8 << 20, "frame_hd": 6_220_800}
"""Bytes of the pictures; frame_hd is 1920 x 1080 RGB."""

IMU = {  # 56 to 64 bytes as a payload
    "number": "u64",
    "stamp": "time",
    "orientation": {"$type": "array", "$items": "f32", "$length": 4},
}
STAMPED_BEFORE_EXEC = """
import os, sys, time
os.environ["BENCH_STARTED"] = str(time.monotonic_ns())
os.execv(sys.executable, [sys.executable, "starter.py"])
"""


def peer(name: str, other: str | None) -> dict[str, Any]:
    """One end of the ping-pong. `other` is the node at the other end, None while that is not in the stack yet."""
    emitted = {"imu": IMU, "ack": {"number": "u64"}} | {topic: _frame(size) for topic, size in FRAMES.items()}
    slots = {"starter": "bench_starter"} | ({"peer": other} if other else {})
    consumed = [("starter", "hello"), *(("peer", topic) for topic in emitted if other)]
    run_cmd = [sys.executable, "peer.py"]
    return _node(name, emitted, slots, consumed, run_cmd, {"control": "string"})


def server() -> dict[str, Any]:
    """A node that serves calls and goals of IMU size. Goals of `watch` have feedback, those of `hold` have none."""
    node = _node("bench_server", {"imu": IMU}, {}, [], [sys.executable, "server.py"], {"control": "string"})
    echo = {"name": "echo", "request_message_format": IMU, "response_message_format": IMU}
    goal = {"goal_service": {"request_message_format": IMU}}
    watch = {"name": "watch", "feedback_topic": {"qos_profile": "standard", "message_format": IMU}}
    node["interfaces"] |= {
        "services": {"exposes": [echo]},
        "actions": {"exposes": [{"name": "hold"} | goal, watch | goal]},
    }
    return node


def caller() -> dict[str, Any]:
    """A node that uses all that `server` offers, through a slot that is bound to it when it is started."""
    run_cmd = [sys.executable, "caller.py"]
    slots = {"server": "bench_server"}
    node = _node("bench_caller", {}, slots, [("server", "imu")], run_cmd, {"control": "string"})
    del node["manifest"]["depends_on"]["nodes"][0]["from_any"]
    node["interfaces"] |= {
        "services": {"consumes": [{"link_id": "server", "name": "echo"}]},
        "actions": {"consumes": [{"link_id": "server", "name": name} for name in ("hold", "watch")]},
    }
    return node


def starter() -> dict[str, Any]:
    """A node that publishes at once when its interpreter was started (CLOCK_MONOTONIC)."""
    return _node("bench_starter", {"hello": {"started": "u64"}}, {}, [], [sys.executable, "-Sc", STAMPED_BEFORE_EXEC])


def idle() -> dict[str, Any]:
    """A node that waits for a message that never comes."""
    return _node("bench_idle", {}, {"starter": "bench_starter"}, [("starter", "hello")], [sys.executable, "idle.py"])


def _frame(size: int) -> dict[str, Any]:
    data = {"$type": "array", "$items": "u8", "$length": size}
    return {"number": "u64", "stamp": "time", "width": "u32", "height": "u32", "encoding": "string", "data": data}


def _node(
    name: str,
    emitted: dict[str, Any],
    slots: dict[str, str],
    consumed: list[tuple[str, str]],
    run_cmd: list[str],
    parameters: dict[str, str] | None = None,
) -> dict[str, Any]:
    emits = [{"name": topic, "qos_profile": "standard", "message_format": form} for topic, form in emitted.items()]
    consumes = [{"link_id": link_id, "name": topic} for link_id, topic in consumed]
    nodes = [{"name": node, "tag": "v1", "link_id": link_id, "from_any": True} for link_id, node in slots.items()]
    return {
        "peppy_schema": "node_v1",
        "manifest": {"name": name, "tag": "v1", "depends_on": {"nodes": nodes}},
        "interfaces": {"topics": {"emits": emits, "consumes": consumes}},
        "execution": {"language": "python", "parameters": parameters or {}, "run_cmd": run_cmd},
    }
