"""An interval has the published values, and holds the true share as often as it says."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.proportions import wilson_interval


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998), p. 857, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals_are_reproduced(right: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(right, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 200), st.data())
def test_an_interval_mirrors_that_of_the_others(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    low, high = wilson_interval(right, n)
    assert 0 <= low <= right / n <= high <= 1
    assert low < high
    assert wilson_interval(n - right, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_its_ends_are_where_the_score_test_is_undecided() -> None:
    """The definition itself: at either end the observed share is z standard errors of that end away."""
    for confidence, z in ((0.95, 1.959964), (0.68268949, 1.0)):
        for end in wilson_interval(13, 16, confidence=confidence):
            assert abs(13 / 16 - end) / math.sqrt(end * (1 - end) / 16) == pytest.approx(z, abs=1e-5)


def test_none_and_all_of_a_few_still_leave_room() -> None:
    assert wilson_interval(16, 16) == (pytest.approx(1 / (1 + 1.959964**2 / 16)), 1.0)
    assert wilson_interval(0, 16) == (0.0, pytest.approx(1 - wilson_interval(16, 16)[0]))
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_more_confidence_is_a_wider_interval() -> None:
    narrow, wide = (wilson_interval(3, 10, confidence=confidence) for confidence in (0.5, 0.99))
    assert wide[0] < narrow[0] < 0.3 < narrow[1] < wide[1]


@pytest.mark.parametrize(("right", "n"), [(-1, 4), (5, 4), (0, -1)])
def test_what_is_no_count_is_refused(right: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{right} of {n}: give a count"):
        wilson_interval(right, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_what_is_no_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="give a share between 0 and 1"):
        wilson_interval(1, 2, confidence=confidence)
