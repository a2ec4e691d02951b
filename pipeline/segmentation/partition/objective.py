"""What a partition is worth: the paper's objective, and what another one must be like.

An objective is a plain function that numba can compile, of (blocks, score, squares, total,
weight): the number of blocks, the sum of the scores of their cuts, the sum of the squares of their
sizes in tokens, the sum of these sizes, and the weight that `partition` was given. For given
blocks, total and weight it must be convex in (score, squares), never fall as the score rises and
never rise as the squares do: the exactness of `partition` rests on this.
"""

import math
from collections.abc import Callable

Objective = Callable[[int, float, float, int, float], float]
SIGNATURE = "float64(int64, float64, float64, int64, float64)"


def paper_objective(blocks: int, score: float, squares: float, total: int, weight: float) -> float:
    """Score per block minus `weight` times the spread of sizes (arXiv 2604.09852, section 3).

    The spread is the population's standard deviation over the mean; as the mean is total/blocks,
    that is √(blocks · squares / total² - 1). Sizes that are all 0 have none.
    """
    if total == 0:
        return score / blocks
    spread = blocks * squares - float(total) * total
    return score / blocks - weight * math.sqrt(max(spread, 0.0)) / total
