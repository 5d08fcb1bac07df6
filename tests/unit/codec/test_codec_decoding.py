"""Only valid payloads decode (docs/reference/messages.md, section 11.3)."""

from typing import Any

import msgspec
import numpy
import pytest
from codec_formats import FRAMES, IMAGE, IMU, joined, plan

from peppy.errors import DecodeError

frames, image, imu = plan(FRAMES), plan(IMAGE), plan(IMU)
GOOD_FRAME = joined(
    frames.encode(frames.classes["header"](7, 1.5, "cam"), 4, 2, None, bytes(24), numpy.zeros(2, "f4"), None)
)
GOOD_IMAGE = joined(image.encode(image.classes["image"](3, b"abc", range(20)), "end"))
ABSENT_IMAGE = joined(image.encode(None, "end"))
GOOD_IMU = joined(imu.encode(1.5, [0.0] * 4, 7))


def patched(payload: bytes, offset: int, patch: str) -> bytes:
    octets = bytes.fromhex(patch)
    return payload[:offset] + octets + payload[offset + len(octets) :]


def with_body(body: Any) -> bytes:
    octets = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
    return b"\1\0\0\0" + len(octets).to_bytes(4, "little") + octets


Q = [0.0] * 4
INVALID = [
    (imu, b"", 1),
    (imu, GOOD_IMU[:7], 1),
    (imu, patched(GOOD_IMU, 0, "02"), 1),
    (imu, patched(GOOD_IMU, 1, "01"), 1),
    (imu, patched(GOOD_IMU, 2, "01"), 2),
    (imu, GOOD_IMU[:-1], 3),
    (imu, patched(GOOD_IMU, 4, "ffffffff"), 3),
    (imu, with_body((1.5, Q)), 4),
    (imu, with_body((1.5, Q, 7, 8)), 4),
    (imu, with_body((1.5, Q[1:], 7)), 4),
    (imu, with_body((1.5, [*Q, 0.0], 7)), 4),
    (imu, with_body((1.5, Q, 256)), 4),
    (imu, with_body((1.5, Q, True)), 4),
    (imu, with_body((1.5, Q, None)), 4),
    (imu, with_body({"stamp": 1.5}), 4),
    (imu, with_body(msgspec.msgpack.encode((1.5, Q, 7)) + b"\0"), 4),
    (imu, with_body(b""), 4),
    (plan('[["s","string",0]]'), with_body(b"\x91\xa2\xff\xff"), 4),
    (plan('[["e",[],0]]'), with_body(((1,),)), 4),
    (frames, GOOD_FRAME[:16], 3),
    (frames, GOOD_FRAME[:9], 3),
    (frames, patched(GOOD_FRAME, 2, "02"), 2),
    (frames, patched(GOOD_FRAME, 32, "93"), 4),
    (frames, patched(GOOD_FRAME, 8, "0000000000000000"), 5),
    (frames, patched(GOOD_FRAME, 8, "41"), 6),
    (frames, patched(GOOD_FRAME, 8, "00"), 6),
    (frames, patched(GOOD_FRAME, 12, "ffffffff"), 6),
    (frames, patched(GOOD_FRAME, 16, "40"), 6),
    (frames, patched(GOOD_FRAME, 16, "c0ffffff"), 6),
    (frames, patched(GOOD_FRAME, 24, "4000000000000000"), 6),
    (frames, GOOD_FRAME[:-1], 6),
    (frames, patched(GOOD_FRAME, 20, "07"), 7),
    (image, patched(GOOD_IMAGE, 20, "26"), 7),
    (image, patched(GOOD_IMAGE, 8, "0000000000000000"), 5),
    (image, patched(ABSENT_IMAGE, 8, "40"), 5),
    (image, patched(ABSENT_IMAGE, 12, "01"), 5),
]


@pytest.mark.parametrize(("used", "payload", "rule"), INVALID)
def test_an_invalid_payload_names_the_member_and_the_rule(used: Any, payload: bytes, rule: int) -> None:
    with pytest.raises(DecodeError) as caught:
        used.decode(payload)
    assert "`member`" in str(caught.value)
    assert f"(rule {rule})" in str(caught.value)


@pytest.mark.parametrize("payload", [GOOD_FRAME, bytearray(GOOD_FRAME), memoryview(GOOD_FRAME)])
def test_every_kind_of_buffer_decodes(payload: Any) -> None:
    assert frames.decode(payload) == frames.decode(GOOD_FRAME)


def test_bytes_behind_the_body_have_no_meaning() -> None:
    assert imu.decode(GOOD_IMU + b"rest") == imu.decode(GOOD_IMU)


def test_a_wider_gap_after_the_body_is_valid() -> None:
    payload = GOOD_FRAME[:8] + bytes.fromhex("8000000018000000 c000000008000000") + GOOD_FRAME[24:64]
    assert frames.decode(payload + bytes(64) + GOOD_FRAME[64:]) == frames.decode(GOOD_FRAME)


def test_no_payload_takes_no_bytes() -> None:
    with pytest.raises(DecodeError, match="`member`"):
        plan(None).decode(b"\0")


def test_owned_values_outlive_their_buffer() -> None:
    buffer = bytearray(GOOD_FRAME)
    message = frames.decode(buffer)
    buffer[:] = b"\xff" * len(buffer)
    assert message == frames.decode(GOOD_FRAME)
    message.depths[0] = 5.0


def test_a_loan_is_read_only_and_points_into_the_buffer() -> None:
    buffer = bytearray(GOOD_FRAME)
    message = frames.decode(buffer, owned=False)
    buffer[64] = 9
    assert (message.frame[0], message.frame.format, message.frame.readonly) == (9, "B", True)
    assert not message.depths.flags.writeable
    with pytest.raises(BufferError):
        buffer.clear()


def test_messages_are_equal_by_shape_and_elements() -> None:
    first, second = frames.decode(GOOD_FRAME), frames.decode(GOOD_FRAME)
    assert first == second
    second.depths = numpy.zeros(3, "f4")
    assert first != second
    assert first != "message"
