"""Depth, budget and message size come to the sizes that the reference promises (docs/reference/qos.md, Ring depth)."""

import pytest

from peppy.ring import History, Writer, held_bytes, plan
from peppy.ring._core import lib
from peppy.ring.geometry import LARGEST_DEPTH, MOST_PINS, MOST_ROWS

MIB = 1 << 20


def test_small_messages_get_the_depth_of_their_profile() -> None:
    assert plan(128, 64 * MIB, 100).depth == 128


def test_large_messages_get_what_the_budget_holds_besides_the_one_being_written() -> None:
    geometry = plan(128, 64 * MIB, 8 * MIB)
    assert (geometry.depth, geometry.pins, geometry.chunks) == (6, 3, 203)
    assert (geometry.depth + 1) * geometry.stride <= 64 * MIB


def test_what_a_stream_holds_is_within_its_budget() -> None:
    geometry = plan(128, 64 * MIB, 8 * MIB)
    assert held_bytes(geometry.depth, geometry.capacity) == (geometry.depth + 1) * geometry.stride <= 64 * MIB


def test_no_ring_holds_fewer_than_four_messages() -> None:
    assert plan(128, 64 * MIB, 256 * MIB).depth == 4


@pytest.mark.parametrize(("depth", "pins"), [(4, 3), (8, 3), (16, 4), (32, 8), (128, 8)])
def test_a_reader_may_hold_a_quarter_of_the_depth_between_three_and_eight(depth: int, pins: int) -> None:
    assert plan(depth, 64 * MIB, 64).pins == pins


@pytest.mark.parametrize(
    ("asked", "capacity"), [(0, 64), (1, 64), (64, 64), (65, 128), (4095, 4096), (4096, 4096), (4097, 8192)]
)
def test_capacity_is_rounded_up_to_lines_and_from_a_page_on_to_pages(asked: int, capacity: int) -> None:
    assert plan(8, MIB, asked).capacity == capacity


@pytest.mark.parametrize("capacity", [0, 1, 64, 4000, 4095, 4096, 5000, MIB])
@pytest.mark.parametrize("rows", [1, 64])
def test_the_core_comes_to_the_same_sizes(capacity: int, rows: int) -> None:
    geometry = plan(16, 64 * MIB, capacity, rows=rows)
    writer = Writer.create(geometry, topic_hash=0, schema_hash=0, mode=0)
    try:
        stats = writer.stats()
        assert (stats.depth, stats.capacity, stats.rows, stats.chunks) == (
            geometry.depth,
            geometry.capacity,
            geometry.rows,
            geometry.chunks,
        )
        assert 0 <= stats.data_size - geometry.pool_bytes < 0x3000 + 16 * 64 + 4096
    finally:
        writer.close()


@pytest.mark.parametrize(
    "arguments",
    [{"profile_depth": 3}, {"profile_depth": 16385}, {"rows": 0}, {"rows": 65}, {"capacity": -1}, {"loans": -1}],
)
def test_a_size_outside_the_limits_is_a_value_error_that_names_it(arguments: dict[str, int]) -> None:
    name, value = next(iter(arguments.items()))
    sizes = {"profile_depth": 8, "ring_bytes": MIB, "capacity": 64} | arguments
    with pytest.raises(ValueError, match=rf"{name.removeprefix('profile_')} is `{value}`"):
        plan(**sizes)


def test_the_limits_are_those_of_the_core() -> None:
    assert (lib.PEPPY_MAX_ROWS, lib.PEPPY_MAX_PINS, lib.PEPPY_MAX_DEPTH) == (MOST_ROWS, MOST_PINS, LARGEST_DEPTH)


def test_the_largest_message_of_the_default_settings_can_be_created() -> None:
    writer = Writer.create(plan(128, 64 * MIB, 256 * MIB), topic_hash=0, schema_hash=0, mode=0)
    assert writer.reserve_row(-1, History.NONE).row == 0
    writer.close()
