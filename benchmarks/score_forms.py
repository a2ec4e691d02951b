"""How near a model's boundary scores come to those judged by reading, by form of the question, and the cost.

    python -m benchmarks.score_forms                                   # the bundled model
    python -m benchmarks.score_forms --model FOLDER --arguments "--max-model-len 8192"
    python -m benchmarks.score_forms --model NAME --endpoint http://gpu1:8000/v1

Forms: one boundary per question, several, what the rules are not sure of (hybrid), and one prompt per trace
that is only read (prefill). Prints a Markdown table.
"""

import asyncio
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import pyarrow as pa
import typer
from rich.console import Console

from benchmarks.detectors import agreement, gold, ruled, sample
from pipeline.config import EngineConfig, LlmConfig, ScoreConfig
from pipeline.llm.cache import ReplyCache
from pipeline.llm.client import Client
from pipeline.llm.concurrency import ConcurrencyLimit
from pipeline.llm.model import Model, Reply, Request, Usage
from pipeline.llm.serving import ServedModel, starting
from pipeline.llm.session import LlmSession
from pipeline.llm.templates import load_prompts
from pipeline.segmentation.score.stage import SCORE
from pipeline.segmentation.split.stage import SPLIT
from tests.through_stages import passed, through

# As the forms are asked: name, settings, whether the probabilities of the digits are read.
FORMS: tuple[tuple[str, ScoreConfig, bool], ...] = (
    ("one per question, digit", ScoreConfig(detector="llm", window=1), False),
    ("one per question, expected", ScoreConfig(detector="llm", window=1), True),
    ("four per question, digit", ScoreConfig(detector="llm", window=4), False),
    ("four per question, expected", ScoreConfig(detector="llm", window=4), True),
    ("eight per question, expected", ScoreConfig(detector="llm", window=8), True),
    ("hybrid, four per question, expected", ScoreConfig(detector="hybrid", window=4), True),
    ("prefill", ScoreConfig(detector="llm", form="prefill"), True),
    ("hybrid, prefill", ScoreConfig(detector="hybrid", form="prefill"), True),
)
COLUMNS = ("half", "form", "boundaries", "pearson", "spearman", "precision", "recall", "F1", "best F1")


class WithoutProbabilities:
    """The same model as an endpoint shows it that tells no logprobs."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def ask(self, request: Request) -> Reply:
        """The reply, its digits as written."""
        reply = await self._model.ask(request)
        return Reply(reply.text, reply.model, reply.attempts, reply.usage)


def main(
    model: str = "bundled",
    endpoint: list[str] | None = None,
    arguments: Annotated[str, typer.Option(help="More arguments for an engine that is started.")] = "",
    replies: Annotated[Path | None, typer.Option(help="Folder to keep replies in.")] = None,
) -> None:
    """Prints how near each form's scores come to the gold set, by half."""
    llm = LlmConfig(
        model=model,
        endpoints=tuple(endpoint or ()),
        engine=EngineConfig(arguments=tuple(shlex.split(arguments))),
    )
    say = Console(stderr=True).print
    with tempfile.TemporaryDirectory() as folder:
        kept = replies or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        with starting(llm, kept / "engine.log", say) as coming:
            measured = asyncio.run(_measure(llm, coming.ready(), kept, say))
    print(_table(measured))


async def _measure(
    llm: LlmConfig, served: ServedModel, kept: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    boundaries = gold()
    numbers = sorted(boundaries["trace"].unique())
    rows = _gold_rows(numbers)
    measured = _measured(boundaries, "rules", ruled(numbers), Usage())
    for name, config, probable in FORMS:
        with ReplyCache(kept / f"{config.detector}-{config.form}-{config.window}.jsonl") as cache:
            async with Client(llm, served.endpoints, served.model, cache) as client:
                asked: Model = client if probable else WithoutProbabilities(client)
                window = await client.context_window()
                slots = ConcurrencyLimit(llm.max_in_flight)
                session = LlmSession(asked, load_prompts(), window, llm.seed, slots)
                done = (await passed(SCORE, rows, session, score=config)).done
                usage = client.usage["score"]
        say(f"{name}: {usage}")
        measured += _measured(boundaries, name, _scores(done.to_pylist()), usage)
    return measured


def _gold_rows(numbers: list[int]) -> pa.Table:
    """The judged traces of the sample as the score stage reads them; trace_id is the row's number."""
    traces = sample()
    kept = [
        {
            "trace_id": str(n),
            "origin": "sample",
            "problem": traces[n].problem,
            "reasoning": traces[n].reasoning,
        }
        for n in numbers
    ]
    return through(SPLIT, pa.Table.from_pylist(kept)).done


def _scores(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"trace": int(row["trace_id"]), "offset": end, "score": score}
            for row in rows
            for end, score in zip(row["sentence_ends"], row["boundary_scores"], strict=False)
        ],
        schema={"trace": pl.Int64, "offset": pl.Int64, "score": pl.Float64},
    )


def _measured(
    boundaries: pl.DataFrame, form: str, scores: pl.DataFrame, usage: Usage
) -> list[dict[str, Any]]:
    judged = boundaries.join(scores.select("trace", "offset", "score"), on=("trace", "offset"))
    halves = (("tuning", judged.filter(half="tuning")), ("reporting", judged.filter(half="reporting")))
    # Two forms may read the same replies: what was paid for them counts for both.
    prompt = usage.prompt_tokens + usage.paid_before_prompt_tokens
    cost = {
        "requests": usage.requests + usage.replies_from_disk,
        "computed": prompt - usage.cached_tokens - usage.paid_before_cached_tokens,
        "generated": usage.completion_tokens + usage.paid_before_completion_tokens,
    }
    return [
        {"half": half, "form": form, **agreement(part), "best F1": _best_f1(part), **cost}
        for half, part in halves
    ]


def _best_f1(judged: pl.DataFrame) -> float:
    """F1 of good cuts at the best threshold: what the order of the scores is worth, whatever their level."""
    levels = judged["score"].unique().to_list()
    return max(agreement(judged, taken=level)["F1"] for level in levels)


def _table(measured: list[dict[str, Any]]) -> str:
    names = (*COLUMNS, "requests", "computed", "generated")
    lines = ["| " + " | ".join(names) + " |", "| --- | --- |" + " ---: |" * (len(names) - 2)]
    for row in sorted(measured, key=lambda row: row["half"]):
        cells = [f"{row[n]:.2f}" if isinstance(row[n], float) else str(row[n]) for n in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
