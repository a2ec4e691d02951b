"""Which checkpoint of a stage is the best: by held-out loss, and by the form of what it writes."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from pipeline.files.atomic import write_json
from pipeline.proportions import wilson_interval
from pipeline.sft.check import check
from pipeline.sft.stage_plan import Job

# Of two intervals: shares whose intervals do not overlap differ by a test at 5 % (M. E. Payton and others,
# Journal of Insect Science 3:34, 2003). At 95 % each, the test would be at less than 1 %.
_CONFIDENCE = 0.84
_COUNTS = "format_rates.json"


class FormatRate(TrainerCallback):
    """Generates at each evaluation, and keeps by step how many responses had the form."""

    def __init__(self, job: Job, tell: Callable[[str], None]) -> None:
        self._job, self._tell = job, tell

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        stage, learning, settings = self._job.stage, self._job.learning, self._job.config.check
        problems = learning.problems[: settings.problems_between]
        counts = format_counts(self._job.folder)
        loss = (more.get("metrics") or {}).get("eval_loss", math.nan)
        told = f"{stage.title}: step {state.global_step:,}, held-out loss {loss:.4f}"
        if problems:
            found = check(
                model,
                self._job.learning.tokenizing,
                problems,
                self._job.stage.forgetting,
                self._job.config.check,
            )
            counts[str(state.global_step)] = {"well_formed": found.well_formed, "problems": found.problems}
            if state.is_world_process_zero:
                write_json(counts, self._job.folder / _COUNTS)
            told += f", {found.format_rate:.0%} of {found.problems} well formed, {found.accuracy:.0%} right"
        self._tell(told)


def format_counts(folder: Path) -> dict[str, dict[str, int]]:
    """By step how many of how many responses were well formed; shares alone, as once kept, are left out."""
    path = folder / _COUNTS
    kept = json.loads(path.read_text()) if path.exists() else {}
    return {step: counts for step, counts in kept.items() if isinstance(counts, dict)}


def evaluations_of(
    history: Sequence[dict[str, Any]], counts: Mapping[str, Mapping[str, int]]
) -> list[dict[str, float]]:
    """By step the held-out loss, with `well_formed` of `problems` where responses were generated."""
    return [
        {"step": log["step"], "loss": log["eval_loss"], **counts.get(str(log["step"]), {})}
        for log in history
        if "eval_loss" in log
    ]


def best_step(evaluations: Sequence[Mapping[str, float]]) -> int:
    """The step of least held-out loss, among those whose responses have the form as well as can be told.

    Fewer well-formed responses count where chance does not explain them: where the intervals of the step and
    of the best one do not overlap. A step without responses may be as good as any.
    """
    intervals = [
        wilson_interval(int(each.get("well_formed", 0)), int(each.get("problems", 0)), confidence=_CONFIDENCE)
        for each in evaluations
    ]
    surest = max(low for low, _ in intervals)
    good = [each for each, (_, high) in zip(evaluations, intervals, strict=True) if high >= surest]
    # A loss that is no number is less than none.
    return int(min(good, key=lambda each: (math.isnan(each["loss"]), each["loss"]))["step"])
