"""An inertial sensor on a turntable: turns once in ten seconds and emits a stamped sample a thousand times a second."""

import asyncio
import math
import struct
import time
import zlib

from peppygen import NodeBuilder, NodeRunner
from peppygen.emitted_topics import samples
from peppygen.parameters import Parameters

TURN_SECS = 10.0
GRAVITY = 9.80665
LEVER_M = 0.1  # distance of the sensor from the axis
NUMBERS = struct.Struct("<11d")


def sample(params: Parameters, runner: NodeRunner) -> None:
    """Keep the rate with a thread of its own: `publish` may be called from any thread."""
    publisher = samples.declare_publisher(runner)
    runner.on_shutdown(lambda: print(f"published {publisher.stats().published}"))
    token = runner.cancellation_token()
    rate = 2 * math.pi / TURN_SECS
    start = due = time.monotonic()
    while not token.is_cancelled():
        half = rate * (time.monotonic() - start) / 2
        stamp = time.time()
        orientation = [math.cos(half), 0.0, 0.0, math.sin(half)]
        velocity = [0.0, 0.0, rate]
        acceleration = [-LEVER_M * rate**2, 0.0, GRAVITY]
        checksum = zlib.crc32(NUMBERS.pack(stamp, *orientation, *velocity, *acceleration))
        publisher.publish(stamp, orientation, velocity, acceleration, checksum)
        due = max(due + 1.0 / params.rate_hz, time.monotonic() - 0.1)
        time.sleep(max(0.0, due - time.monotonic()))


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(asyncio.to_thread(sample, params, runner))]


def main() -> None:
    NodeBuilder().run(setup)


if __name__ == "__main__":
    main()
