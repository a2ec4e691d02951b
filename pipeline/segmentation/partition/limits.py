"""Which runs of sentences may be a block, given the fewest and the most tokens of one."""

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.partition.compiled import compiled

Ints = NDArray[np.int64]


@compiled
def allowed_ends(ends: Ints, min_tokens: int, max_tokens: int) -> tuple[Ints, Ints]:
    """First and last allowed end of a block for each of its n possible starts.

    ends: n+1 token counts before each boundary, from 0 to the total. A block of the sentences
    j … i-1 is allowed where first[j] <= i <= last[j]; first[j] > last[j] where none starts at j.

    A sentence over `max_tokens` is a block of its own, so the text falls into stretches between
    such sentences. A stretch under `min_tokens` is one block; one that cannot be cut within both
    limits is cut with the largest minimum that it can be cut with. So a partition always exists,
    no block of two sentences is ever over the maximum, and a hard stretch spoils no other one.
    """
    n = len(ends) - 1
    first = np.full(n, n + 1, dtype=np.int64)
    last = np.zeros(n, dtype=np.int64)
    start = 0
    for stop in range(n + 1):
        oversized = stop < n and ends[stop + 1] - ends[stop] > max_tokens
        if stop < n and not oversized:
            continue
        _limit_stretch(ends, start, stop, min_tokens, max_tokens, first, last)
        if oversized:
            first[stop] = last[stop] = stop + 1
        start = stop + 1
    return first, last


@compiled
def _limit_stretch(ends: Ints, start: int, stop: int, least: int, most: int, first: Ints, last: Ints) -> None:
    if start >= stop:
        return
    if ends[stop] - ends[start] < least:
        first[start] = last[start] = stop
        return
    if not _can_be_cut(ends, start, stop, least, most):
        low, high = 0, least  # can be cut with a minimum of `low`, not of `high`
        while high - low > 1:
            middle = (low + high) // 2
            if _can_be_cut(ends, start, stop, middle, most):
                low = middle
            else:
                high = middle
        least = low
    nearest, farthest = start, start
    for j in range(start, stop):
        nearest = max(nearest, j + 1)
        while nearest <= stop and ends[nearest] - ends[j] < least:
            nearest += 1
        while farthest < stop and ends[farthest + 1] - ends[j] <= most:
            farthest += 1
        if nearest <= farthest:
            first[j], last[j] = nearest, farthest


@compiled
def _can_be_cut(ends: Ints, start: int, stop: int, least: int, most: int) -> bool:
    if ends[stop] - ends[start] <= most:
        return bool(ends[stop] - ends[start] >= least)
    reached = np.zeros(stop - start + 2, dtype=np.int64)  # how many of the boundaries before
    reached[1] = 1
    nearest, farthest = start, start  # block starts from `farthest` up to before `nearest`
    for i in range(start + 1, stop + 1):
        while nearest < i and ends[i] - ends[nearest] >= least:
            nearest += 1
        while ends[i] - ends[farthest] > most:
            farthest += 1
        here = nearest > farthest and reached[nearest - start] > reached[farthest - start]
        reached[i - start + 1] = reached[i - start] + (1 if here else 0)
    return bool(reached[stop - start + 1] > reached[stop - start])
