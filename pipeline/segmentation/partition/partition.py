"""Blocks from boundary scores and sentence sizes: the exact optimum of the paper's objective."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.segmentation.partition.compiled import callback
from pipeline.segmentation.partition.hull import best_partition
from pipeline.segmentation.partition.limits import Ints, allowed_ends
from pipeline.segmentation.partition.objective import SIGNATURE, Objective, paper_objective

MOST_TOKENS = 2**26  # the squares of block sizes are then exact also as float64
MOST_SCORE = 1e100  # keeps sums of scores finite


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

    The room's docstring says how the optimum is found.
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
