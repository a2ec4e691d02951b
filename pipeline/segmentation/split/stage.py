"""The split stage: where the sentences of a trace end, and how many tokens each has."""

from collections import Counter
from operator import ge

from pipeline.config import SplitConfig
from pipeline.run.outcomes import Done, Outcome
from pipeline.segmentation.split.bounds import bounded
from pipeline.segmentation.split.sentences import split
from pipeline.stages.stage import Row, Stage, TraceWork
from pipeline.text.tokens import piece_counter
from schemas.tables import SENTENCES

SPLIT = Stage(
    name="split",
    verb="split into sentences",
    reads=("trace_id", "origin", "reasoning"),
    adds=SENTENCES,
    begin=lambda build, _: _splitting(build.split),
    config=lambda build: build.split.model_dump(mode="json"),
    version=5,
)


def _splitting(config: SplitConfig) -> TraceWork:
    """Sentence ends and token counts of a trace.

    The sentences concatenate to the reasoning, and their tokens add up to those of the reasoning.
    Raises ValueError where they would not: a defect of the splitter, not of the trace.
    """
    count = piece_counter(config.tokenizer)

    async def split_trace(_: int, row: Row, __: Counter[str]) -> Outcome:
        reasoning = row["reasoning"]
        ends, tokens = bounded(reasoning, split(reasoning), count, config.max_sentence_tokens)
        # Pieces between rising ends, the last at the text's, are the text.
        if (ends or [0])[-1] != len(reasoning) or any(map(ge, ends, ends[1:])):
            raise ValueError(
                f"trace {row['trace_id']}: its {len(ends)} sentences do not concatenate to the reasoning: "
                "a defect of the splitter; please report it with the trace"
            )
        return Done({"sentence_ends": ends, "sentence_tokens": tokens})

    return split_trace
