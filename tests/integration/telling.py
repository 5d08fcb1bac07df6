"""The test's end of the wire to a node program, and the nodes that listen to it (tests/integration/nodes)."""

import itertools
import json
import socket
import sys
from pathlib import Path
from typing import Any

NODES = Path(__file__).parent / "nodes"
PAYLOAD = '{ number: "u64", data: { $type: "array", $items: "u8" } }'
PARAMETERS = 'parameters: { control: "string", harness: "string" }'
WAIT_SECS = 60.0


class ToldError(Exception):
    """The node's call raised; `name` is the exception's class."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class Told:
    """One node program that does what it is told. `ask` starts a call, `answer` waits for it, `call` does both."""

    def __init__(self, directory: Path, instance_id: str) -> None:
        self.instance_id = instance_id
        self.path = directory / f"{instance_id}.sock"
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        self._listening.listen(1)
        self._listening.settimeout(WAIT_SECS)
        self._numbers = itertools.count(1)
        self._answers: dict[int, dict[str, Any]] = {}

    @property
    def arguments(self) -> list[str]:
        """What `peppy node run` needs to know."""
        return [f"control={self.path}", f"harness={NODES}"]

    def connected(self) -> "Told":
        """Wait for the node."""
        self._socket, _ = self._listening.accept()
        self._socket.settimeout(WAIT_SECS)
        self._lines = self._socket.makefile("r")
        return self

    def ask(self, method: str, **arguments: Any) -> int:
        number = next(self._numbers)
        line = json.dumps({"number": number, "method": method, "arguments": arguments})
        self._socket.sendall(line.encode() + b"\n")
        return number

    def answer(self, number: int) -> Any:
        while number not in self._answers:
            line = self._lines.readline()
            if not line:
                raise ConnectionError(f"{self.instance_id} has ended")
            answer = json.loads(line)
            self._answers[answer["number"]] = answer
        answer = self._answers.pop(number)
        if "error" in answer:
            raise ToldError(answer["error"], answer["text"])
        return answer["result"]

    def call(self, method: str, **arguments: Any) -> Any:
        return self.answer(self.ask(method, **arguments))

    def close(self) -> None:
        if hasattr(self, "_socket"):
            self._lines.close()
            self._socket.close()
        self._listening.close()
        self.path.unlink(missing_ok=True)


def write_talker(directory: Path, *, name: str = "talker", payload: str = PAYLOAD) -> Path:
    """A node that emits `fast` (sensor_data) and `plain` (standard)."""
    emits = f"""{{ name: "fast", qos_profile: "sensor_data", message_format: {payload} }},
                {{ name: "plain", qos_profile: "standard", message_format: {payload} }}"""
    return _write(directory / name, name, "talker.py", f"topics: {{ emits: [{emits}] }}", "")


def write_listener(directory: Path) -> Path:
    """A node with the slots `main` (pinned) and `rest` (from_any) for talkers."""
    slots = """depends_on: { nodes: [{ name: "talker", tag: "v1", link_id: "main" },
                                      { name: "talker", tag: "v1", link_id: "rest", from_any: true }] },"""
    consumes = """topics: { consumes: [{ link_id: "main", name: "fast" }, { link_id: "main", name: "plain" },
                                        { link_id: "rest", name: "plain" }] }"""
    return _write(directory / "listener", "listener", "listener.py", consumes, slots)


def write_commander(directory: Path) -> Path:
    """A node that emits `sure` (reliable), `vital` (critical) and `plain` (standard)."""
    profiles = (("sure", "reliable"), ("vital", "critical"), ("plain", "standard"))
    emits = ", ".join(
        f'{{ name: "{name}", qos_profile: "{profile}", message_format: {PAYLOAD} }}' for name, profile in profiles
    )
    return _write(directory / "commander", "commander", "talker.py", f"topics: {{ emits: [{emits}] }}", "")


def write_follower(directory: Path) -> Path:
    """A node with a slot `any` (from_any) for commanders."""
    slots = 'depends_on: { nodes: [{ name: "commander", tag: "v1", link_id: "any", from_any: true }] },'
    consumes = ", ".join(f'{{ link_id: "any", name: "{name}" }}' for name in ("sure", "vital", "plain"))
    return _write(directory / "follower", "follower", "listener.py", f"topics: {{ consumes: [{consumes}] }}", slots)


def write_view(directory: Path) -> Path:
    """A node with the slots `left`, `right` (pinned) and `rest` (from_any) for instances of `cam:v1`."""
    slots = ", ".join(
        f'{{ name: "cam", tag: "v1", link_id: "{link_id}", from_any: {from_any} }}'
        for link_id, from_any in (("left", "false"), ("right", "false"), ("rest", "true"))
    )
    topics = (("left", "plain"), ("right", "plain"), ("rest", "plain"), ("rest", "fast"))
    consumes = ", ".join(f'{{ link_id: "{link_id}", name: "{name}" }}' for link_id, name in topics)
    interfaces = f"topics: {{ consumes: [{consumes}] }}"
    return _write(directory / "view", "view", "listener.py", interfaces, f"depends_on: {{ nodes: [{slots}] }},")


def write_server(directory: Path) -> Path:
    """A node that serves `echo`, `late` and `lone`, which give back what they get, and `touch`, without formats."""
    formats = f"request_message_format: {PAYLOAD}, response_message_format: {PAYLOAD}"
    echoes = ", ".join(f'{{ name: "{name}", {formats} }}' for name in ("echo", "late", "lone"))
    return _write(
        directory / "server", "server", "server.py", f'services: {{ exposes: [{echoes}, {{ name: "touch" }}] }}', ""
    )


def write_caller(directory: Path, name: str = "caller", *, pinned: bool = True) -> Path:
    """A node with the slots `main` (if `pinned`) and `rest` (from_any) for servers."""
    slots = {"main": False, "rest": True} if pinned else {"rest": True}
    nodes = ", ".join(
        f'{{ name: "server", tag: "v1", link_id: "{link_id}", from_any: {str(from_any).lower()} }}'
        for link_id, from_any in slots.items()
    )
    consumes = ", ".join(
        f'{{ link_id: "{link_id}", name: "{service}" }}'
        for link_id in slots
        for service in ("echo", "late", "lone", "touch")
    )
    interfaces = f"services: {{ consumes: [{consumes}] }}"
    return _write(directory / name, name, "caller.py", interfaces, f"depends_on: {{ nodes: [{nodes}] }},")


def _write(directory: Path, name: str, program: str, interfaces: str, slots: str) -> Path:
    directory.mkdir(parents=True)
    (directory / "peppy.json5").write_text(
        f"""{{
          peppy_schema: "node_v1",
          manifest: {{ name: "{name}", tag: "v1", {slots} }},
          interfaces: {{ {interfaces} }},
          execution: {{ language: "python", {PARAMETERS}, run_cmd: ["{sys.executable}", "{program}"] }},
        }}"""
    )
    (directory / program).write_text((NODES / program).read_text())
    return directory


def write_arm(directory: Path, *, name: str = "arm") -> Path:
    """A node that exposes the actions `move`, `calibrate` (no payload at all) and `note` (feedback of any size)."""
    return _write(directory / name, name, "arm.py", f"actions: {{ exposes: [{_MOVE}, {_CALIBRATE}, {_NOTE}] }}", "")


def write_pilot(directory: Path) -> Path:
    """A node with the slots `main` (pinned) and `rest` (from_any) for arms."""
    slots = """depends_on: { nodes: [{ name: "arm", tag: "v1", link_id: "main" },
                                      { name: "arm", tag: "v1", link_id: "rest", from_any: true }] },"""
    consumes = ", ".join(
        f'{{ link_id: "{link_id}", name: "{name}" }}'
        for link_id, name in (("main", "move"), ("main", "calibrate"), ("main", "note"), ("rest", "move"))
    )
    return _write(directory / "pilot", "pilot", "pilot.py", f"actions: {{ consumes: [{consumes}] }}", slots)


_MOVE = """{ name: "move",
    goal_service: { request_message_format: { arm_id: "u16", decide: "string", work: "string", count: "u32" } },
    feedback_topic: { message_format: { arm_id: "u16", step: "u32" } },
    result_service: { response_message_format: { success: "bool",
        position: { $type: "array", $items: "i32", $length: 3 }, log: { $type: "bytes", $optional: true } } } }"""
_CALIBRATE = '{ name: "calibrate" }'
_NOTE = """{ name: "note", goal_service: { request_message_format: { count: "u32", size: "u32" } },
    feedback_topic: { qos_profile: "reliable", message_format: { text: "string" } } }"""
