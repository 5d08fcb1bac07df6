"""Messages that are filled in place (docs/reference/node_api.md, Publishers, subscriptions, loans)."""

from typing import Any

import numpy
import pytest
from codec_formats import FRAMES, IMAGE, IMU, plan

frames, image, imu = plan(FRAMES), plan(IMAGE), plan(IMU)


def drafted(used: Any, shapes: dict[str, Any], body_reserve: int = 4096) -> tuple[Any, bytearray]:
    room = used.room(shapes, body_reserve)
    buffer = bytearray(room.length)
    return room.draft(buffer), buffer


def test_a_filled_message_decodes_to_what_was_written() -> None:
    draft, buffer = drafted(frames, {"frame": (2, 3), "depths": 2})
    draft.fields["frame"][:] = 7
    draft.fields["depths"][:] = (0.5, 1.0)
    header = frames.classes["header"](7, 1.5, "cam")
    length = draft.finish({**draft.fields, "header": header, "width": 3, "height": 2, "note": "hi"})
    message = frames.decode(bytes(buffer[:length]))
    assert (message.header, message.width, message.note, message.mask) == (header, 3, "hi", None)
    assert message.frame == bytes([7] * 6)
    assert message.depths.tolist() == [0.5, 1.0]


def test_arrays_have_the_shape_asked_for_and_start_at_aligned_offsets() -> None:
    draft, buffer = drafted(frames, {"frame": (2, 3, 4), "depths": (5,)}, body_reserve=100)
    start = numpy.frombuffer(buffer, "u1").ctypes.data
    assert draft.fields["frame"].shape == (2, 3, 4)
    assert draft.fields["frame"].ctypes.data - start == 192
    assert draft.fields["depths"].ctypes.data - start == 256
    assert len(buffer) == 256 + 20


def test_a_required_bulk_field_needs_a_shape() -> None:
    with pytest.raises(ValueError, match="`shapes` needs an entry for the bulk field `depths`"):
        frames.room({"frame": 3})


def test_an_unknown_shape_is_refused_with_the_bulk_fields() -> None:
    with pytest.raises(ValueError, match="`shapes` names `width`, which is no bulk field; bulk fields: `frame`"):
        frames.room({"width": 3})


@pytest.mark.parametrize("shape", [-1, (2, -3), 1.5, "ab"])
def test_a_shape_that_is_none_is_refused(shape: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        frames.room({"frame": shape, "depths": 1})


def test_fixed_fields_need_no_shape_and_refuse_another_count() -> None:
    assert image.room({"image.data": 3}).shapes == [(3,), (20,)]
    assert image.room({"image.data": 3, "image.lut": (4, 5)}).shapes == [(3,), (4, 5)]
    with pytest.raises(ValueError, match=r"field `image.lut`: expected `20` elements"):
        image.room({"image.data": 3, "image.lut": 19})


def test_an_object_around_bulk_fields_is_given_and_filled() -> None:
    draft, buffer = drafted(image, {"image.data": 3})
    draft.fields["image"].width = 5
    draft.fields["image"].data[:] = (1, 2, 3)
    draft.fields["image"].lut[:] = range(20)
    message = image.decode(bytes(buffer[: draft.finish({**draft.fields, "tail": "t"})]))
    assert (message.image.width, message.image.data, message.tail) == (5, b"\1\2\3", "t")


def test_an_optional_object_without_shapes_is_absent() -> None:
    draft, buffer = drafted(image, {})
    assert draft.fields == {"image": None}
    assert image.decode(bytes(buffer[: draft.finish({"tail": "t"})])).image is None


def test_another_array_than_the_loan_gave_is_refused() -> None:
    draft, _ = drafted(image, {"image.data": 3})
    draft.fields["image"].width = 5
    draft.fields["image"].data = numpy.zeros(3, "u1")
    with pytest.raises(ValueError, match=r"field `image.data`: a loan publishes the array it gave"):
        draft.finish({**draft.fields, "tail": "t"})


def test_a_body_beyond_its_reserve_names_the_size_needed_and_may_be_repaired() -> None:
    draft, buffer = drafted(image, {}, body_reserve=10)
    with pytest.raises(ValueError, match="the body needs `104` bytes, `body_reserve` is `10`"):
        draft.finish({"tail": "t" * 100})
    assert image.decode(bytes(buffer[: draft.finish({"tail": "t"})])).tail == "t"


def test_values_are_checked_as_on_every_publish() -> None:
    draft, _ = drafted(image, {})
    with pytest.raises(TypeError, match="field `tail`: expected `str`, got None"):
        draft.finish({})


def test_a_format_without_bulk_fields_may_be_loaned() -> None:
    draft, buffer = drafted(imu, {})
    length = draft.finish({"stamp": 1.0, "quaternion": [0.0] * 4, "level": 3})
    assert bytes(buffer[:length]) == imu.encode(1.0, [0.0] * 4, 3)


def test_no_payload_has_nothing_to_fill() -> None:
    with pytest.raises(ValueError, match="has no payload"):
        plan(None).room({})


def test_a_field_called_like_a_member_of_the_loan_gets_an_underscore() -> None:
    draft, buffer = drafted(plan('[["publish","u8",0],["data","bytes",0]]'), {"data": 1})
    assert draft.attributes == ("publish_", "data")
    assert draft.finish({**draft.fields, "publish_": 1}) == len(buffer)


def test_a_shape_that_was_changed_in_place_is_looked_at_again() -> None:
    extents = [4, 4]
    assert frames.room({"frame": extents, "depths": 1}).shapes[0] == (4, 4)
    extents[0] = 8
    assert frames.room({"frame": extents, "depths": 1}).shapes[0] == (8, 4)


def test_an_extent_that_is_no_whole_number_is_refused_after_an_equal_one() -> None:
    frames.room({"frame": (4, 4), "depths": 1})
    with pytest.raises(TypeError):
        frames.room({"frame": (4.0, 4.0), "depths": 1})
