"""A robot under test: nodes of `telling` as instances of a daemon and as standalone programs, driven by the test."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from living import WATCHDOG_SECS, LivingDaemon, configure, eventually
from telling import NODES, Told

from peppy.protocol.frames import NodeStop, NodeSync, StackList
from peppy.runtime.config import VARIABLE

MAIN = """
import sys
sys.path.insert(0, ".")
from {node} import NodeBuilder, setup
from peppygen import StandaloneConfig
config = StandaloneConfig().with_parameters({parameters!r})
NodeBuilder().standalone(config{more}).run(setup)
"""
JOINED = re.compile(r"\[INFO\] joined the stack as `[\w-]+`\n")
"""What every program says first on stderr."""


def environment(home: Path, **variables: str) -> dict[str, str]:
    """What a program in a terminal sees."""
    inherited = {key: value for key, value in os.environ.items() if key != VARIABLE}
    return {**inherited, "PEPPY_HOME": str(home), **variables}


def sync(daemon: LivingDaemon, source: Path) -> None:
    """Generates the library in the node's own directory."""
    daemon.ask(NodeSync(str(source), 60.0))


class Program:
    """One node program in a process of its own, without `peppy node run`; `told` drives it."""

    def __init__(self, home: Path, source: Path, told: Told, *, more: str = "", **variables: str) -> None:
        """`more` is code behind the StandaloneConfig, such as `.with_instance_id("s1")`."""
        self.told = told
        parameters = {"control": str(told.path), "harness": str(NODES)}
        code = MAIN.format(node=source.name, parameters=parameters, more=more)
        self.process = run(home, source, code, **variables)

    @property
    def pid(self) -> int:
        return self.process.pid

    def call(self, method: str, **arguments: Any) -> Any:
        return self.told.call(method, **arguments)

    def connected(self) -> "Program":
        self.told.connected()
        return self

    def ends(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """Its exit status and what it said on stderr behind its id, after a signal or by itself."""
        if number is not None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=WATCHDOG_SECS)
        return self.process.returncode, JOINED.sub("", errors, count=1)

    def close(self) -> None:
        if self.process.poll() is None:
            self.ends(signal.SIGTERM)
        self.told.close()


def run(home: Path, source: Path, code: str, **variables: str) -> "subprocess.Popen[str]":
    """Runs `code` with Python in the node's directory, as from a terminal."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=source,
        env=environment(home, **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rows(daemon: LivingDaemon) -> dict[str, str]:
    """The connected standalone programs of `stack list`: name:tag by instance id."""
    return {row.instance_id: row.node for row in daemon.ask(StackList()).standalone}


class Robot:
    """A daemon with the nodes of `sources` in its stack, their instances, and standalone programs."""

    def __init__(self, directory: Path, *sources: Path, configuration: str = "{}") -> None:
        self.directory = directory
        self.daemon = LivingDaemon(directory / "home")
        configure(self.daemon.home, configuration)
        self.daemon.start()
        self.sources = {source.name: source for source in sources}
        for source in sources:
            self.daemon.ready(source)
        self.instances: dict[str, Told] = {}
        self.programs: list[Program] = []

    def instance(self, node: str, instance_id: str, *bindings: str) -> Told:
        """An instance that the daemon starts; `bindings` are `KEY@VALUE`."""
        told = Told(self.directory, instance_id)
        arguments = [(key, value) for key, _, value in (word.partition("=") for word in told.arguments)]
        pairs = [(key, value) for key, _, value in (word.partition("@") for word in bindings)]
        try:
            started = self.daemon.run(f"{node}:v1", instance_id, arguments, pairs)
        except BaseException:
            told.close()
            raise
        told.pid, told.warnings = started.pid, started.warnings
        self.instances[instance_id] = told.connected()
        return told

    def stop(self, instance_id: str) -> None:
        self.daemon.ask(NodeStop((instance_id,)))
        self.instances.pop(instance_id).close()

    def kill(self, instance_id: str) -> None:
        """Kill an instance and wait until the daemon knows."""
        os.kill(self.instances[instance_id].pid, signal.SIGKILL)
        self.lose(instance_id)

    def lose(self, instance_id: str) -> None:
        """Wait until the daemon knows that an instance has died."""
        eventually(lambda: self.daemon.instance_row(instance_id).state == "failed")
        self.instances.pop(instance_id).close()

    def program(self, node: str, more: str = "", **variables: str) -> Program:
        """A standalone program; `more` as for `Program`."""
        told = Told(self.directory, f"program{len(self.programs)}")
        program = Program(self.daemon.home, self.sources[node], told, more=more, **variables)
        self.programs.append(program)
        return program.connected()

    def peppy(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A run of the command line."""
        command = [sys.executable, "-m", "peppy.cli", *words]
        return subprocess.run(command, env=self.daemon.environment, capture_output=True, text=True, check=False)

    def tidy(self, *kept: str) -> None:
        """Ends all programs, and all instances but those that are kept."""
        for program in self.programs:
            program.close()
        self.programs.clear()
        for instance_id in self.instances.keys() - set(kept):
            self.stop(instance_id)
        eventually(lambda: not rows(self.daemon))

    def close(self) -> None:
        self.daemon.end()
        for told in self.instances.values():
            told.close()
