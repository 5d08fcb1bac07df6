"""The node's end of the wire between a test and a node program: method calls as JSON lines."""

import asyncio
import json
import os
from typing import Any


class Descriptors:
    """Takes all file descriptors that are left to its process, and gives them back."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    async def use_up_descriptors(self) -> bool:
        try:
            while True:
                self.taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return True

    async def give_descriptors_back(self) -> bool:
        while self.taken:
            os.close(self.taken.pop())
        return True


async def serve_commands(control: str, target: Any) -> None:
    """Call `target.<method>(**arguments)` for each line; calls may overlap, answers carry the call's number."""
    reader, writer = await asyncio.open_unix_connection(control)
    descriptors = Descriptors()
    calls: set[asyncio.Task[None]] = set()

    async def call(number: int, method: str, arguments: dict[str, Any]) -> None:
        try:
            served = target if hasattr(target, method) else descriptors
            answer = {"result": await getattr(served, method)(**arguments)}
        except Exception as error:
            answer = {"error": type(error).__name__, "text": str(error)}
        writer.write(json.dumps({"number": number, **answer}).encode() + b"\n")
        await writer.drain()

    while line := await reader.readline():
        task = asyncio.create_task(call(**json.loads(line)))
        calls.add(task)
        task.add_done_callback(calls.discard)
