"""The bytes are those of docs/reference/messages.md, Payload bytes."""

import pytest
from codec_formats import BOXES, FRAMES, IMAGE, IMU, joined, plan

from peppy.codec import Gathered

GOAL = '[["arm_id","u16",0],["desired_position",["i32",3],0]]'
WORKED_EXAMPLE = (
    "0100030013000000 4000000018000000 8000000008000000 0000000000000000"
    "94 93 07 cb3ff8000000000000 a363616d 0402c0"
    + "00" * 13
    + bytes(range(0x10, 0x28)).hex()
    + "00" * 40
    + "0000003f0000803f"
)


def worked_example() -> bytes:
    frames = plan(FRAMES)
    header = frames.classes["header"](7, 1.5, "cam")
    return joined(frames.encode(header, 4, 2, None, bytes(range(0x10, 0x28)), [0.5, 1.0], None))


def test_the_worked_example_matches_byte_for_byte() -> None:
    assert worked_example() == bytes.fromhex(WORKED_EXAMPLE)
    assert len(worked_example()) == 136


def test_the_worked_example_decodes_to_what_was_sent() -> None:
    message = plan(FRAMES).decode(worked_example())
    assert (message.header.seq, message.header.stamp, message.header.frame_id) == (7, 1.5, "cam")
    assert (message.width, message.height, message.note, message.mask) == (4, 2, None, None)
    assert message.frame == bytes(range(0x10, 0x28))
    assert message.depths.tolist() == [0.5, 1.0]


def test_the_goal_of_the_reference_takes_14_bytes() -> None:
    assert plan(GOAL).encode(7, [10, 20, 30]) == bytes.fromhex("01000000060000009207930a141e")


@pytest.mark.parametrize(("text", "expected"), [(GOAL, "97182b1ade2b4ca7"), (FRAMES, "eecc70b6218647d2")])
def test_schema_hashes_are_those_of_the_reference(text: str, expected: str) -> None:
    assert f"{plan(text).schema_hash:016x}" == expected


def test_a_surface_without_payload_carries_no_bytes() -> None:
    nothing = plan(None)
    assert (nothing.encode(), nothing.decode(b""), nothing.schema_hash, nothing.fixed_size) == (b"", None, 0, 0)


def test_bulk_values_of_the_right_type_are_not_copied() -> None:
    import numpy

    frame, depths = bytearray(24), numpy.zeros((2, 3), "<f4")
    frames = plan(FRAMES)
    encoded = frames.encode(frames.classes["header"](7, 1.5, "cam"), 4, 2, None, frame, depths, b"")
    assert isinstance(encoded, Gathered)
    assert encoded.parts[0][0] is frame
    assert encoded.parts[1][0] is depths
    assert [offset for _, offset in encoded.parts] == [64, 128]


def test_an_empty_bulk_field_is_present_and_an_absent_one_is_not() -> None:
    frames = plan(FRAMES)
    payload = joined(frames.encode(frames.classes["header"](7, 1.5, "cam"), 4, 2, None, b"", [], b""))
    assert payload[8:32].hex() == "4000000000000000" * 3
    message = frames.decode(payload)
    assert (message.frame, message.depths.size, message.mask) == (b"", 0, b"")


def test_bulk_fields_of_an_absent_object_are_absent() -> None:
    image = plan(IMAGE)
    payload = joined(image.encode(None, "end"))
    assert payload[8:24] == bytes(16)
    assert image.decode(payload).image is None


def test_arrays_of_objects_travel_in_the_body() -> None:
    boxes = plan(BOXES)
    item, at = boxes.classes["boxes"], boxes.classes["boxes.at"]
    value = item("cup", [1, -2], [0.5], b"\x00\xff", b"abc", at(1.25))
    payload = joined(boxes.encode([value, value]))
    assert payload[2:4] == b"\x00\x00"
    assert boxes.decode(payload).boxes == [value, value]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (IMU, 8 + 1 + 9 + 1 + 4 * 9 + 2),
        (FRAMES, None),
        (BOXES, None),
        ('[["a",["u8",100],0]]', 64 + 100),
        ('[["a",["f64",17],1],["b","bool",1]]', 64 + 17 * 8),
    ],
)
def test_fixed_size_is_the_largest_payload_of_the_format(text: str, expected: int | None) -> None:
    assert plan(text).fixed_size == expected


def test_a_payload_of_the_largest_values_has_the_fixed_size() -> None:
    imu = plan(IMU)
    assert len(joined(imu.encode(1.5, [0.1] * 4, 255))) == imu.fixed_size


def test_a_long_body_has_its_length_in_the_header() -> None:
    text = plan('[["text","string",0]]')
    payload = joined(text.encode("x" * 70_000))
    assert int.from_bytes(payload[4:8], "little") == len(payload) - 8
    assert text.decode(payload).text == "x" * 70_000
