"""Standalone programs under test: the nodes of `telling`, started as a person would, and driven by the test."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from living import WATCHDOG_SECS, LivingDaemon
from telling import NODES, Told

from peppy.protocol.frames import NodeSync, StackList
from peppy.runtime.config import VARIABLE

MAIN = """
import sys
sys.path.insert(0, ".")
from {node} import NodeBuilder, setup
from peppygen import StandaloneConfig
config = StandaloneConfig().with_parameters({parameters!r})
NodeBuilder().standalone(config{more}).run(setup)
"""


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
        """Its exit status and what it said on stderr, after a signal or by itself."""
        if number is not None:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=WATCHDOG_SECS)
        return self.process.returncode, errors

    def close(self) -> None:
        if self.process.poll() is None:
            self.ends(signal.SIGTERM)
        self.told.close()
        self.told.path.unlink(missing_ok=True)


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
