"""The split stage: where the sentences of a trace end, and how many tokens each has."""

import pyarrow as pa

from pipeline.config import SplitConfig
from pipeline.outcomes import Done, Outcome, ShardResult, collect
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
    version=3,
)


def split_shard(rows: pa.Table, config: SplitConfig) -> ShardResult:
    """Sentence ends and token counts of a shard's traces. The sentences concatenate to the reasoning.

    Raises ValueError where they would not: a defect of the splitter, which no trace is to blame for.
    """
    count = token_counter(config.tokenizer)
    outcomes: list[Outcome] = []
    for row in rows.select(["trace_id", "reasoning"]).to_pylist():
        reasoning = row["reasoning"]
        ends = split(reasoning)
        sentences = cut(reasoning, ends)
        if "".join(sentences) != reasoning:
            raise ValueError(
                f"trace {row['trace_id']}: its {len(ends)} sentences do not concatenate to the reasoning: "
                "a defect of the splitter; please report it with the trace"
            )
        outcomes.append(Done({"sentence_ends": ends, "sentence_tokens": count(sentences)}))
    return collect(SPLIT.name, rows, SENTENCES, outcomes)
