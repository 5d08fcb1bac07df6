"""What the nodes of the benchmark share: they stay on a CPU, keep it awake, and do what they are told over a socket."""

import asyncio
import contextlib
import json
import os
import subprocess
from pathlib import Path


class Told:
    """Base of what the benchmark calls: every public coroutine is a method that it may name."""

    def __init__(self) -> None:
        self._burner: subprocess.Popen[bytes] | None = None

    async def pin(self, cpu: int, burner: str | None) -> None:
        """Keep all threads on this CPU, anywhere when it is -1, and the CPU awake when there is a program for that."""
        cpus = {cpu} if cpu >= 0 else set(range(os.cpu_count() or 1))
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), cpus)
        if burner:
            self._burner = subprocess.Popen([burner, str(cpu)], start_new_session=True)
            yield_to_other_sessions(self._burner.pid)

    async def rest(self) -> None:
        """Let the CPU sleep again."""
        if self._burner is not None:
            self._burner.kill()
            self._burner.wait()
            self._burner = None


def yield_to_other_sessions(pid: int) -> None:
    """Make the session of this process count next to nothing.

    The kernel shares a CPU among sessions first (autogroup) and among processes then: a spinner that idles beside the
    node that started it takes half of the CPU from a daemon or a node of another session.
    """
    with contextlib.suppress(OSError):  # a kernel without autogroups
        Path(f"/proc/{pid}/autogroup").write_text("19")


async def serve(control: str, told: Told) -> None:
    """One JSON object a line: `{"method": ..., "arguments": {...}}`; the answer is one line too."""
    reader, writer = await asyncio.open_unix_connection(control)
    while line := await reader.readline():
        call = json.loads(line)
        try:
            answer = {"result": await getattr(told, call["method"])(**call["arguments"])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
