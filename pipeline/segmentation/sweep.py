"""The partitions of most worth for one price of squares, for every number of blocks in one pass."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.compiled import inlined, part
from pipeline.segmentation.limits import Ints

Floats = NDArray[np.float64]
# An unsigned index is not asked whether it counts from the end, which took a fifth of a sweep's time.
_Index = np.uintp


class Edges(NamedTuple):
    """The blocks that a text of n sentences may have, as edges from boundary to boundary.

    gain: n+1 scores of the boundaries, 0 at both ends of the text; ends: n+1 token counts before them, whole
    numbers. first, last: ends of the shortest and the longest block that starts at each of n boundaries;
    0 and -1 where none does. latest: the last boundary from which 0, 1, … n blocks can reach the text's end.
    """

    gain: Floats
    ends: Floats
    first: Ints
    last: Ints
    latest: Ints


@part
def edges(gain: Floats, ends: Ints, first: Ints, last: Ints) -> Edges:
    """first, last: as `limits.allowed_ends` gives them."""
    n = len(ends) - 1
    none = first > last
    latest = np.zeros(n + 1, dtype=np.int64)
    latest[0] = start = n
    for blocks in range(1, n + 1):
        start -= 1
        while start > 0 and (none[start] or first[start] > latest[blocks - 1]):
            start -= 1
        if start <= 0:
            break
        latest[blocks] = start
    return Edges(gain, ends.astype(np.float64), np.where(none, 0, first), np.where(none, -1, last), latest)


@part
def sweep(
    edges: Edges,
    price: float,
    least: int,
    most: int,
    scores: Floats,
    squares: Floats,
    came_from: NDArray[np.int32],
) -> None:
    """For every number of blocks from `least` to `most`, a partition that maximises score - price · squares.

    Fills scores[k] and squares[k] (-1: no partition has k blocks), and where `came_from` is not
    empty came_from[k, i], the start of the last of k blocks that end at i. Ties go to the smaller
    squares, then to the earlier cut. An infinite price: the smallest squares, then the best score.

    The later of two block starts, once better, stays better as the end moves on. So the starts
    that are best somewhere ahead form a queue, each with the token from which it takes over. An end from
    which the blocks that are still needed cannot reach the end of the text is left out.
    """
    gain, ends, first, last, latest = edges
    n = len(ends) - 1
    traced = came_from.size > 0
    weight, price = (0.0, 1.0) if price == np.inf else (1.0, price)
    end_of = ends[last]  # of the longest block from each start
    score, square = np.zeros(n + 1), np.full(n + 1, -1.0)
    next_score, next_square = np.zeros(n + 1), np.empty(n + 1)
    queue, takes_over = np.empty(n, dtype=np.int64), np.empty(n)
    square[0] = 0
    reached = 0  # first boundary that k blocks can end at
    for k in range(1, most + 1):
        next_square[:] = -1
        start, head, tail, end = reached, 0, 0, reached
        reached = n + 1
        last_inner = start if k == most else latest[max(1, least - k)]
        last_end = n if k >= least else last_inner
        while end < last_end:
            end = end + 1 if end < last_inner else n
            i = _Index(end)
            here = ends[i]
            while tail > head and last[queue[_Index(head)]] < end:
                head += 1
            while start < end and first[_Index(start)] <= end:
                new = _Index(start)
                if square[new] >= 0 and last[new] >= end:
                    at = here
                    while tail > head:
                        old = _Index(queue[_Index(tail - 1)])
                        at = max(takes_over[_Index(tail - 1)], here)
                        rise = score[new] - score[old]
                        base = square[new] + ends[new] ** 2 - square[old] - ends[old] ** 2
                        step = 2 * (ends[new] - ends[old])
                        if not _better(rise, base - step * end_of[old], weight, price):
                            at = end_of[old] + 1
                            break
                        if not _better(rise, base - step * at, weight, price):
                            at = _takeover(rise, base, step, weight, price, at, end_of[old])
                            break
                        tail -= 1
                        at = here
                    if at <= end_of[new]:
                        queue[_Index(tail)], takes_over[_Index(tail)] = start, at
                        tail += 1
                start += 1
            while tail - head > 1 and takes_over[_Index(head + 1)] <= here:
                head += 1
            if tail > head:
                best = _Index(queue[_Index(head)])
                next_score[i] = score[best] + gain[i]
                next_square[i] = square[best] + (here - ends[best]) ** 2
                reached = min(reached, end)
                if traced:
                    came_from[k, end] = best
        if reached > n:
            break
        score, next_score = next_score, score
        square, next_square = next_square, square
        if k >= least:
            scores[k], squares[k] = score[n], square[n]


@inlined
def _takeover(
    rise: float, base: float, step: float, weight: float, price: float, here: float, last: float
) -> float:
    """First token after `here` from which a later start is better; it is not at `here`, and is at `last`.

    At a token its score is higher by `rise` and its squares larger by base - step · token.
    """
    # Without a price it is better by its squares alone, as the scores are equal.
    worth = rise * weight / price if price > 0 else 0.0
    at = min(max(float(np.floor((base - worth) / step)) + 1, here + 1), last)
    while _better(rise, base - step * (at - 1), weight, price):
        at -= 1
    while not _better(rise, base - step * at, weight, price):
        at += 1
    return at


@part
def _better(rise: float, growth: float, weight: float, price: float) -> bool:
    """Whether a score higher by `rise` is worth squares larger by `growth`; of equals, the smaller ones."""
    worth, cost = weight * rise, price * growth
    return worth > cost or (worth == cost and (growth < 0 or (growth == 0 and rise > 0)))
