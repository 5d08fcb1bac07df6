"""A camera: plays a video file, or renders a moving scene, and emits rgb8 frames."""

import asyncio
import time
import zlib
from pathlib import Path

from peppygen import NodeBuilder, NodeRunner
from peppygen.emitted_topics import frames
from peppygen.parameters import Parameters

from camera.scene import Scene
from camera.y4m import Video


async def stream(params: Parameters, runner: NodeRunner) -> None:
    """Draw each frame straight into the ring: nothing is copied on the way to the readers."""
    publisher = frames.declare_publisher(runner)
    runner.on_shutdown(lambda: print(f"published {publisher.stats().published}"))
    source = Video(Path(params.video)) if params.video else Scene(params.width, params.height)
    height, width, _ = source.shape
    due = time.monotonic()
    for item in source:
        with publisher.loan(shapes={"data": source.shape}) as message:
            if isinstance(source, Scene):
                source.draw(message.data, item)
            else:
                message.data[...] = item
            message.stamp = time.time()
            message.width, message.height, message.encoding = width, height, "rgb8"
            message.checksum = zlib.crc32(message.data)
        due = max(due + 1.0 / params.rate_hz, time.monotonic() - 1.0)
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(stream(params, runner))]


def main() -> None:
    NodeBuilder().run(setup)


if __name__ == "__main__":
    main()
