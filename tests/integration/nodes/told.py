"""The node's end of the wire between a test and a node program: method calls as JSON lines."""

import asyncio
import json
from typing import Any


async def serve_commands(control: str, target: Any) -> None:
    """Call `target.<method>(**arguments)` for each line; calls may overlap, answers carry the call's number."""
    reader, writer = await asyncio.open_unix_connection(control)
    calls: set[asyncio.Task[None]] = set()

    async def call(number: int, method: str, arguments: dict[str, Any]) -> None:
        try:
            answer = {"result": await getattr(target, method)(**arguments)}
        except Exception as error:
            answer = {"error": type(error).__name__, "text": str(error)}
        writer.write(json.dumps({"number": number, **answer}).encode() + b"\n")
        await writer.drain()

    while line := await reader.readline():
        task = asyncio.create_task(call(**json.loads(line)))
        calls.add(task)
        task.add_done_callback(calls.discard)
