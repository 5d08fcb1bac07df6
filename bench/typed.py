"""The generated API between two node processes under a daemon: what a person who writes nodes gets."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench import stack
from bench.measure import CPUS, Measure, program
from bench.results import Case, Sample

KIB, MIB = 1 << 10, 1 << 20
IMU = 64
FRAME = 6_220_800
TOPICS = {IMU: "imu", MIB: "frame_1m", 8 * MIB: "frame_8m", FRAME: "frame_hd"}
LOANED = "loan: header, first and last byte written"
PACED, FLOODING = "paced by acknowledgements", "flooding"


def plan(quick: bool) -> Iterator[tuple[Case, Measure]]:
    """An IMU message in all modes, a camera frame by copy and by loan, then how much flows."""
    for condition in ("awake", "1cpu") if quick else ("awake", "1cpu", "free"):
        for mode in ("typed-asyncio", "typed-block", "typed-poll"):
            if mode == "typed-poll" and condition == "1cpu":
                continue  # two ends that spin on one CPU measure the scheduler's slice
            yield _latency(IMU, mode, condition, "IMU message")
    for size in (MIB, 8 * MIB):
        yield _latency(size, "typed-asyncio", "awake", "copied in and out, touched")
        yield _latency(size, "loan-asyncio", "awake", LOANED)
    for note in (PACED, FLOODING):
        yield Case("typed", "peppy", "throughput", IMU, "typed-poll", "awake", "msg/s", f"IMU, {note}"), pour
    yield _frames("typed-asyncio", "copied in and out")
    yield _frames("loan-asyncio", "copied in, read in place")


def _latency(size: int, mode: str, condition: str, note: str) -> tuple[Case, Measure]:
    return Case("typed", "peppy", "latency", size, mode, condition, "us", note), measure


def _frames(mode: str, note: str) -> tuple[Case, Measure]:
    return Case("typed", "peppy", "throughput", FRAME, mode, "awake", "GB/s", f"{note}, {PACED}"), pour


def measure(case: Case, seconds: float) -> Sample:
    """One repeat: round trips for about `seconds`."""
    topic = TOPICS[case.size]
    with _prepared(case, topic) as (near, far):
        far.ask("echo", topic=topic, mode=case.mode)
        times = near.call("ping", topic=topic, mode=case.mode, seconds=seconds)
        far.answer()
    return Sample(n=len(times), times=times)


def pour(case: Case, seconds: float) -> Sample:
    """One repeat: publish for about `seconds`, and count what came."""
    topic = TOPICS[case.size]
    with _prepared(case, topic, "ack") as (near, far):
        far.ask("drink", topic=topic, mode=case.mode)
        near.call("pour", topic=topic, paced=PACED in case.note, seconds=seconds)
        received, rate, lost = far.answer()
    return Sample(n=received, value=rate if case.unit == "msg/s" else rate * case.size / 1e9, lost=lost)


@contextmanager
def _prepared(case: Case, *topics: str) -> Iterator[tuple[stack.Instance, stack.Instance]]:
    running = stack.running()
    ends, cpus = (running.near, running.far), CPUS[case.condition]
    burner = program("burner") if case.condition == "awake" else None
    for end, cpu in zip(ends, cpus, strict=True):
        end.call("prepare", topics=topics, cpu=cpu, burner=burner)
    yield ends
    for end in ends:
        end.call("rest")
