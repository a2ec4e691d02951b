import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.segmentation.partition.limits import allowed_ends
from pipeline.segmentation.partition.sweep import sweep

Point = tuple[float, int]  # sum of scores, sum of squares


def best_points(gain: list[float], ends: list[int], least: int, most: int, price: float) -> dict[int, Point]:
    """For every number of blocks the best sums for the price, by the textbook programme."""

    def rank(point: Point) -> tuple[float, float]:
        score, squares = point
        return (-squares, score) if price == math.inf else (score - price * squares, -squares)

    table: list[dict[int, Point]] = [{0: (0.0, 0)}] + [{} for _ in ends[1:]]
    for end in range(1, len(ends)):
        for start in range(end):
            length = ends[end] - ends[start]
            if least <= length <= most or (end - start == 1 and length > most):
                for blocks, (score, squares) in table[start].items():
                    point = (score + gain[end], squares + length * length)
                    known = table[end].get(blocks + 1)
                    if known is None or rank(point) > rank(known):
                        table[end][blocks + 1] = point
    return table[-1]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 90)), min_size=1, max_size=40),
    st.sampled_from([0, 10, 60]),
    st.sampled_from([150, 300, 10_000]),
    st.sampled_from([0.0, math.inf]) | st.integers(-24, 2).map(lambda power: 2.0**power),
)
def test_a_sweep_finds_the_best_sums_for_every_number_of_blocks(
    sentences: list[tuple[int, int]], least: int, most: int, price: float
) -> None:
    # Quarters and powers of two, so that all sums are exact and ties are ties. The first sentence
    # is large enough for one of the limits to bind and every text to be cut.
    sizes = [140, *(size for _, size in sentences)]
    n = len(sizes)
    gain = np.array([0.0, *(quarters / 4 for quarters, _ in sentences), 0.0])
    ends = np.concatenate(([0], np.cumsum(sizes)))
    first, last = allowed_ends(ends, least, most)
    scores, squares = np.zeros(n + 1), np.full(n + 1, -1)
    sweep(gain, ends, first, last, price, n, scores, squares, np.empty((0, 0), dtype=np.int32))
    found = {k: (scores[k], squares[k]) for k in range(1, n + 1) if squares[k] >= 0}
    expected = best_points(gain.tolist(), ends.tolist(), least, most, price)
    # Where both limits cannot be met, allowed_ends lowers the minimum; test_partition covers that.
    assume(expected)
    assert found == expected


def test_a_sweep_of_no_price_prefers_the_smaller_squares_among_equal_scores() -> None:
    ends = np.array([0, 1, 2, 3, 4])
    first, last = allowed_ends(ends, 0, 4)
    scores, squares = np.zeros(5), np.full(5, -1)
    sweep(np.zeros(5), ends, first, last, 0.0, 4, scores, squares, np.empty((0, 0), dtype=np.int32))
    assert squares.tolist() == pytest.approx([-1, 16, 8, 6, 4])
