"""Shares of a small number of cases, and how far chance alone may move them."""

import math
from statistics import NormalDist


def wilson_interval(right: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The shares, between 0 and 1, of which `right` of `n` independent cases are a likely outcome.

    Wilson's score interval (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, p. 209), without continuity
    correction. Unlike a standard error it has a width at 0 and at n of n. Of no cases it is (0, 1).
    Raises ValueError where `right` is not one of 0 … n, or `confidence` is not between 0 and 1.
    """
    if not 0 <= right <= n:
        raise ValueError(f"{right} of {n}: give a count from 0 to {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}: give a share between 0 and 1")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = right / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    # Of none and of all the formula gives 0 and 1, up to rounding.
    return (0.0 if right == 0 else middle - half), (1.0 if right == n else middle + half)
