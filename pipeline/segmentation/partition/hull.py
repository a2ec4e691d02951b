"""Search for the best partition among those on the convex hulls; `partition.py` has the proof."""

import numpy as np

from pipeline.segmentation.partition.compiled import compiled, part
from pipeline.segmentation.partition.limits import Ints
from pipeline.segmentation.partition.objective import Objective
from pipeline.segmentation.partition.sweep import Floats, sweep

ROUNDING = 1e-12  # relative; differences below it are taken for rounding of float64


@compiled
def best_partition(
    gain: Floats, ends: Ints, first: Ints, last: Ints, weight: float, objective: Objective
) -> Ints:
    """Block ends of the partition with the highest objective.

    gain: n+1 scores of the boundaries, with 0 at both ends of the text; ends: n+1 token counts
    before them; first, last: allowed block ends for each start (`limits.allowed_ends`).
    """
    n = len(ends) - 1
    total = ends[n]
    prices = np.empty(32)
    scores = np.zeros((32, n + 1))
    squares = np.full((32, n + 1), -1, dtype=np.int64)
    untraced = np.empty((0, 0), dtype=np.int32)
    largest_gain = gain.max()
    sweep(gain, ends, first, last, 0.0, n, scores[0], squares[0], untraced)
    score_rounding = ROUNDING * scores[0].max()
    most = n
    while squares[0, most] < 0:
        most -= 1
    best = _best_value(scores[0], squares[0], most, total, weight, objective)
    # More than the most score with even sizes cannot be had of as many blocks.
    bar = best - ROUNDING * (largest_gain + abs(best))
    while most > 1:
        even = float(total) * total / most * (1 - ROUNDING)
        if objective(most, scores[0, most] + score_rounding, even, total, weight) >= bar:
            break
        most -= 1
    sweep(gain, ends, first, last, np.inf, most, scores[1], squares[1], untraced)
    best = max(best, _best_value(scores[1], squares[1], most, total, weight, objective))
    prices[0], prices[1] = 0.0, np.inf
    order = [0, 1]  # rows by rising price

    while True:
        bar = best - ROUNDING * (largest_gain + abs(best))
        most_hope, price, place, alive = -1.0, 0.0, -1, 0
        for k in range(1, most + 1):
            if squares[0, k] < 0:
                continue
            for at in range(1, len(order)):
                left, right = order[at - 1], order[at]
                bound, slope = _bound(
                    k,
                    prices[left],
                    scores[left, k],
                    squares[left, k],
                    prices[right],
                    scores[right, k],
                    squares[right, k],
                    total,
                    weight,
                    objective,
                    score_rounding,
                )
                if bound >= bar:
                    alive = k
                    # A sweep takes time by its largest k, so the large ones are settled early.
                    hope = (bound - bar) * k
                    if hope > most_hope:
                        most_hope, price, place = hope, slope, at
        if place < 0:
            break
        row = len(order)
        if row == len(prices):
            prices = np.concatenate((prices, np.empty(row)))
            scores = np.concatenate((scores, np.zeros((row, n + 1))))
            squares = np.concatenate((squares, np.full((row, n + 1), -1, dtype=np.int64)))
        sweep(gain, ends, first, last, price, alive, scores[row], squares[row], untraced)
        prices[row] = price
        order.insert(place, row)
        most = alive
        best = max(best, _best_value(scores[row], squares[row], most, total, weight, objective))

    blocks, row = _winner(scores, squares, len(order), total, weight, objective, bar)
    came_from = np.empty((blocks + 1, n + 1), dtype=np.int32)
    sweep(gain, ends, first, last, prices[row], blocks, scores[row], squares[row], came_from)
    block_ends = np.empty(blocks, dtype=np.int64)
    end = n
    for k in range(blocks, 0, -1):
        block_ends[k - 1] = end
        end = came_from[k, end]
    return block_ends


@part
def _best_value(
    scores: Floats, squares: Ints, most: int, total: int, weight: float, objective: Objective
) -> float:
    best = -np.inf
    for k in range(1, most + 1):
        if squares[k] >= 0:
            best = max(best, objective(k, scores[k], squares[k], total, weight))
    return best


@part
def _winner(
    scores: Floats,
    squares: Ints,
    rows: int,
    total: int,
    weight: float,
    objective: Objective,
    bar: float,
) -> tuple[int, int]:
    """Fewest blocks among the partitions as good as the best; of those, the most even sizes."""
    for k in range(1, scores.shape[1]):
        chosen = -1
        for row in range(rows):
            if squares[row, k] < 0:
                continue
            value = objective(k, scores[row, k], squares[row, k], total, weight)
            if value >= bar and (chosen < 0 or squares[row, k] < squares[chosen, k]):
                chosen = row
        if chosen >= 0:
            return k, chosen
    return 0, 0


@part
def _bound(
    blocks: int,
    low_price: float,
    low_score: float,
    low_squares: int,
    high_price: float,
    high_score: float,
    high_squares: int,
    total: int,
    weight: float,
    objective: Objective,
    rounding: float,
) -> tuple[float, float]:
    """Bound on the objective between two neighbours on a hull, and the price to look there at.

    Minus infinity where nothing can lie between: the neighbours are one point, or joined by an
    edge of the hull.
    """
    if low_squares <= high_squares:
        return -np.inf, 0.0
    rise = low_score - high_score
    run = low_squares - high_squares
    above_high = rise - low_price * run  # by how much the line through one passes over the other
    if above_high <= rounding:
        return -np.inf, 0.0
    slope = rise / run
    if not low_price < slope < high_price:
        return -np.inf, 0.0
    corner_score = high_score + above_high
    corner_squares = float(high_squares)
    if high_price < np.inf:
        above_low = high_price * run - rise
        if above_low <= rounding:
            return -np.inf, 0.0
        step = above_high / (high_price - low_price)
        corner_score += high_price * step
        corner_squares = max(corner_squares, (high_squares + step) * (1 - ROUNDING))
    corner_score += rounding
    return objective(blocks, corner_score, corner_squares, total, weight), slope
