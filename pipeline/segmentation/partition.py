"""Blocks from boundary scores and sentence sizes: the exact optimum of the paper's objective."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.compiled import callback
from pipeline.segmentation.hull import best_partition
from pipeline.segmentation.limits import Ints, allowed_ends
from pipeline.segmentation.objective import SIGNATURE, Objective, paper_objective

MOST_TOKENS = 2**26  # the squares of block sizes are then exact also as float64
MOST_SCORE = 1e100  # no sum of scores is then infinite


@dataclass(frozen=True, slots=True)
class Partition:
    """Where a text's blocks end and what the partition is worth.

    block_ends: sentences up to the end of each block, rising, the last being all of them; block_tokens: the
    blocks' sizes.
    oversized, undersized: numbers of the blocks outside the limits that were asked for.
    """

    block_ends: list[int]
    block_tokens: list[int]
    objective: float
    oversized: list[int]
    undersized: list[int]


def partition(
    scores: Sequence[float] | NDArray[np.float64],
    tokens: Sequence[int] | NDArray[np.integer],
    *,
    min_tokens: int = 200,
    max_tokens: int | None = None,
    weight: float = 0.5,
    objective: Objective = paper_objective,
) -> Partition:
    """Blocks that maximise score per block minus `weight` times the spread of block sizes; exactly.

    scores: n-1 boundary scores (0 to 3; any number from 0 to `MOST_SCORE` works), the first standing between
    the first two sentences; tokens: n sentence sizes in tokens; objective: by default, for K
    blocks, (sum of the scores of the K-1 cuts)/K - weight · (population standard deviation of the
    block sizes)/(their mean), source: arXiv 2604.09852, section 3, stage 3.

    Limits: every block has `min_tokens` to `max_tokens` tokens wherever that can be. A sentence
    over `max_tokens` is a block of its own, listed in `oversized`; no two sentences share a block
    over the maximum. A text, or a stretch between two such sentences, is one block where it is
    under `min_tokens`; where it cannot be cut within both limits, the largest minimum that it can
    be cut with holds in it. Blocks that are too small for that reason are listed in `undersized`.

    Ties (objectives equal but for rounding, 1e-12 relative): fewest blocks, then most even sizes,
    then every cut as early as possible.

    Raises ValueError where lengths disagree, there is no sentence, a value is negative or not
    finite, the limits cross, a score is over `MOST_SCORE`, or there are more than `MOST_TOKENS` tokens.

    Why hull points suffice. The total L of the tokens is given, so for a fixed K the mean is L/K
    and the objective is f(S, Q) = S/K - weight · √(K·Q/L² - 1), where S is the sum of the cut
    scores and Q that of the squared block sizes. f rises with S and falls with Q, and is convex,
    as √ is concave. A convex function on a finite set of points has its maximum at a vertex of
    their convex hull, and since f rises with S and falls with Q, at one that maximises S - p·Q
    for some price p in [0, ∞], the ends standing for "most S, then least Q" and the reverse.

    Finding one. S - p·Q is the worth of a path of K edges, where the edge j → i is worth
    score(i) - p·(T(i) - T(j))² with T the tokens before a boundary. For a < b < c < d the edges
    a → c and b → d are together worth at least as much as a → d and b → c, the square being
    convex, and they keep the limits where those do, their sizes lying between. Hence of two
    starts of a block the later one, once it is better, stays better as the end moves on, and one
    pass over the boundaries adds a block (`sweep.sweep`): one sweep answers for every K. It
    follows too that of the partitions that tie for a price one has every cut earliest.

    Finding the best. The answer (S', Q') to a price p is a point of the hull, and no point lies
    above the line S = S' + p·(Q - Q'). So between neighbouring answers all points lie in the
    triangle of the two and the crossing of their lines; f is convex, so its value at the crossing
    bounds whatever hides there. While some bound reaches the best value known, one of them is
    looked into, with the slope of the triangle's base as the price: that yields a new vertex or
    shows the base to be an edge of the hull, so it ends, whichever is taken. All K share the
    sweeps, and a K whose bounds are all below the best is never looked at again.

    Most K are not looked at twice. The price 0 gives the most S that K blocks can have, and no
    sizes have less Q than even ones, L²/K. Since f rises with S and falls with Q, f of these two
    bounds all partitions into K blocks, and a sweep goes from the smallest to the largest K whose
    bound reaches the best value known. For the smallest many boundaries lie too late: so many blocks
    do not fit behind them.

    Token sums are exact integers and all else is IEEE double precision in a fixed order, so the
    same input gives the same blocks on every machine.
    """
    sizes = _sizes(tokens)
    cut_scores = _cut_scores(scores, len(sizes))
    _check_limits(min_tokens, max_tokens, weight)
    ends = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=ends[1:])
    gain = np.zeros(len(sizes) + 1)
    gain[1:-1] = cut_scores
    total = int(ends[-1])
    most = max(total, min_tokens) if max_tokens is None else max_tokens
    # Beyond the text's size all limits are the same; compiled code knows whole numbers of 64 bits only.
    beyond = total + 1
    first, last = allowed_ends(ends, min(min_tokens, beyond), min(most, beyond))
    found = best_partition(gain, ends, first, last, float(weight), callback(objective, SIGNATURE))
    # A dozen numbers: plain Python is faster with them than numpy.
    block_ends: list[int] = found.tolist()
    lengths = [end - start for start, end in pairwise((0, *ends[found].tolist()))]
    return Partition(
        block_ends=block_ends,
        block_tokens=lengths,
        objective=objective(
            len(block_ends),
            math.fsum(gain[found].tolist()),
            float(sum(length * length for length in lengths)),
            total,
            float(weight),
        ),
        oversized=[number for number, length in enumerate(lengths) if length > most],
        undersized=[number for number, length in enumerate(lengths) if length < min_tokens],
    )


def _sizes(tokens: Sequence[int] | NDArray[np.integer]) -> Ints:
    if len(tokens) == 0:
        raise ValueError("tokens is empty: a text without sentences has no blocks; leave it out")
    sizes = np.asarray(tokens)
    if sizes.dtype.kind not in "iu":
        raise ValueError(f"tokens must be whole numbers, they come as {sizes.dtype}: {tokens[:3]}")
    if sizes.min() < 0:
        at = int(np.argmin(sizes))
        raise ValueError(f"tokens[{at}] is {sizes[at]}: a sentence has 0 tokens or more")
    if sizes.max() > MOST_TOKENS or sizes.sum(dtype=np.int64) > MOST_TOKENS:
        raise ValueError(f"tokens sum to more than {MOST_TOKENS}: cut the text into several")
    return sizes.astype(np.int64)


def _cut_scores(scores: Sequence[float] | NDArray[np.float64], sentences: int) -> NDArray[np.float64]:
    if len(scores) != sentences - 1:
        raise ValueError(
            f"{len(scores)} scores for {sentences} sentences: "
            f"give one per boundary between two sentences, {sentences - 1}"
        )
    values = np.asarray(scores, dtype=np.float64)
    wrong = ~((values >= 0) & (values <= MOST_SCORE))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"scores[{at}] is {values[at]}: a score is a number from 0 to {MOST_SCORE:g}")
    return values


def _check_limits(min_tokens: int, max_tokens: int | None, weight: float) -> None:
    if min_tokens < 0:
        raise ValueError(f"min_tokens is {min_tokens}: give 0 or more")
    if max_tokens is not None and max_tokens < max(min_tokens, 1):
        raise ValueError(
            f"max_tokens is {max_tokens}: give at least min_tokens ({min_tokens}) and 1, or None"
        )
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"weight is {weight}: give a finite number from 0 on")
