import math

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.segmentation.limits import Ints, allowed_ends
from pipeline.segmentation.sweep import Floats, edges, sweep

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


def swept(
    gain: Floats, ends: Ints, first: Ints, last: Ints, price: float, least: int, most: int
) -> dict[int, Point]:
    """What a sweep finds for every number of blocks that there is."""
    scores, squares = np.zeros(len(ends)), np.full(len(ends), -1.0)
    came_from = np.empty((most + 1, len(ends)), dtype=np.int32)
    sweep(edges(gain, ends, first, last), price, least, most, scores, squares, came_from)
    return {k: (scores[k], squares[k]) for k in range(len(ends)) if squares[k] >= 0}


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 90)), min_size=1, max_size=40),
    st.sampled_from([0, 10, 60]),
    st.sampled_from([150, 300, 10_000]),
    st.sampled_from([0.0, math.inf]) | st.integers(-24, 2).map(lambda power: 2.0**power),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_a_sweep_finds_the_best_sums_for_every_number_of_blocks(
    sentences: list[tuple[int, int]], least: int, most: int, price: float, share: tuple[float, float]
) -> None:
    # Quarters and powers of two, so that all sums are exact and ties are ties. The first sentence
    # is large enough for one of the limits to bind and every text to be cut.
    sizes = [140, *(size for _, size in sentences)]
    n = len(sizes)
    gain = np.array([0.0, *(quarters / 4 for quarters, _ in sentences), 0.0])
    ends = np.concatenate(([0], np.cumsum(sizes)))
    first, last = allowed_ends(ends, least, most)
    expected = best_points(gain.tolist(), ends.tolist(), least, most, price)
    # Where both limits cannot be met, allowed_ends lowers the minimum; test_partition covers that.
    assume(expected)
    fewest, most_blocks = (1 + round(part * (n - 1)) for part in share)
    for low, high in ((1, n), (fewest, most_blocks)):
        found = swept(gain, ends, first, last, price, low, high)
        assert found == {k: point for k, point in expected.items() if low <= k <= high}


def test_a_sweep_of_no_price_prefers_the_smaller_squares_among_equal_scores() -> None:
    ends = np.array([0, 1, 2, 3, 4])
    first, last = allowed_ends(ends, 0, 4)
    found = swept(np.zeros(5), ends, first, last, 0.0, 1, 4)
    assert found == {1: (0, 16), 2: (0, 8), 3: (0, 6), 4: (0, 4)}
