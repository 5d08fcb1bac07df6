"""The bytes of every frame, kept in tests/golden/protocol; `PEPPY_GOLDEN=write` writes them anew.

Two versions of peppy agree only when these bytes do: a change here needs a new `PROTOCOL_VERSION`.
"""

import os
import re
from pathlib import Path

import msgspec
import pytest

from peppy.protocol import PROTOCOL_VERSION, calls, frames, streams
from peppy.protocol.answers import Reset
from peppy.protocol.frame import PREFIX, Parser, encode, numbered
from peppy.protocol.frames import FRAMES, NUMBERS, Frame

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "protocol" / f"version_{PROTOCOL_VERSION}.txt"
PAGE = ROOT / "docs" / "design" / "protocol.md"

LARGE_ID = 2**64 - 2
GOAL = "00c0ffee00c0ffee"
CLAIM = (1, 2, 3, 4, 5, LARGE_ID)
PAYLOAD = b"\x91\x07"
ENVIRONMENT = {"HOME": "/home/ada", "LANG": "de_DE.UTF-8"}
SAMPLES: tuple[Frame, ...] = (
    frames.Hello(
        1,
        "0.1.0",
        0xABCDEF,
        "standalone",
        4120,
        "cam",
        "v1",
        "front",
        "running",
        ("image_source:v1",),
        (("left", "node", "imu", "v1", True),),
    ),
    frames.Welcome(
        1, "0.1.0", 4119, "core-node-calm-hopper-1234", "5f3a", "front", {"topics": {"ring_bytes": 1 << 26}}
    ),
    frames.Refuse("VersionMismatch", "protocol 1 and 2", "run peppy service stop"),
    frames.Done(msgspec.Raw(msgspec.msgpack.encode(Reset(2, 3)))),
    frames.Failed(
        "BadName", "`*`", "rename it", (frames.Problem("BadName", "`*`", "peppy.json5", 3, 9, "manifest.name", None),)
    ),
    frames.Output("stderr", "Größe: 3 µm\n"),
    frames.Cancel(),
    frames.Info(),
    frames.StackList(),
    frames.StackReset(True),
    frames.TopicList(),
    frames.NodeSync("/home/ada/cam", 600.0),
    frames.NodeAdd("/home/ada/cam", "sim", False, True, 3600.0),
    frames.NodeBuild("cam:v1", True, False, ENVIRONMENT, 3600.0),
    frames.NodeRun("cam:v1", "front", (("width", "1280"),), (("left", "c1"),), ENVIRONMENT, 3600.0),
    frames.NodeStop(("front", "back")),
    frames.NodeRemove("cam:v1", False, True),
    frames.NodeInfo("cam:v1", True),
    frames.NodePrune(None),
    frames.NodeLogs("front", "run"),
    frames.ServiceStop(False),
    frames.TopicInfo("front/frames"),
    frames.TopicWatch(7, "front/frames"),
    frames.MemberInfo("service", "front/set_zero"),
    frames.RepoList(),
    frames.RepoRefresh(3600.0),
    frames.RepoAdd("/home/ada/interfaces", False),
    frames.RepoRemove(1000, 3600.0),
    frames.Ready(),
    frames.Healthy(),
    frames.Ending("ValueError: no camera"),
    frames.Probe(),
    frames.Shutdown("`peppy node stop front`", 5.0),
    streams.StreamOpen(LARGE_ID, "frames", 1, 2**63, 1, '[["width","u16",0]]'),
    streams.StreamClose(LARGE_ID),
    streams.Subscribe(7, "left", "frames", 2**63, ((LARGE_ID, 3, 9),)),
    streams.Unsubscribe(7),
    streams.Attach(LARGE_ID, 12, 2, "viewer", True),
    streams.Attachment(7, LARGE_ID, "front", 1, CLAIM),
    streams.AttachmentRefused(7, LARGE_ID, "front", "SchemaMismatch", "both hashes"),
    streams.AttachmentStale(7, LARGE_ID, 3, 9, "Too many open files"),
    streams.RowLeft(LARGE_ID, 3, 9),
    streams.DoorbellGone(12),
    streams.StreamGone(7, LARGE_ID),
    calls.EndpointOpen(3, "action", "dock", None, (2**63, 5, 0)),
    calls.EndpointClose(3, (40, 41)),
    calls.Discover(12, 3),
    calls.Discovered(12),
    calls.Deliver(40, 3, "pilot", "core-node-calm-hopper-1234", 2**62, GOAL, 2),
    calls.Withdrawn(40),
    calls.Acknowledge(40),
    calls.Reply(40, "KeyError: 'x'"),
    calls.Decision(40, True, None, LARGE_ID, 2, CLAIM),
    calls.SignalGoal(GOAL),
    calls.GoalSignalled(GOAL),
    calls.GoalEnded(GOAL, 1, 200),
    calls.GoalKept(GOAL, 3, "pilot", LARGE_ID, 0, 9),
    calls.Call(8, "imu", "set_zero", (2**63, 5), 2**62),
    calls.Goal(9, GOAL, "base", "dock", (2**63, 5, 0), 2**62, 2),
    calls.Withdraw(9),
    calls.Acknowledged(9, "front"),
    calls.Answered(8, "front", "core-node-calm-hopper-1234"),
    calls.CallFailed(8, "ServiceTimeout", "the producer stopped"),
    calls.Decided(9, "front", "core-node-calm-hopper-1234", False, "bay 7 is occupied"),
    calls.CancelGoal(GOAL, 2**62),
    calls.GetResult(10, GOAL, 2**62),
    calls.GoalResult(10, "front", "core-node-calm-hopper-1234", 0),
    calls.FollowGoal(GOAL),
    calls.FeedbackEnd(GOAL, 200),
)


def encoded(frame: Frame) -> bytes:
    kind = type(frame)
    payload = PAYLOAD if kind.carries else b""
    return encode(frame, 0x0102030405060708 if numbered(kind) else 0, kind.descriptors.start, payload)


def written(frame: Frame) -> str:
    data = encoded(frame)
    lines = [data[start : start + 32].hex(" ", -4) for start in range(PREFIX.size, len(data), 32)]
    return "\n".join([f"{NUMBERS[type(frame)]} {type(frame).__name__}", data[: PREFIX.size].hex(" ", -4), *lines, ""])


def golden() -> dict[str, str]:
    blocks = GOLDEN.read_text().split("\n\n")
    return {block.split()[1]: f"{block.strip()}\n" for block in blocks}


def test_there_is_a_sample_of_every_frame() -> None:
    if os.environ.get("PEPPY_GOLDEN") == "write":
        GOLDEN.write_text("\n".join(written(frame) for frame in SAMPLES))
    assert [type(frame) for frame in SAMPLES] == list(FRAMES.values())
    assert list(golden()) == [kind.__name__ for kind in FRAMES.values()]


@pytest.mark.parametrize("frame", SAMPLES, ids=lambda frame: type(frame).__name__)
def test_a_frame_has_the_bytes_that_were_agreed(frame: Frame) -> None:
    assert written(frame) == golden()[type(frame).__name__]


@pytest.mark.parametrize("frame", SAMPLES, ids=lambda frame: type(frame).__name__)
def test_the_agreed_bytes_decode_as_the_frame(frame: Frame) -> None:
    kind, parser = type(frame), Parser()
    fds = tuple(os.dup(0) for _ in range(kind.descriptors.start))
    parser.feed(encoded(frame), fds)
    received = parser.next()
    for fd in fds:
        os.close(fd)
    assert received is not None
    assert (received.frame, received.fds) == (frame, fds)
    assert received.request_id == (0x0102030405060708 if numbered(kind) else 0)


# --- the page says what the code says -------------------------------------------------------------------------------


def rows() -> list[list[str]]:
    table = PAGE.read_text().split("## All frames")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "| `" in line]


def test_the_page_lists_every_frame_with_its_fields_and_answer() -> None:
    told = [(int(row[0]), row[1], row[3], row[5]) for row in rows()]
    code = [(number, f"`{kind.__name__}`", fields(kind), answer(kind)) for number, kind in FRAMES.items()]
    assert [row[:3] for row in told] == [row[:3] for row in code]
    assert [row[3] for row in told if row[3].startswith("`")] == [row[3] for row in code if row[3]]


def fields(kind: type[Frame]) -> str:
    return ", ".join(field.name for field in msgspec.structs.fields(kind))


def answer(kind: type[Frame]) -> str:
    if kind is frames.Hello:
        return "`Welcome` or `Refuse`"
    return f"`{kind.Answer.__name__}`" if kind.Answer else ""


def test_the_page_says_which_frames_carry_descriptors() -> None:
    told = {row[1].strip("`") for row in rows() if row[4]}
    assert told == {kind.__name__ for kind in FRAMES.values() if kind.descriptors.stop > 1}


def test_the_command_line_sends_what_the_page_allows() -> None:
    assert re.search(r"requests 16 to 38, 67, 71, `Cancel`", PAGE.read_text())
    requests = {kind for kind in frames.FROM_CLI if kind.Answer is not None}
    assert {NUMBERS[kind] for kind in requests} == {*range(16, 30), *range(32, 39), 119}
    watching = {frames.Hello, frames.Cancel, streams.Unsubscribe, streams.AttachmentStale}
    assert frames.FROM_CLI - requests == watching | (calls.OF_CALLERS - requests)


def test_a_node_sends_what_the_page_allows() -> None:
    calling = {*range(112, 115), 119, 120, 122}
    allowed = {48, 49, 50, *range(64, 68), 71, 96, 97, 99, *range(102, 105), 106, 107, 108} | calling
    notices = frames.FROM_NODE - {frames.Hello, frames.Done, frames.Failed}
    assert {NUMBERS[kind] for kind in notices} == allowed
