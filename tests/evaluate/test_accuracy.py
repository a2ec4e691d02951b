"""Accuracy of several responses to several problems, against counting all choices."""

import math
import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.accuracy import majority_at, paired_difference, pass_at, share_interval
from pipeline.proportions import wilson_interval


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_choices_with_a_right_one(case: tuple[int, int, int]) -> None:
    responses, right, k = case
    choices = list(combinations(range(responses), k))
    share = sum(any(each < right for each in choice) for choice in choices) / len(choices)
    assert pass_at(k, responses, right) == pytest.approx(share)


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="pass@3 of 2 responses"):
        pass_at(3, 2, 1)
    with pytest.raises(ValueError, match="maj@3 of 2 responses"):
        majority_at(3, ["1", "2"], [True, False])


def test_the_majority_counts_answers_and_not_right_ones() -> None:
    assert majority_at(5, ["7", "7", "8", "8", "8"], [True, True, False, False, False]) == 0
    assert majority_at(3, ["7", "8", "7"], [True, False, True]) == 1
    assert majority_at(2, ["7", "8"], [True, False]) == 1, "of two that are equal the first counts"
    assert majority_at(2, ["8", "7"], [False, True]) == 0
    assert majority_at(2, [None, "7"], [False, True]) == 1, "no answer is no vote"
    assert majority_at(2, [None, None], [False, False]) == 0


def test_a_majority_of_some_is_near_the_mean_over_all_choices() -> None:
    answers, right = ["7", "8", "7", "9", "7"], [True, False, True, False, True]
    choices = list(combinations(range(5), 3))
    votes = [majority_at(3, [answers[i] for i in c], [right[i] for i in c]) for c in choices]
    exact = sum(votes) / len(votes)
    assert majority_at(3, answers, right) == pytest.approx(exact, abs=0.1)
    assert majority_at(1, answers, right) == pytest.approx(0.6, abs=0.12)


def test_one_response_to_each_problem_is_wilsons_interval() -> None:
    for right in (0, 1, 60, 127, 128):
        shares = [1.0] * right + [0.0] * (128 - right)
        assert share_interval(shares, 128) == pytest.approx(wilson_interval(right, 128))
    assert share_interval([1.0] * 128, 128)[0] == pytest.approx(0.971, abs=0.001), "never ± 0"
    with pytest.raises(ValueError, match="no problem"):
        share_interval([], 0)


def test_responses_that_all_agree_count_once_for_their_problem() -> None:
    for right in (0, 4, 10):
        shares = [1.0] * right + [0.0] * (10 - right)
        assert share_interval(shares, 80) == pytest.approx(wilson_interval(right, 10))


def test_responses_that_do_not_agree_count_for_more_and_never_for_more_than_they_are() -> None:
    draw = random.Random(1)
    shares = [sum(draw.random() < 0.5 for _ in range(8)) / 8 for _ in range(400)]
    low, high = share_interval(shares, 3200)
    naive = wilson_interval(sum(shares) * 8, 3200)
    assert high - low == pytest.approx(naive[1] - naive[0], rel=0.12)
    assert share_interval([0.5] * 400, 800) == pytest.approx(wilson_interval(400, 800))


def test_what_hardly_varies_is_padded_before_its_variation_is_believed() -> None:
    # Nine problems right 8 times of 8, one 7 times: with two of each kind the mean is 11.875 / 14 = 0.8482,
    # the variance 0.12093; so 10 problems count as 10 x 0.8482 x 0.1518 / 0.12093 = 10.65 responses.
    assert share_interval([1.0] * 9 + [7 / 8], 80) == pytest.approx((0.7169, 0.9996), abs=1e-4)


@pytest.mark.parametrize(
    ("problems", "samples", "share", "alike"),
    # alike: how far responses to a problem are right together, from 0 to 1.
    [
        (128, 1, 0.98, 0),
        (20, 8, 0.5, 0),
        (20, 8, 0.5, 0.3),
        (20, 8, 0.9, 0.5),
        (20, 8, 0.9, 1),
        (60, 4, 0.7, 0.5),
    ],
)
def test_an_interval_holds_the_true_share(problems: int, samples: int, share: float, alike: float) -> None:
    draw = random.Random(7)
    held = 0
    for _ in range(400):
        chances = [_chance(draw, share, alike) for _ in range(problems)]
        shares = [sum(draw.random() < each for _ in range(samples)) / samples for each in chances]
        low, high = share_interval(shares, problems * samples)
        held += low <= share <= high
    assert held >= 0.93 * 400


def _chance(draw: random.Random, share: float, alike: float) -> float:
    """That of one problem, by the beta distribution whose draws are as much alike."""
    if alike in (0, 1):
        return float(draw.random() < share) if alike else share
    return draw.betavariate(share * (1 / alike - 1), (1 - share) * (1 / alike - 1))


def test_a_difference_is_agresti_and_mins() -> None:
    # Of 100 problems 20 are right in the first only, 10 in the second only, by their formula for counts.
    first = [1.0] * 20 + [0.0] * 10 + [1.0] * 40 + [0.0] * 30
    second = [0.0] * 20 + [1.0] * 10 + [1.0] * 40 + [0.0] * 30
    found = paired_difference(first, second)
    b, c, n = 20.5, 10.5, 102
    middle, error = (b - c) / n, math.sqrt(b + c - (b - c) ** 2 / n) / n
    assert found.mean == pytest.approx(0.1)
    assert found.error == pytest.approx(error)
    assert (found.low, found.high) == pytest.approx(
        (middle - 1.95996 * error, middle + 1.95996 * error), abs=1e-6
    )


def test_problems_that_all_agree_leave_a_difference_some_width() -> None:
    found = paired_difference([1.0] * 128, [1.0] * 128)
    assert (found.mean, found.low, found.high) == pytest.approx((0, -0.0151, 0.0151), abs=1e-4)
    assert paired_difference([1.0], [0.0]).high == 1
    with pytest.raises(ValueError, match="no problem"):
        paired_difference([], [])
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0], [])


@pytest.mark.parametrize(
    ("problems", "samples", "shares", "alike"),
    [
        (30, 1, (0.9, 0.8), 0.7),
        (128, 1, (0.99, 0.98), 0.9),
        (30, 4, (0.6, 0.5), 0.5),
        (100, 2, (0.5, 0.5), 0.9),
    ],
)
def test_a_difference_holds_the_true_one(
    problems: int, samples: int, shares: tuple[float, float], alike: float
) -> None:
    draw = random.Random(3)
    held, paired, apart = 0, 0.0, 0.0
    for _ in range(400):
        pairs = [_pair(draw, samples, shares, alike) for _ in range(problems)]
        one, other = ([pair[at] for pair in pairs] for at in (0, 1))
        found = paired_difference(one, other)
        held += found.low <= shares[0] - shares[1] <= found.high
        paired += found.high - found.low
        ends = [share_interval(each, problems * samples) for each in (one, other)]
        apart += sum(high - low for low, high in ends)
    assert held >= 0.93 * 400
    assert paired < 0.8 * apart, "surer than two intervals side by side"


def _pair(
    draw: random.Random, samples: int, shares: tuple[float, float], alike: float
) -> tuple[float, float]:
    """Shares of right responses of both to a problem, which is as hard for the one as for the other."""
    own = draw.random()
    chances = [[own if draw.random() < alike else draw.random() for _ in range(samples)] for _ in shares]
    one, other = (
        sum(each < share for each in its) / samples for its, share in zip(chances, shares, strict=True)
    )
    return one, other
