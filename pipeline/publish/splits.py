"""Which split a row belongs to: by its problem, so that none stands on two sides, nor changes sides."""

import hashlib
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config import PublishConfig

TRAIN = "train"


def split_shares(config: PublishConfig) -> dict[str, float]:
    """The wanted splits and their shares of the problems; "train", always there, has what is left."""
    held_out = {"validation": config.validation, "test": config.test}
    return {TRAIN: 1 - sum(held_out.values())} | {name: share for name, share in held_out.items() if share}


def split_of(problem: str, shares: dict[str, float]) -> str:
    """The split of every row with this problem, white space aside; the same whatever other rows there are."""
    normalised = " ".join(problem.split()).encode()
    place = int.from_bytes(hashlib.sha256(normalised).digest()[:8]) / 2**64
    for name, share in shares.items():
        if name != TRAIN and (place := place - share) < 0:
            return name
    return TRAIN


def only(tables: Iterable[pa.Table], split: str, shares: dict[str, float]) -> Iterator[pa.Table]:
    """The rows of one split, by their column `problem`, in their order."""
    for table in tables:
        if len(shares) == 1:
            yield table
        else:
            wanted = [split_of(problem, shares) == split for problem in table["problem"].to_pylist()]
            yield table.filter(pc.equal(pa.array(wanted, pa.bool_()), True))
