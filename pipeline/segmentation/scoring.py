"""The score stage: how well a trace could be interrupted at each boundary, by rules, by a model, or both."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from pipeline.config import BuildConfig, ScoreConfig
from pipeline.llm.asking import Asking, or_failed, together, what_replies_depend_on
from pipeline.llm.model import Choice, Reply, Request
from pipeline.llm.templates import load_prompts
from pipeline.llm.window import first_shown, fitting, shown_tokens
from pipeline.outcomes import Done, Outcome, ShardResult, collect
from pipeline.pieces import cut, offsets
from pipeline.segmentation.cues import Cue, score_boundaries
from pipeline.stage import Stage
from schemas.replies import BOUNDARY_SCORES
from schemas.tables import SCORES

MODEL_REASON = "model"
QUOTED_CHARACTERS = 240


def _depends_on(build: BuildConfig) -> Any:
    if build.score.detector == "cues":
        return {"detector": "cues"}
    return {
        **build.score.model_dump(mode="json"),
        "llm": what_replies_depend_on(build.llm),
        "prompts": load_prompts().digest("score"),
    }


SCORE = Stage(
    name="score",
    verb="score boundaries",
    reads=("trace_id", "origin", "problem", "reasoning", "sentence_ends", "sentence_tokens"),
    adds=SCORES,
    config=_depends_on,
    version=1,
    asks=lambda build: build.score.detector != "cues",
    prompts=lambda build: load_prompts().labels("score") if build.score.detector != "cues" else [],
)


async def score_shard(
    rows: pa.Table, config: ScoreConfig, asking: Asking | None, on_trace: Callable[[], None]
) -> ShardResult:
    """Scores of all boundaries of a shard; a trace with a boundary that got none is failed.

    asking may be None only for the detector "cues". on_trace is called as each trace ends.
    """
    counters: Counter[str] = Counter()

    async def score(rank: int, row: dict[str, Any]) -> Outcome:
        outcome = await or_failed(_score_trace(rank, row, config, asking, counters))
        on_trace()
        return outcome

    outcomes = await together(score(*row) for row in enumerate(rows.select(SCORE.reads).to_pylist()))
    return collect(SCORE.name, rows, SCORES, outcomes, counters)


def asked_boundaries(cues: Sequence[Cue], config: ScoreConfig) -> list[int]:
    """Numbers of the boundaries that the model is asked about."""
    if config.detector == "cues":
        return []
    return [i for i, cue in enumerate(cues) if config.detector == "llm" or not cue.sure]


def boundary_request(
    row: dict[str, Any],
    sentences: Sequence[str],
    token_offsets: Sequence[int],
    boundary: int,
    limit: int,
    asking: Asking,
) -> Request:
    """The question about one boundary: one digit, over the trace up to it, so that the prefix is shared.

    limit: most tokens of reasoning to show.
    """
    end = boundary + 1
    start = first_shown(token_offsets, end, limit)
    following = " ".join(sentences[end].split())
    return Request(
        messages=asking.prompts.messages(
            "score",
            problem=row["problem"],
            reasoning="".join(sentences[start:end]),
            following=following[:QUOTED_CHARACTERS],
        ),
        constraint=Choice(BOUNDARY_SCORES),
        max_tokens=1,
        temperature=0.0,
        seed=asking.seed_of(row["trace_id"], "score", boundary),
        purpose="score",
        label=f"trace {row['trace_id']}, boundary {boundary}",
    )


def shown_limit(problem: str, window: int | None, config: ScoreConfig) -> int:
    """Most tokens of reasoning that a question about a boundary shows; window: tokens the model can see."""
    around = len(problem) // 3 + QUOTED_CHARACTERS // 3
    return shown_tokens(window, config.context_tokens, around=around)


async def _score_trace(
    rank: int, row: dict[str, Any], config: ScoreConfig, asking: Asking | None, counters: Counter[str]
) -> Outcome:
    sentences = cut(row["reasoning"], row["sentence_ends"])
    cues = score_boundaries(sentences)
    scores = [float(cue.score) for cue in cues]
    reasons = [cue.rule for cue in cues]
    asked = asked_boundaries(cues, config)
    counters["boundaries"] += len(cues)
    counters["boundaries_asked"] += len(asked)
    if asked:
        if asking is None:
            raise ValueError(f'score.detector "{config.detector}" needs a model')
        token_offsets = offsets(row["sentence_tokens"])
        replies = await together(
            _ask(rank, row, sentences, token_offsets, boundary, config, asking) for boundary in asked
        )
        for boundary, reply in zip(asked, replies, strict=True):
            scores[boundary] = expected_score(reply)
            reasons[boundary] = MODEL_REASON
    return Done({"boundary_scores": scores, "boundary_reasons": reasons})


async def _ask(
    rank: int,
    row: dict[str, Any],
    sentences: Sequence[str],
    token_offsets: Sequence[int],
    boundary: int,
    config: ScoreConfig,
    asking: Asking,
) -> Reply:
    return await fitting(
        shown_limit(row["problem"], asking.window, config),
        lambda limit: asking.ask(
            lambda: boundary_request(row, sentences, token_offsets, boundary, limit, asking), rank
        ),
    )


def expected_score(reply: Reply) -> float:
    """The mean of the digits by their probability, or the digit itself where none are given."""
    if reply.probabilities is None:
        return float(reply.text)
    return sum(int(digit) * share for digit, share in reply.probabilities.items())
