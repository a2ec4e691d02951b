"""Accuracy and its uncertainty, from several responses to each of several problems."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from pipeline.proportions import wilson_interval

_RESAMPLES = 200
# Of a 95 % interval, as `wilson_interval` has it.
_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Difference:
    """Of two shares on the same problems, in the mean over these; error: standard error; low, high: 95 %."""

    mean: float
    error: float
    low: float
    high: float


def share_interval(shares: Sequence[float], responses: int) -> tuple[float, float]:
    """The ends of a 95 % interval for the share of right responses, the mean over problems.

    shares: of each problem's responses that are right; responses: to all problems together.
    Responses to one problem are right or wrong together, so that many of them tell less than as many
    problems would. Wilson's interval is taken of the number of independent responses that would vary as much
    as the problems' shares do (an effective sample size; Franco, Little, Louis and Slud, J. Surv. Stat.
    Methodol. 7, 2019, p. 334, compare such intervals and find Wilson's sound). Where almost all are right,
    or wrong, the variation itself is hardly known: two problems of each kind whose responses all agree are
    added to estimate it, as Agresti and Coull do for shares. So 10 problems that are right 8 times of 8
    count as 10 responses, not as 80; with one response to each it is Wilson's interval as it stands. Raises
    ValueError where there is no problem.
    """
    n = len(shares)
    if not n:
        raise ValueError("no problem: there is no share of its responses")
    share = sum(shares) / n
    padded = [*shares, 0.0, 0.0, 1.0, 1.0]
    middle = sum(padded) / len(padded)
    variance = sum((each - middle) ** 2 for each in padded) / len(padded)
    independent = min(n * middle * (1 - middle) / variance, responses)
    return wilson_interval(min(share * independent, independent), independent)


def paired_difference(shares: Sequence[float], others: Sequence[float]) -> Difference:
    """How much larger the first share is than the second, both of the same problems in the same order.

    What is hard for both cancels, so this is far surer than two intervals side by side. The interval and the
    error are those of Agresti and Min (Stat. Med. 24, 2005, p. 729): half a problem is added to each of the
    four outcomes of a pair, which leaves a width where all problems agree; here with shares in place of
    outcomes, so that several responses to a problem count as one problem. Raises ValueError where lengths
    disagree or there is no problem.
    """
    apart = [one - other for one, other in zip(shares, others, strict=True)]
    if not apart:
        raise ValueError("no problem: there is no difference")
    # Half a problem of +1, half of -1, and one of 0.
    n = len(apart) + 2
    middle = sum(apart) / n
    error = math.sqrt(((sum(each**2 for each in apart) + 1) / n - middle**2) / n)
    return Difference(
        sum(apart) / len(apart), error, max(-1.0, middle - _Z * error), min(1.0, middle + _Z * error)
    )


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
