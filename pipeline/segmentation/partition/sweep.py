"""The partitions of most worth for one price of squares, for every number of blocks in one pass."""

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.partition.compiled import part
from pipeline.segmentation.partition.limits import Ints

Floats = NDArray[np.float64]


@part
def sweep(
    gain: Floats,
    ends: Ints,
    first: Ints,
    last: Ints,
    price: float,
    most: int,
    scores: Floats,
    squares: Ints,
    came_from: NDArray[np.int32],
) -> None:
    """For every number of blocks up to `most`, a partition that maximises score - price · squares.

    Fills scores[k] and squares[k] (-1: no partition has k blocks), and where `came_from` is not
    empty came_from[k, i], the start of the last of k blocks that end at i. Ties go to the smaller
    squares, then to the earlier cut. An infinite price: the smallest squares, then the best score.

    The later of two block starts, once better, stays better as the end moves on. So the starts
    that are best somewhere ahead form a queue, each with the token from which it takes over.
    """
    n = len(ends) - 1
    traced = came_from.size > 0
    score, square = np.zeros(n + 1), np.full(n + 1, -1, dtype=np.int64)
    next_score, next_square = np.zeros(n + 1), np.empty(n + 1, dtype=np.int64)
    queue, takes_over = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    square[0] = 0
    reached = 0  # first boundary that k blocks can end at
    for k in range(1, most + 1):
        next_square[:] = -1
        start, head, tail = reached, 0, 0
        reached = n + 1
        for i in range(start + 1, n + 1):
            here = ends[i]
            if tail > head and last[queue[head]] < i:
                head += 1
            while start < i and (first[start] <= i or first[start] > last[start]):
                if square[start] >= 0 and first[start] <= last[start]:
                    at = here
                    token = ends[start]
                    own = square[start] + token * token
                    while tail > head:
                        old = queue[tail - 1]
                        rise = score[start] - score[old]
                        base = own - square[old] - ends[old] ** 2
                        step = 2 * (token - ends[old])
                        at = max(takes_over[tail - 1], here)
                        if not _better(rise, base - step * at, price):
                            at = _takeover(rise, base, step, price, at, ends[last[old]] + 1)
                            break
                        tail -= 1
                        at = here
                    if at <= ends[last[start]]:
                        queue[tail], takes_over[tail] = start, at
                        tail += 1
                start += 1
            while tail - head > 1 and takes_over[head + 1] <= here:
                head += 1
            if tail > head:
                j = queue[head]
                next_score[i] = score[j] + gain[i]
                next_square[i] = square[j] + (here - ends[j]) ** 2
                reached = min(reached, i)
                if traced:
                    came_from[k, i] = j
        if reached > n:
            break
        score, next_score = next_score, score
        square, next_square = next_square, square
        scores[k], squares[k] = score[n], square[n]


@part
def _takeover(rise: float, base: int, step: int, price: float, here: int, beyond: int) -> int:
    """First token after `here`, where it is not, from which a later start is better than an earlier one.

    At a token its score is higher by `rise` and its squares larger by base - step · token. Where it is
    better nowhere before `beyond`, that.
    """
    if not _better(rise, base - step * (beyond - 1), price):
        return beyond
    worth = rise / price if rise != 0 else 0.0
    at = min(max(int((base - worth) / step), here + 1), beyond - 1)
    while _better(rise, base - step * (at - 1), price):
        at -= 1
    while not _better(rise, base - step * at, price):
        at += 1
    return at


@part
def _better(rise: float, growth: int, price: float) -> bool:
    """Whether a score higher by `rise` is worth squares larger by `growth`."""
    if price == np.inf:
        return growth < 0 or (growth == 0 and rise > 0)
    cost = price * growth
    return rise > cost or (rise == cost and growth < 0)
