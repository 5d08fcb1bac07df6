"""Daemons without the price of their imports: forked, one after the other, from one process that has made them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from living import LivingDaemon

PROGRAM = """
import json, os, sys
import peppy.daemon.life
from peppy.daemon.main import main

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.environ.clear()
        os.environ.update(json.loads(line))
        print(os.getpid(), flush=True)
        os._exit(main([]))
    status = os.waitpid(child, 0)[1]
    print("exit", os.waitstatus_to_exitcode(status), flush=True)
"""


class Nursery:
    """The process that daemons are forked from; one of them lives at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        self.process.communicate()

    def fork(self, environment: dict[str, str]) -> "ForkedProcess":
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(environment) + "\n")
        self.process.stdin.flush()
        return ForkedProcess(self)


class ForkedProcess:
    """What `LivingDaemon` needs of a `subprocess.Popen`."""

    def __init__(self, nursery: Nursery) -> None:
        assert nursery.process.stdout is not None
        self._lines = nursery.process.stdout
        self.pid = int(self._lines.readline())
        self.returncode: int | None = None
        self.stdout = self

    def readline(self) -> str:
        """The next line that the daemon says, or `exit` with its status."""
        line = self._lines.readline()
        if line.startswith("exit "):
            self.returncode = int(line.split()[1])
        return line

    def wait(self, timeout: float | None = None) -> int:  # noqa: ARG002 (the time limit of the test counts)
        while self.returncode is None:
            self.readline()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        return "", ""

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(9)


class ForkedDaemon(LivingDaemon):
    """A daemon of a nursery. Its own `/proc` entry does not name its data root; those of its nodes do."""

    def __init__(self, nursery: Nursery, home: Path, **variables: str) -> None:
        super().__init__(home, **variables)
        self._nursery = nursery

    def spawn(self, *arguments: str) -> Any:
        assert not arguments
        self.process = self._nursery.fork(self.environment)  # pyright: ignore[reportAttributeAccessIssue]
        return self.process
