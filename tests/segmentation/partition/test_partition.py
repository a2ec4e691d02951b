import math
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.segmentation.partition.objective import Objective, paper_objective
from pipeline.segmentation.partition.partition import MOST_TOKENS, partition

UNLIMITED = 10**9
Case = tuple[list[float], list[int]]


def cases(score: st.SearchStrategy[float], most: int = 10) -> st.SearchStrategy[Case]:
    size = st.integers(0, 3) | st.integers(0, 20) | st.integers(0, 300)
    return st.lists(size, min_size=1, max_size=most).flatmap(
        lambda tokens: st.tuples(
            st.lists(score, min_size=len(tokens) - 1, max_size=len(tokens) - 1), st.just(tokens)
        )
    )


whole_scores = st.integers(0, 3).map(float)
real_scores = st.floats(0, 3)
minimums = st.sampled_from([0, 1, 2, 5, 30, 200])
rooms = st.none() | st.integers(0, 30) | st.integers(0, 300)  # from the minimum to the maximum
weights = st.sampled_from([0.0, 1e-6, 0.1, 0.5, 1.0, 2.0, 1e6])


def cuttings(sizes: list[int]) -> Iterator[list[int]]:
    """Every way to cut the sizes into runs, as the ends of the runs."""
    for cuts in product([False, True], repeat=len(sizes) - 1):
        yield [i + 1 for i, cut in enumerate(cuts) if cut] + [len(sizes)]


def lengths_of(sizes: list[int], ends: list[int]) -> list[int]:
    return [sum(sizes[start:end]) for start, end in pairwise([0, *ends])]


def allowed_cuttings(sizes: list[int], least: int, most: int) -> list[list[int]]:
    """The documented limits by brute force: stretches between oversized sentences, each alone."""
    whole: list[list[int]] = [[]]
    start = 0
    for at in range(len(sizes) + 1):
        if at < len(sizes) and sizes[at] <= most:
            continue
        stretch = sizes[start:at]
        if stretch:
            fitting = [e for e in cuttings(stretch) if max(lengths_of(stretch, e)) <= most]
            possible = min(least, max(min(lengths_of(stretch, e)) for e in fitting))
            if sum(stretch) < least:
                fitting = [[len(stretch)]]
            kept = [e for e in fitting if min(lengths_of(stretch, e)) >= possible]
            whole = [w + [start + end for end in e] for w in whole for e in kept]
        if at < len(sizes):
            whole = [[*w, at + 1] for w in whole]
        start = at + 1
    return whole


def worth(
    scores: list[float],
    sizes: list[int],
    ends: list[int],
    weight: float,
    objective: Objective = paper_objective,
) -> float:
    lengths = lengths_of(sizes, ends)
    score = math.fsum(scores[end - 1] for end in ends[:-1])
    return objective(len(ends), score, sum(n * n for n in lengths), sum(sizes), weight)


def best_by_trying_all(
    scores: list[float], sizes: list[int], least: int, most: int, weight: float
) -> tuple[float, list[int]]:
    """Best objective, and by the documented order the first of the partitions that reach it."""
    tried = [(worth(scores, sizes, e, weight), e) for e in allowed_cuttings(sizes, least, most)]
    best = max(value for value, _ in tried)
    tied = [ends for value, ends in tried if value >= best - 1e-10 * (1 + abs(best))]
    first = min(tied, key=lambda e: (len(e), sum(n * n for n in lengths_of(sizes, e)), e))
    return best, first


@settings(deadline=None, max_examples=400)
@given(cases(whole_scores), minimums, rooms, weights)
def test_every_small_case_equals_trying_all_partitions_ties_included(
    case: Case, least: int, room: int | None, weight: float
) -> None:
    scores, tokens = case
    limit = None if room is None else max(1, least + room)
    best, ends = best_by_trying_all(scores, tokens, least, limit or UNLIMITED, weight)
    found = partition(scores, tokens, min_tokens=least, max_tokens=limit, weight=weight)
    assert found.block_ends == ends
    assert found.objective == pytest.approx(best, rel=1e-12, abs=1e-12)


@settings(deadline=None, max_examples=400)
@given(cases(real_scores), minimums, rooms, weights)
def test_real_scores_reach_the_best_objective_of_all_partitions(
    case: Case, least: int, room: int | None, weight: float
) -> None:
    scores, tokens = case
    limit = None if room is None else max(1, least + room)
    best, _ = best_by_trying_all(scores, tokens, least, limit or UNLIMITED, weight)
    found = partition(scores, tokens, min_tokens=least, max_tokens=limit, weight=weight)
    assert found.objective == pytest.approx(best, rel=1e-10, abs=1e-10)
    assert found.objective == worth(scores, tokens, found.block_ends, weight)
    assert found.block_ends in allowed_cuttings(tokens, least, limit or UNLIMITED)


def best_by_undominated(scores: list[float], sizes: list[int], least: int, most: int, weight: float) -> float:
    """Best objective by all pairs of sums that no other pair beats in both, for each end and K."""
    n = len(sizes)
    before = [sum(sizes[:i]) for i in range(n + 1)]
    table: list[dict[int, list[tuple[float, int]]]] = [{0: [(0.0, 0)]}] + [{} for _ in sizes]
    for end in range(1, n + 1):
        gain = scores[end - 1] if end < n else 0.0
        for start in range(end):
            length = before[end] - before[start]
            if least <= length <= most:
                for blocks, pairs in table[start].items():
                    table[end].setdefault(blocks + 1, []).extend(
                        (score + gain, squares + length * length) for score, squares in pairs
                    )
        for blocks, pairs in table[end].items():
            kept: list[tuple[float, int]] = []
            for score, squares in sorted(pairs, key=lambda pair: (-pair[0], pair[1])):
                if not kept or squares < kept[-1][1]:
                    kept.append((score, squares))
            table[end][blocks] = kept
    return max(
        paper_objective(blocks, score, squares, before[n], weight)
        for blocks, pairs in table[n].items()
        for score, squares in pairs
    )


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.integers(15, 32),
    st.booleans(),
    st.sampled_from([20, 60, 100]),
    st.sampled_from([None, 350, 600]),  # enough for any text of such sentences to be cut
    st.sampled_from([0.1, 0.5, 2.0, 10.0]),
)
def test_longer_texts_equal_a_table_of_all_undominated_sums(
    seed: int, sentences: int, real: bool, least: int, limit: int | None, weight: float
) -> None:
    random = Random(seed)  # hypothesis would draw small and alike numbers, and hulls of few points
    tokens = [200, *(random.randint(0, 120) for _ in range(sentences))]
    scores = [random.uniform(0, 3) if real else float(random.randint(0, 3)) for _ in tokens[1:]]
    best = best_by_undominated(scores, tokens, least, limit or UNLIMITED, weight)
    found = partition(scores, tokens, min_tokens=least, max_tokens=limit, weight=weight)
    assert found.objective == pytest.approx(best, abs=1e-12)


def test_of_equals_with_as_many_blocks_the_most_even_is_taken() -> None:
    # 1/2 - 0 for halves, 11/2 - 10 · 1/2 for three quarters and one
    found = partition([1.0, 11.0], [2, 1, 1], min_tokens=1, weight=10)
    assert (found.block_ends, found.objective) == ([1, 3], 0.5)


def test_of_equals_the_fewest_blocks_are_taken() -> None:
    assert partition([0.0, 0.0, 0.0], [300, 300, 300, 300]).block_ends == [4]


def test_a_text_under_the_minimum_is_one_block_and_said_to_be_small() -> None:
    found = partition([3.0, 3.0], [50, 60, 70], min_tokens=200)
    assert (found.block_ends, found.objective, found.undersized) == ([3], 0.0, [0])


@pytest.mark.parametrize("tokens", [[0], [0, 0, 0], [5]])
def test_a_text_of_next_to_nothing_is_one_block(tokens: list[int]) -> None:
    assert partition([3.0] * (len(tokens) - 1), tokens).block_ends == [len(tokens)]


def test_a_text_without_tokens_is_cut_by_scores_alone_where_no_minimum_forbids_it() -> None:
    assert partition([3.0, 0.0], [0, 0, 0], min_tokens=0).block_ends == [1, 3]


def test_a_sentence_over_the_maximum_is_a_block_of_its_own_and_flagged() -> None:
    found = partition([0.0] * 4, [300, 300, 2000, 300, 300], min_tokens=200, max_tokens=1000)
    assert (found.block_ends, found.oversized, found.undersized) == ([2, 3, 5], [1], [])


def test_only_the_stretch_that_cannot_keep_the_minimum_gives_it_up() -> None:
    tokens = [100, 100, 100, 2000, 150, 150, 150, 2000, 40]
    found = partition([3.0] * 8, tokens, min_tokens=200, max_tokens=250)
    assert found.block_ends[2:3] == [4]
    assert found.block_ends[-2:] == [8, 9]
    between = found.block_ends[3:-2]
    assert between == [5, 6, 7]  # any two sentences are over 250 tokens, so each stands alone
    assert found.oversized == [2, 6]
    assert found.undersized == [0, 3, 4, 5, 7]
    assert found.block_ends[0] == 1  # 300 tokens fit no block: the most even cut is 100 + 200


def test_without_a_weight_the_scores_alone_decide() -> None:
    found = partition([3.0, 0.0, 3.0, 3.0], [1000, 200, 5000, 300, 200], weight=0)
    assert (found.block_ends, found.objective) == ([1, 3, 4, 5], 9 / 4)


def test_under_a_huge_weight_only_even_blocks_remain() -> None:
    found = partition([1.0, 3.0, 1.0], [300, 300, 300, 300], weight=1e300)
    assert (found.block_ends, found.objective) == ([2, 4], 3 / 2)
    assert partition([3.0, 3.0], [300, 301, 299], weight=1e300).block_ends == [3]


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-290, 1e99])
def test_scores_of_any_size_come_to_an_end(scale: float) -> None:
    found = partition([scale * (at % 7) for at in range(799)], [60 + at % 50 for at in range(800)])
    assert found.block_ends[-1] == 800


def test_the_same_blocks_come_of_doubled_scores_and_weight() -> None:
    scores, tokens = [1.3, 2.7, 0.2, 3.0, 1.1, 2.2], [210, 333, 120, 480, 90, 260, 205]
    once = partition(scores, tokens, min_tokens=100, weight=0.5)
    twice = partition([2 * s for s in scores], tokens, min_tokens=100, weight=1.0)
    assert twice.block_ends == once.block_ends
    assert twice.objective == pytest.approx(2 * once.objective)


def variance_objective(blocks: int, score: float, squares: float, total: int, weight: float) -> float:
    if total == 0:
        return score
    return score - weight * (blocks * squares / total / total - 1)


@settings(deadline=None)
@given(cases(real_scores, most=8), st.sampled_from([0, 5]), st.sampled_from([0.5, 10.0]))
def test_another_objective_is_maximised_as_exactly(case: Case, least: int, weight: float) -> None:
    scores, tokens = case
    best = max(
        worth(scores, tokens, ends, weight, variance_objective)
        for ends in allowed_cuttings(tokens, least, UNLIMITED)
    )
    found = partition(scores, tokens, min_tokens=least, weight=weight, objective=variance_objective)
    assert found.objective == pytest.approx(best, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(
    ("scores", "tokens", "options", "message"),
    [
        ([], [], {}, "tokens is empty"),
        ([1.0], [5], {}, "1 scores for 1 sentences"),
        ([1.0], [5, 5, 5], {}, "1 scores for 3 sentences.*, 2"),
        ([1.0, -0.5], [5, 5, 5], {}, r"scores\[1\] is -0.5"),
        ([math.nan], [5, 5], {}, r"scores\[0\] is nan"),
        ([math.inf], [5, 5], {}, r"scores\[0\] is inf"),
        ([1e308], [5, 5], {}, r"scores\[0\] is 1e\+308.* to 1e\+100"),
        ([1.0], [5, -5], {}, r"tokens\[1\] is -5"),
        ([1.0], [5, 5.5], {}, "whole numbers"),
        ([1.0], [5, math.nan], {}, "whole numbers"),
        ([1.0], [5, MOST_TOKENS], {}, "tokens sum to more"),
        ([1.0], [5, 5], {"min_tokens": -1}, "min_tokens is -1"),
        ([1.0], [5, 5], {"max_tokens": 100}, "max_tokens is 100"),
        ([1.0], [5, 5], {"min_tokens": 0, "max_tokens": 0}, "max_tokens is 0"),
        ([1.0], [5, 5], {"weight": -0.5}, "weight is -0.5"),
        ([1.0], [5, 5], {"weight": math.nan}, "weight is nan"),
    ],
)
def test_input_that_means_nothing_is_refused_by_name(
    scores: list[float], tokens: list[int], options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        partition(scores, tokens, **options)  # type: ignore[arg-type]


def test_limits_beyond_any_text_are_limits() -> None:
    found = partition([3.0, 1.0], [50, 60, 70], min_tokens=2**70, max_tokens=2**80)
    assert (found.block_ends, found.undersized, found.oversized) == ([3], [0], [])
    assert partition([3.0], [50, 60], min_tokens=0, max_tokens=2**80).block_ends == [1, 2]


@pytest.mark.exhaustive
def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    program = (
        "from pipeline.segmentation.partition import hull, limits, partition as p;"
        "p.partition([1.0], [300, 300]);"
        "print(*(sum(f.stats.cache_misses.values())"
        " for f in (hull.best_partition, limits.allowed_ends)))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    misses = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert misses == [["1", "1"], ["0", "0"]]
