"""A real daemon in a temporary data root, with the nodes of bench/nodes: what the typed figures are measured in.

The nodes run with the interpreter of the benchmark instead of an environment of their own; everything else is as in any
stack. One stack serves a whole run: it starts with the first case that needs it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from bench import manifests
from peppy.client import Client
from peppy.protocol.frames import Frame, NodeAdd, NodeBuild, NodeRun, NodeStop, ServiceStop

NODES = Path(__file__).parent / "nodes"
LIMIT = 120.0
Pairs = tuple[tuple[str, str], ...]


class Instance:
    """One running node; `pid` is its program."""

    def __init__(self, instance_id: str, pid: int, connection: socket.socket | None) -> None:
        self.instance_id = instance_id
        self.pid = pid
        self._connection = connection
        self._lines = connection.makefile("r") if connection else None

    def ask(self, method: str, **arguments: object) -> None:
        """Start a call of the peer's."""
        assert self._connection is not None
        self._connection.sendall(json.dumps({"method": method, "arguments": arguments}).encode() + b"\n")

    def answer(self) -> Any:
        """What the call that was started returns. RuntimeError when it failed."""
        assert self._lines is not None
        line = self._lines.readline()
        answer = json.loads(line) if line else {"error": "the node has ended"}
        if "error" in answer:
            raise RuntimeError(f"instance `{self.instance_id}`: {answer['error']}")
        return answer["result"]

    def call(self, method: str, **arguments: object) -> Any:
        self.ask(method, **arguments)
        return self.answer()


class Stack:
    """The daemon, two peers, and whatever else a suite runs."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="peppy-bench-")
        self.root = Path(self._directory.name)
        self.environment = {**os.environ, "PEPPY_HOME": str(self.root / "home")}
        self.daemon = subprocess.Popen(
            [sys.executable, "-m", "peppy.daemon"], env=self.environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert self.daemon.stdout is not None
            if self.daemon.stdout.readline().strip() != "ready":
                raise RuntimeError("the daemon did not start")
            self._client = Client.connect(self.root / "home", autostart=False, on_notice=print)
            self._add("starter", manifests.starter())
            self._add("idle", manifests.idle())
            self._add("peer", manifests.peer("bench_far", None))  # the two ends need each other's formats
            self._add("peer", manifests.peer("bench_near", "bench_far"))
            self._add("peer", manifests.peer("bench_far", "bench_near"))
            self.near, self.far = self._run_told("near"), self._run_told("far")
        except BaseException:
            self.daemon.terminate()  # ends its instances too
            self.daemon.wait(LIMIT)
            self._directory.cleanup()
            raise

    @cached_property
    def calling(self) -> tuple[Instance, Instance]:
        """One instance that calls and fires goals, and the one that serves them."""
        self._add("server", manifests.server())
        self._add("caller", manifests.caller())
        server = self._run_told("server")
        return self._run_told("caller", ("server", "server")), server

    def ask(self, request: Frame) -> Any:
        return self._client.call(request, timeout=LIMIT)

    def run(self, node: str, instance_id: str) -> Instance:
        """Start an instance and wait until its setup has returned."""
        return Instance(instance_id, self._start(node, instance_id, (), ()), None)

    def stop(self, instances: Sequence[Instance]) -> None:
        self.ask(NodeStop(tuple(instance.instance_id for instance in instances)))

    def close(self) -> None:
        """End everything."""
        self.ask(ServiceStop(False))
        self._client.close()
        self.daemon.wait(LIMIT)
        self._directory.cleanup()

    def _add(self, program: str, manifest: dict[str, Any]) -> None:
        source = self.root / "source"
        source.mkdir(exist_ok=True)
        (source / "peppy.json5").write_text(json.dumps(manifest))
        for name in (program, "told"):
            shutil.copy(NODES / f"{name}.py", source)
        self.ask(NodeAdd(str(source), None, True, False, LIMIT))
        self.ask(NodeBuild(f"{manifest['manifest']['name']}:v1", False, False, self.environment, LIMIT))

    def _start(self, node: str, instance_id: str, arguments: Pairs, bindings: Pairs) -> int:
        return self.ask(NodeRun(f"{node}:v1", instance_id, arguments, bindings, self.environment, LIMIT)).pid

    def _run_told(self, instance_id: str, *bindings: tuple[str, str]) -> Instance:
        path = self.root / f"{instance_id}.sock"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen(1)
            listening.settimeout(LIMIT)
            pid = self._start(f"bench_{instance_id}", instance_id, (("control", str(path)),), bindings)
            connection, _ = listening.accept()
        connection.settimeout(LIMIT)
        return Instance(instance_id, pid, connection)


@cache
def running() -> Stack:
    """The stack of this run, started by whoever asks first."""
    return Stack()


def close() -> None:
    """End the stack of this run, if it was started."""
    if running.cache_info().currsize:
        running().close()
        running.cache_clear()
