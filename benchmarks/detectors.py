"""How well the rules' scores agree with boundaries judged by reading (`tests/gold`)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.ingest.think_tags import Thought, split_thought
from pipeline.segmentation.score.cues import score_boundaries
from pipeline.segmentation.split.sentences import split

ROOT = Path(__file__).parents[1]
GOOD_CUT = 2


def gold() -> pl.DataFrame:
    """One row per judged boundary: trace, half, offset, label, following."""
    return pl.read_ndjson(ROOT / "tests/gold/boundaries.jsonl")


@dataclass(frozen=True)
class SampleTrace:
    """Problem and reasoning of a row of the sample; reasoning "" where a row has none."""

    problem: str
    reasoning: str


def sample() -> list[SampleTrace]:
    """The traces that come with the project, in their order."""
    lines = (ROOT / "data/sample/traces.jsonl").read_text("utf-8").splitlines()
    turns = [[turn["value"] for turn in json.loads(line)["conversations"]] for line in lines]
    parts = [(problem, split_thought(response)) for problem, response in turns]
    return [SampleTrace(p, t.reasoning if isinstance(t, Thought) else "") for p, t in parts]


def ruled(traces: Sequence[int]) -> pl.DataFrame:
    """What the rules say: trace, offset, score, sure."""
    texts, rows = sample(), list[dict[str, Any]]()
    for trace in traces:
        text = texts[trace].reasoning
        ends = split(text)
        cues = score_boundaries(text, ends)
        for end, score, sure in zip(ends, cues.scores.tolist(), cues.sure.tolist(), strict=False):
            rows.append({"trace": trace, "offset": end, "score": score, "sure": sure})
    return pl.DataFrame(rows)


def agreement(judged: pl.DataFrame, taken: float = GOOD_CUT) -> dict[str, float]:
    """Of boundaries with label and score: correlations, and precision, recall and F1 of good cuts.

    taken: score from which a boundary counts as cut.
    """
    good, cut_there = judged["label"] >= GOOD_CUT, judged["score"] >= taken
    hits = (good & cut_there).sum()
    correlated = judged.select(
        pearson=pl.corr("label", "score"), spearman=pl.corr("label", "score", method="spearman")
    )
    return {
        "boundaries": judged.height,
        **correlated.row(0, named=True),
        "precision": hits / cut_there.sum() if cut_there.any() else 0.0,
        "recall": hits / good.sum(),
        "F1": 2 * hits / (cut_there.sum() + good.sum()),
    }


def run() -> dict[str, float]:
    """Agreement per half, the share that hybrid asks about, how often a sure rule is on the wrong side."""
    boundaries = gold()
    scored = boundaries.join(ruled(boundaries["trace"].unique().to_list()), on=("trace", "offset"))
    figures = {"judged boundaries that are no longer candidates": float(boundaries.height - scored.height)}
    for half in ("tuning", "reporting"):
        judged = scored.filter(half=half)
        sure = judged.filter("sure")
        wrong = (sure["label"] >= GOOD_CUT) != (sure["score"] >= GOOD_CUT)
        figures |= {f"cues, {half} half, {name}": value for name, value in agreement(judged).items()}
        figures[f"hybrid, {half} half, share not asked"] = sure.height / judged.height
        figures[f"hybrid, {half} half, share wrong of those"] = wrong.sum() / sure.height
    return figures
