"""A viewer: reads camera, IMU and host monitor, and prints once a second what arrives and how fast."""

import asyncio
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from peppygen import NodeBuilder, NodeRunner
from peppygen.consumed_topics import camera_frames, host_readings, imu_samples
from peppygen.parameters import Parameters

from viewer.meter import HEADING, Meter
from viewer.png import write_png

NUMBERS = struct.Struct("<11d")


async def watch_camera(meter: Meter, frames: camera_frames.Subscription, picture: str) -> None:
    """Frames are looked at where they lie: a loan points into the shared memory that the camera drew in."""
    while True:
        async with frames.next_loan() as loan:
            frame = loan.message
            meter.count(loan.info, zlib.crc32(frame.data) == frame.checksum)
            if picture and meter.received == 1:
                # The image points into the ring too: it stays unchanged until the file is written.
                image = np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width, 3)
                asyncio.create_task(save(Path(picture), image))  # noqa: RUF006 (the runtime keeps the task)


async def save(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write the picture beside everything else."""
    await asyncio.to_thread(write_png, path, image)
    print(f"wrote {path}")


async def watch_imu(meter: Meter, samples: imu_samples.Subscription) -> None:
    async for _, sample in samples:
        numbers = (*sample.orientation, *sample.angular_velocity, *sample.linear_acceleration)
        assert samples.info is not None
        meter.count(samples.info, zlib.crc32(NUMBERS.pack(sample.stamp, *numbers)) == sample.checksum)


async def watch_host(meter: Meter, readings: host_readings.Subscription) -> None:
    async for _, reading in readings:
        memory = struct.pack("<2Q", reading.memory.total_bytes, reading.memory.available_bytes)
        assert readings.info is not None
        meter.count(readings.info, zlib.crc32(memory, zlib.crc32(reading.cpu_busy)) == reading.checksum)


async def setup(params: Parameters, runner: NodeRunner) -> list[asyncio.Task[None]]:
    frames = camera_frames.subscribe(runner)
    samples = imu_samples.subscribe(runner)
    readings = host_readings.subscribe(runner)
    meters = [(Meter("frames"), frames), (Meter("samples"), samples), (Meter("readings"), readings)]

    async def report() -> None:
        while True:
            await asyncio.sleep(1.0)
            print(HEADING)
            for meter, subscription in meters:
                print(meter.line(subscription.stats().lost))

    def summary() -> None:
        """The whole run in one line that programs can read."""
        topics = {
            meter.topic: {
                "first_sequence": meter.first_sequence,
                "received": meter.received,
                "lost": subscription.stats().lost,
                "wrong": meter.wrong,
            }
            for meter, subscription in meters
        }
        print("summary " + json.dumps(topics))

    runner.on_shutdown(summary)
    work = [
        watch_camera(meters[0][0], frames, params.picture),
        watch_imu(meters[1][0], samples),
        watch_host(meters[2][0], readings),
        report(),
    ]
    return [asyncio.create_task(task) for task in work]


def main() -> None:
    NodeBuilder().run(setup)


if __name__ == "__main__":
    main()
