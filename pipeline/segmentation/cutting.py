"""The partition stage: which boundaries become cuts between blocks."""

from collections import Counter

import pyarrow as pa

from pipeline.config import PartitionConfig
from pipeline.outcomes import Done, Outcome, ShardResult, collect
from pipeline.segmentation.partition import partition
from pipeline.stage import Stage
from schemas.tables import BLOCKS

PARTITION = Stage(
    name="partition",
    verb="cut into blocks",
    reads=("trace_id", "origin", "sentence_tokens", "boundary_scores"),
    adds=BLOCKS,
    config=lambda build: build.partition.model_dump(mode="json"),
    version=1,
)


def partition_shard(rows: pa.Table, config: PartitionConfig) -> ShardResult:
    """The best blocks of each trace of a shard, by the objective of the paper."""
    outcomes: list[Outcome] = []
    counters: Counter[str] = Counter()
    columns = rows.column("boundary_scores"), rows.column("sentence_tokens")
    for scores, tokens in zip(*columns, strict=True):
        best = partition(
            scores.values.to_numpy(),
            tokens.values.to_numpy(),
            min_tokens=config.min_tokens,
            max_tokens=config.max_tokens,
            weight=config.weight,
        )
        counters["blocks"] += len(best.block_ends)
        counters["oversized_blocks"] += len(best.oversized)
        outcomes.append(
            Done(
                {
                    "block_ends": best.block_ends,
                    "block_tokens": best.block_tokens,
                    "objective": best.objective,
                }
            )
        )
    return collect(PARTITION.name, rows, BLOCKS, outcomes, counters)
