"""A real daemon under test: started, asked, killed; and nodes to give it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from peppy.board.segment import board_name
from peppy.client import Client
from peppy.errors import PeppyError
from peppy.protocol.frames import (
    Frame,
    NodeAdd,
    NodeBuild,
    NodeLogs,
    NodeRun,
    Output,
    ServiceStop,
    StackList,
    StackReset,
)

WATCHDOG_SECS = 60.0
CONFIGURATION = "conf/peppy_config.json5"
FOREVER = ("sh", "-c", "echo up; exec sleep 1000")
"""A program that ends when it is told to."""


def eventually(claim: Callable[[], Any], what: str = "the claim") -> Any:
    """The first true value of `claim`; fails when it does not come true within the watchdog's time."""
    deadline = time.monotonic() + WATCHDOG_SECS
    while not (value := claim()):
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.01)
    return value


class LivingDaemon:
    """A daemon in a process of its own, with a data root of its own."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self.environment = {**os.environ, "PEPPY_HOME": str(home), **variables}
        self.process: subprocess.Popen[str] | None = None

    def start(self, *arguments: str) -> "LivingDaemon":
        """Starts it and waits until it is ready."""
        self.spawn(*arguments)
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", f"the daemon said {line!r} and {self.process.communicate()[1]!r}"
        return self

    def spawn(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts it without waiting."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "peppy.daemon", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def client(self) -> Client:
        return Client.connect(self.home, autostart=False, on_notice=print)

    def ask(self, request: Frame, on_output: Callable[[Output], None] | None = None) -> Any:
        """The answer to a request."""
        with self.client() as client:
            return client.call(request, timeout=WATCHDOG_SECS, on_output=on_output)

    def refusal(self, request: Frame) -> PeppyError:
        """The error that a request is answered with."""
        try:
            answer = self.ask(request)
        except PeppyError as error:
            return error
        raise AssertionError(f"answered {answer}")

    def kill(self) -> None:
        """Ends the daemon as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()
        self.process = None

    def end(self) -> None:
        """Ends the daemon and its instances, if it runs; after a kill another one is started to clean up."""
        if self.process is None and any((self.home / "run/instances").glob("*")):
            self.start()
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=WATCHDOG_SECS)
        self.process = None

    def stop(self, *, keep_instances: bool = False) -> None:
        """Ends the daemon by request."""
        assert self.process is not None
        self.ask(ServiceStop(keep_instances))
        assert self.process.wait(WATCHDOG_SECS) == 0
        self.process.communicate()
        self.process = None

    def reset(self) -> None:
        """Empties the stack; what a client has left running may hold a node for a moment longer."""
        eventually(self._is_reset, "the reset")

    def _is_reset(self) -> bool:
        try:
            self.ask(StackReset(force=True))
        except PeppyError as error:
            if error.kind != "Busy":
                raise
            return False
        return True

    # --- the usual requests --------------------------------------------------------------------------------------

    def add(self, source: Path, *, force: bool = False, stop: bool = False, variant: str | None = None) -> Any:
        return self.ask(NodeAdd(str(source), variant, force, stop, 60.0))

    def build(self, node: str, *, force: bool = False, if_needed: bool = False, **variables: str) -> Any:
        return self.ask(NodeBuild(node, force, if_needed, _environment(variables), 60.0))

    def run(
        self,
        node: str,
        instance_id: str | None = None,
        arguments: Sequence[tuple[str, str]] = (),
        bindings: Sequence[tuple[str, str]] = (),
        **variables: str,
    ) -> Any:
        request = NodeRun(node, instance_id, tuple(arguments), tuple(bindings), _environment(variables), 60.0)
        return self.ask(request)

    def ready(self, source: Path) -> str:
        """Adds and builds a node; its name:tag."""
        node = self.add(source).node
        self.build(node)
        return node

    def node_row(self, node: str) -> Any:
        """The row of a node in `stack list`; None when it is not there."""
        rows = self.ask(StackList()).nodes
        return next((row for row in rows if f"{row.name}:{row.tag}" == node), None)

    def instance_row(self, instance_id: str) -> Any:
        """The row of an instance in `stack list`; None when it is not there."""
        rows = self.ask(StackList()).nodes
        return next((found for row in rows for found in row.instances if found.instance_id == instance_id), None)

    def ask_core_name(self) -> str:
        """The core node's name."""
        with self.client() as client:
            return client.welcome.core_node_name

    def ask_logs(self, target: str, which: str) -> str:
        """The path of a log."""
        return self.ask(NodeLogs(target, which)).log

    def log(self) -> str:
        return (self.home / "logs/daemon.log").read_text()

    def stack_log(self) -> str:
        return (self.home / "logs/stack.log").read_text()


def _environment(variables: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}


def make_node(
    directory: Path,
    name: str = "echoer",
    *,
    tag: str = "0.1.0",
    language: str = "other",
    run_cmd: Sequence[str] = FOREVER,
    build_cmd: Sequence[str] | None = None,
    depends_on: dict[str, Any] | None = None,
    interfaces: dict[str, Any] | None = None,
    parameters: dict[str, Any] | None = None,
    files: dict[str, str] | None = None,
    **more: Any,
) -> Path:
    """A node in a new directory below `directory`."""
    manifest: dict[str, Any] = {"name": name, "tag": tag}
    if depends_on is not None:
        manifest["depends_on"] = depends_on
    execution: dict[str, Any] = {"language": language, "run_cmd": list(run_cmd)}
    if build_cmd is not None:
        execution["build_cmd"] = list(build_cmd)
    if parameters is not None:
        execution["parameters"] = parameters
    document = {
        "peppy_schema": "node_v1",
        "manifest": manifest,
        "interfaces": interfaces or {},
        "execution": execution,
        **more,
    }
    source = directory / name
    source.mkdir(parents=True, exist_ok=True)
    (source / "peppy.json5").write_text(json.dumps(document))
    for path, text in (files or {}).items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text)
    return source


def processes_of(home: Path) -> list[int]:
    """Pids of all processes that were started for this data root."""
    mark = f"PEPPY_HOME={home}".encode()
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def assert_nothing_is_left(home: Path) -> None:
    """No process, no shared memory, no socket, no record of a daemon, no directory of a build."""
    assert processes_of(home) == []
    assert not Path("/dev/shm", board_name(home).lstrip("/")).exists()
    left = [path.name for name in ("daemon.sock", "daemon.json", "builds/*") for path in (home / "run").glob(name)]
    assert left == []


def make_python_node(
    directory: Path, name: str = "pynode", *, body: str = "def setup(params, runner): pass", **more: Any
) -> Path:
    """A node of the generated library; `body` defines `setup`. It runs with the interpreter of the tests."""
    program = (
        "import sys\nsys.path.insert(0, '.peppy/libs/peppygen')\n"
        f"from peppygen import NodeBuilder\n{body}\nNodeBuilder().run(setup)\n"
    )
    run_cmd = [sys.executable, "main.py"]
    return make_node(directory, name, language="python", run_cmd=run_cmd, files={"main.py": program}, **more)


def configure(home: Path, text: str) -> None:
    """Writes the configuration of a daemon that has not started."""
    path = home / CONFIGURATION
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return _state(Path(f"/proc/{pid}/stat")) != "Z"
    except OSError:
        return False


def halt(pid: int) -> None:
    """Stop a process with SIGSTOP; none of its threads runs when this returns."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: all(_state(task / "stat") in "tT" for task in Path(f"/proc/{pid}/task").iterdir()))


def _state(stat: Path) -> str:
    return stat.read_text().rpartition(")")[2].split()[0]
