"""A monitor of the machine it runs on: load, processors, memory and processes, ten times a second."""

import asyncio
import struct
import time
import zlib

import numpy as np
from peppygen import NodeBuilder, NodeRunner
from peppygen.emitted_topics import readings
from peppygen.parameters import Parameters

from host_monitor import proc


async def watch(params: Parameters, runner: NodeRunner) -> None:
    publisher = readings.declare_publisher(runner)
    runner.on_shutdown(lambda: print(f"published {publisher.stats().published}"))
    processors = proc.Processors()
    while True:
        await asyncio.sleep(1.0 / params.rate_hz)
        busy = np.array(processors.busy(), np.float32)
        total, available = proc.memory()
        checksum = zlib.crc32(struct.pack("<2Q", total, available), zlib.crc32(busy))
        memory = readings.MessageMemory(total_bytes=total, available_bytes=available)
        await readings.emit(runner, time.time(), proc.uptime(), proc.load(), busy, memory, proc.processes(), checksum)


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(watch(params, runner))]


def main() -> None:
    NodeBuilder().run(setup)


if __name__ == "__main__":
    main()
