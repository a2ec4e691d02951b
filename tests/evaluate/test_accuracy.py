"""Accuracy of several responses to several problems, against counting all choices."""

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.accuracy import majority_at, mean_and_error, pass_at


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


def test_the_error_is_that_of_the_mean_over_problems() -> None:
    mean, error = mean_and_error([1.0, 0.0, 1.0, 1.0])
    assert mean == 0.75
    assert error == pytest.approx(0.5 / 2)
    assert math.isnan(mean_and_error([1.0])[1])
    assert math.isnan(mean_and_error([])[0])
