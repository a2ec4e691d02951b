"""Accuracy and its uncertainty, from several responses to each of several problems."""

import math
import random
from collections import Counter
from collections.abc import Sequence

_RESAMPLES = 200


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean over problems and its standard error (their standard deviation / √n); no error of one."""
    if not values:
        return math.nan, math.nan
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def pass_at(k: int, responses: int, right: int) -> float:
    """Chance that one of k of so many responses is right, without bias (arXiv 2107.03374, section 2.1)."""
    if k > responses:
        raise ValueError(f"pass@{k} of {responses} responses: ask for {k} or more")
    return 1.0 - math.comb(responses - right, k) / math.comb(responses, k)


def majority_at(k: int, answers: Sequence[str | None], right: Sequence[bool], *, seed: int = 0) -> float:
    """Chance that the answer given most often in k of the responses is right.

    answers: of each response, None where it has none, which no vote counts; the same text is the same answer.
    Of answers given equally often the first counts. Exact where k is all of them, else the mean of 200 seeded
    choices of k.
    """
    if k > len(answers):
        raise ValueError(f"maj@{k} of {len(answers)} responses: ask for {k} or more")
    draw = random.Random(seed)
    chosen = (
        [range(len(answers))]
        if k == len(answers)
        else [sorted(draw.sample(range(len(answers)), k)) for _ in range(_RESAMPLES)]
    )
    return sum(_majority_is_right(each, answers, right) for each in chosen) / len(chosen)


def _majority_is_right(chosen: Sequence[int], answers: Sequence[str | None], right: Sequence[bool]) -> bool:
    votes = Counter(answers[at] for at in chosen if answers[at] is not None)
    if not votes:
        return False
    # Counter keeps the order in which answers first came.
    winner = max(votes, key=lambda answer: votes[answer])
    return next(right[at] for at in chosen if answers[at] == winner)
