"""The split stage: where the sentences of a trace end, and how many tokens each has."""

from typing import Any

import pyarrow as pa

from pipeline.config import SplitConfig
from pipeline.outcomes import Done, Outcome, Rejected, RejectReason, ShardResult, collect
from pipeline.pieces import cut
from pipeline.segmentation.sentences import split
from pipeline.segmentation.tokens import token_counter
from pipeline.stage import Stage
from schemas.tables import SENTENCES

SPLIT = Stage(
    name="split",
    verb="split into sentences",
    reads=("trace_id", "origin", "reasoning"),
    adds=SENTENCES,
    config=lambda build: build.split.model_dump(mode="json"),
    version=1,
)


def split_shard(rows: pa.Table, config: SplitConfig) -> ShardResult:
    """Sentence ends and token counts of a shard's traces. The sentences concatenate to the reasoning."""
    count = token_counter(config.tokenizer)
    outcomes: list[Outcome] = []
    for reasoning in rows.column("reasoning").to_pylist():
        ends = split(reasoning)
        sentences = cut(reasoning, ends)
        if "".join(sentences) != reasoning:
            outcomes.append(Rejected(RejectReason.NOT_LOSSLESS, f"{len(ends)} sentences"))
            continue
        added: dict[str, Any] = {"sentence_ends": ends, "sentence_tokens": count(sentences)}
        outcomes.append(Done(added))
    return collect(SPLIT.name, rows, SENTENCES, outcomes)
