"""The stage that judges kept mementos again: their texts stay, their points are new."""

from collections import Counter
from typing import Any

from pipeline.config import BuildConfig, MementosConfig
from pipeline.llm.session import LlmSession, together, what_replies_depend_on
from pipeline.llm.templates import load_prompts
from pipeline.mementos.judge import judge
from pipeline.mementos.judgement import Judgement
from pipeline.mementos.view import MEMENTO_END, BlockView
from pipeline.recheck.folder import RECHECK_NAME
from pipeline.run.outcomes import Done, Outcome
from pipeline.stages.stage import Row, Stage, TraceWork
from pipeline.text.pieces import block_texts
from schemas.tables import MEMENTOS


def _depends_on(build: BuildConfig) -> Any:
    return {
        **build.mementos.model_dump(
            mode="json", include={"context", "context_tokens", "max_tokens", "judges"}
        ),
        "llm": what_replies_depend_on(build.llm),
        "prompts": load_prompts().digest("judge"),
    }


RECHECK = Stage(
    name=RECHECK_NAME,
    verb="judge mementos again",
    reads=(
        "trace_id",
        "origin",
        "problem",
        "reasoning",
        "sentence_ends",
        "block_ends",
        "block_tokens",
        "mementos",
    ),
    adds=MEMENTOS,
    begin=lambda build, session: _judging(build.mementos, session),
    config=_depends_on,
    version=1,
    asks=lambda build: True,
    prompts=lambda build: load_prompts().labels("judge"),
)


def _judging(config: MementosConfig, session: LlmSession | None) -> TraceWork:
    """New points for a trace's mementos: each keeps its text and checks, and has the one round that was kept.

    Counters as the mementos stage has them, of kept rounds only: "mementos", "judged.kept",
    "points.kept.<criterion>".
    """
    if session is None:
        raise ValueError("verdicts need a model")

    async def judge_again(rank: int, row: Row, counters: Counter[str]) -> Outcome:
        return await _judge_trace(rank, row, config, session, counters)

    return judge_again


async def _judge_trace(
    rank: int, row: Row, config: MementosConfig, session: LlmSession, counters: Counter[str]
) -> Outcome:
    mementos = row["mementos"]
    judgements = await together(
        # By the number of the round that was kept: the same judge is asked what it was asked then.
        judge(view, memento["text"], memento["best_round"], config, session)
        for view, memento in zip(_views(rank, row, config), mementos, strict=True)
    )
    counters["mementos"] += len(mementos)
    for judgement in judgements:
        counters["judged.kept"] += 1
        counters.update({f"points.kept.{name}": n for name, n in judgement.points.items()})
    return Done({"mementos": [_rejudged(*pair) for pair in zip(mementos, judgements, strict=True)]})


def _views(rank: int, row: Row, config: MementosConfig) -> list[BlockView]:
    """What is shown of each block, as when its memento was written."""
    blocks = block_texts(row["reasoning"], row["sentence_ends"], row["block_ends"])
    before: list[str] = []
    sizes: list[int] = []
    if config.context == "trace":
        before, sizes = blocks, row["block_tokens"]
    elif config.context == "mementos":
        before = [memento["text"] + MEMENTO_END for memento in row["mementos"]]
        sizes = [memento["tokens"] for memento in row["mementos"]]
    return [
        BlockView(rank, row["trace_id"], n, row["problem"], before[:n], sizes[:n], block, tokens)
        for n, (block, tokens) in enumerate(zip(blocks, row["block_tokens"], strict=True))
    ]


def _rejudged(memento: dict[str, Any], judgement: Judgement) -> dict[str, Any]:
    kept = memento["rounds"][memento["best_round"]] | judgement.as_row()
    return {**memento, "score": judgement.total, "best_round": 0, "rounds": [kept]}
