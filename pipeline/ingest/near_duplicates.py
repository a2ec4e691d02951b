"""Problems that are nearly the same as an earlier one, found by MinHash."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from rensa import RMinHash, RMinHashLSH

from pipeline.ingest.ngrams import ngrams, words

PERMUTATIONS = 128
# Problems alike by 0.6 or more become candidates with a probability of 0.987, by 0.8 of 0.9999999
# (1 - (1 - s^4)^32); candidates are then compared by all permutations.
BANDS = 32
_WORDS_IN_A_ROW = 3
NEAR = pl.Schema({"problem": pl.UInt64, "near_file": pl.Int32, "near_row": pl.Int64, "alike": pl.Float64})


def sketch(problem: str) -> bytes:
    """The MinHash of the problem's word triples, as bytes that `near_problems` reads."""
    told = words(problem)
    pieces = [" ".join(run) for run in ngrams(told, _WORDS_IN_A_ROW)] or [" ".join(told)]
    minhash = RMinHash(num_perm=PERMUTATIONS, seed=0)
    minhash.update(pieces)
    state: bytes = minhash.__getstate__()
    return state


def near_problems(facts: Sequence[Path], threshold: float) -> pl.DataFrame:
    """Problems (columns of NEAR) that are alike by at least the threshold to one that comes before them.

    Alike: estimated share of word triples that both have among those that one has (Jaccard). In source
    order, each problem is compared with those that stay, so the first of a family stays. facts: the files
    of all source files in order. About 4 KB are held per different problem: 100,000 of 60 words took
    2.4 s and 450 MB. Both grow in proportion, but time faster where many problems are half alike.
    """
    index = RMinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, num_bands=BANDS)
    kept: dict[int, tuple[RMinHash, int, int]] = {}
    seen: set[int] = set()
    near = []
    for file, path in enumerate(facts):
        for row, problem, state in _problems(path):
            if problem in seen:
                continue
            seen.add(problem)
            minhash = RMinHash(num_perm=PERMUTATIONS, seed=0)
            minhash.__setstate__(state)
            alike, earlier = _nearest(minhash, index.query(minhash), kept)
            if alike >= threshold:
                _, near_file, near_row = kept[earlier]
                near.append((problem, near_file, near_row, alike))
            else:
                key = len(kept)
                index.insert(key, minhash)
                kept[key] = (minhash, file, row)
    return pl.DataFrame(near, NEAR, orient="row")


def _problems(facts: Path) -> list[tuple[int, int, bytes]]:
    """Row, hash and sketch of each different problem of a file, in order."""
    sketched = pl.scan_parquet(facts).filter(pl.col("sketch").is_not_null())
    first = sketched.unique("problem", keep="first", maintain_order=True)
    return first.select("row", "problem", "sketch").collect().rows()


def _nearest(
    minhash: RMinHash, candidates: Sequence[int], kept: dict[int, tuple[RMinHash, int, int]]
) -> tuple[float, int]:
    """How alike the most similar candidate is, and its key; of equals the first. (0, -1) without one."""
    alike, key = max(((minhash.jaccard(kept[key][0]), -key) for key in candidates), default=(0.0, 1))
    return alike, -key
