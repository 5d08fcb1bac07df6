"""Time stamps as pairs (docs/reference/messages.md, `time`)."""

import math

import pytest

from peppy.encoding import join_time, split_time


@pytest.mark.parametrize(
    ("time", "pair"),
    [(0.0, (0, 0)), (1.5, (1, 500_000_000)), (-0.25, (-1, 750_000_000)), (3, (3, 0)), (0.9999999999, (1, 0))],
)
def test_a_time_splits_into_seconds_rounded_down_and_nanoseconds(time: float, pair: tuple[int, int]) -> None:
    assert split_time(time) == pair


def test_joining_gives_the_time_back() -> None:
    assert join_time(*split_time(1_700_000_000.25)) == 1_700_000_000.25


@pytest.mark.parametrize("nsec", [-1, 1_000_000_000])
def test_nanoseconds_outside_a_second_are_refused(nsec: int) -> None:
    with pytest.raises(ValueError, match=f"`{nsec}`"):
        join_time(0, nsec)


@pytest.mark.parametrize("time", [math.nan, math.inf])
def test_a_time_that_is_not_finite_does_not_split(time: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        split_time(time)
