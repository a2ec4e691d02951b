"""The partition stage: which boundaries become cuts between blocks."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.config import PartitionConfig
from pipeline.run.outcomes import Done, Outcome
from pipeline.segmentation.partition.partition import Partition, partition
from pipeline.stages.stage import Row, Stage, TraceWork
from schemas.tables import BLOCKS

PARTITION = Stage(
    name="partition",
    verb="cut into blocks",
    reads=("trace_id", "origin", "sentence_tokens", "boundary_scores"),
    adds=BLOCKS,
    begin=lambda build, _: _cutting(build.partition),
    config=lambda build: build.partition.model_dump(mode="json"),
    version=1,
)


def _cutting(config: PartitionConfig) -> TraceWork:
    """The best blocks of a trace, by the objective of the paper. Counters: "blocks", "oversized_blocks"."""

    async def cut_trace(_: int, row: Row, counters: Counter[str]) -> Outcome:
        best = best_blocks(row["boundary_scores"], row["sentence_tokens"], config)
        counters["blocks"] += len(best.block_ends)
        counters["oversized_blocks"] += len(best.oversized)
        return Done(
            {"block_ends": best.block_ends, "block_tokens": best.block_tokens, "objective": best.objective}
        )

    return cut_trace


def best_blocks(
    scores: Sequence[float] | NDArray[np.float64], tokens: Sequence[int], config: PartitionConfig
) -> Partition:
    """The best blocks of a trace under a config, from its boundaries' scores and its sentences' tokens."""
    return partition(
        scores,
        tokens,
        min_tokens=config.min_tokens,
        max_tokens=config.max_tokens,
        weight=config.weight,
    )
