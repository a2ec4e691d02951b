"""The split stage: where the sentences of a trace end, and how many tokens each has."""

from operator import ge

import pyarrow as pa

from pipeline.config import SplitConfig
from pipeline.outcomes import Done, Outcome, ShardResult, collect
from pipeline.segmentation.sentences import split
from pipeline.segmentation.tokens import piece_counter
from pipeline.stage import Stage
from schemas.tables import SENTENCES

SPLIT = Stage(
    name="split",
    verb="split into sentences",
    reads=("trace_id", "origin", "reasoning"),
    adds=SENTENCES,
    config=lambda build: build.split.model_dump(mode="json"),
    version=4,
)


def split_shard(rows: pa.Table, config: SplitConfig) -> ShardResult:
    """Sentence ends and token counts of a shard's traces.

    The sentences concatenate to the reasoning, and their tokens add up to those of the reasoning.
    Raises ValueError where they would not: a defect of the splitter, which no trace is to blame for.
    """
    count = piece_counter(config.tokenizer)
    outcomes: list[Outcome] = []
    for row in rows.select(["trace_id", "reasoning"]).to_pylist():
        reasoning = row["reasoning"]
        ends = split(reasoning)
        # Pieces between rising ends, the last at the text's, are the text.
        if (ends or [0])[-1] != len(reasoning) or any(map(ge, ends, ends[1:])):
            raise ValueError(
                f"trace {row['trace_id']}: its {len(ends)} sentences do not concatenate to the reasoning: "
                "a defect of the splitter; please report it with the trace"
            )
        outcomes.append(Done({"sentence_ends": ends, "sentence_tokens": count(reasoning, ends)}))
    return collect(SPLIT.name, rows, SENTENCES, outcomes)
