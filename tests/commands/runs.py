"""A small run folder: the stages that need no model run for real, mementos are written by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config import BuildConfig
from pipeline.ingest import ingest
from pipeline.run.outcomes import Outcome, collect
from pipeline.run.store import RunFolder
from pipeline.stages.run_shard import run_stages
from schemas.tables import MEMENTOS

# Three blocks under partition.min_tokens 25, with something that a terminal or markup would misread.
REASONING = (
    "Okay, let me find the sum of [1] and [/red] twelve. Adding one to twelve gives 13.\n\n"
    "Wait, let me double-check that with a program.\n\n"
    "```python\ndef add(a, b):\n    return a + b\n```\n\n"
    "It prints 13, as it should. \x1b[31mNo red here.\n\n"
    "Alternatively, count on the fingers: twelve, and one more is thirteen.\n\n"
    "Therefore, the answer is \\boxed{13}."
)
RUBRIC = {"formulas": 3, "values": 1, "methods": 2, "validation": 1, "only_confirmed": 1, "result_first": 0}


def trace_row(reasoning: str, domain: str = "math") -> dict[str, Any]:
    talk = [{"from": "human", "value": "What is 12 + 1?"}, {"from": "gpt", "value": reasoning}]
    return {"difficulty": 3, "source": "by hand", "domain": domain, "conversations": talk}


def small_build(root: Path) -> BuildConfig:
    """Two traces that are taken and one that is cut short; rules only, small blocks."""
    rows = [
        trace_row(f"<think>{REASONING}</think>It is 13."),
        trace_row(f"<think>Another one. {REASONING}</think>It is 13.", "code"),
        trace_row(f"<think>{REASONING}"),
    ]
    source = root.parent / "traces.jsonl"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return BuildConfig.model_validate(
        {
            "name": "small",
            "source": {"paths": [str(source)]},
            "score": {"detector": "cues"},
            "partition": {"min_tokens": 25},
        }
    )


def partitioned_run(root: Path) -> tuple[RunFolder, BuildConfig]:
    """The run as far as it goes without a model."""
    run, build = RunFolder(root), small_build(root)
    assert ingest(build, run, lambda done, total: None) == 1
    run_stages(["split", "score", "partition"], 0, run, build, None)
    return run, build


def memento(number: int) -> dict[str, Any]:
    """A memento whose second round was kept."""
    first = {"text": f"First try {number}.", "tokens": 4, "score": 5, "rubric": RUBRIC, "missing": ["the 13"]}
    second = {"text": f"Twelve and one are 13 ({number}).", "tokens": 6, "score": 8, "rubric": RUBRIC}
    second["verdict_totals"] = [8, 7, 9]
    rounds = [{**first, "checks": ["number_not_in_block"]}, {**second, "missing": [], "checks": []}]
    return {"text": second["text"], "tokens": 6, "score": 8, "best_round": 1, "rounds": rounds}


def write_mementos(run: RunFolder, outcomes: Sequence[Outcome]) -> None:
    """The mementos stage with these outcomes, one per trace."""
    rows = run.read("partition", 0)
    result = collect("mementos", rows, MEMENTOS, outcomes)
    before = run.read_manifest("partition", 0)
    assert before is not None
    run.write(
        "mementos",
        0,
        result,
        rows_in=rows.num_rows,
        input=before.output,
        config="by hand",
        version=1,
        usage={},
        seconds=0.1,
    )
