"""Which checkpoint of a stage is the best: by held-out loss and the form of what it writes, or by a goal."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from pipeline.files.damage import DamageError, set_aside
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.proportions import wilson_interval
from pipeline.sft.check import Quality, check
from pipeline.sft.stage_plan import Job

# Of two intervals: shares whose intervals do not overlap differ by a test at 5 % (M. E. Payton and others,
# Journal of Insect Science 3:34, 2003). At 95 % each, the test would be at less than 1 %.
_CONFIDENCE = 0.84
_COUNTS = "format_rates.json"
_GOAL = "goal.json"


class FormatRate(TrainerCallback):
    """Generates at each evaluation, and keeps by step how many responses had the form.

    Ends the training where the stage's goal is reached: by the problems of every evaluation, and then by all.
    """

    def __init__(self, job: Job, tell: Callable[[str], None]) -> None:
        self._job, self._tell = job, tell

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        stage, learning, settings = self._job.stage, self._job.learning, self._job.config.check
        problems = learning.problems[: settings.problems_between]
        counts = format_counts(self._job.folder)
        loss = (more.get("metrics") or {}).get("eval_loss", math.nan)
        told = f"{stage.title}: step {state.global_step:,}, held-out loss {loss:.4f}"
        if problems:
            found = self._check(model, problems)
            counts[str(state.global_step)] = {"well_formed": found.well_formed, "problems": found.problems}
            if state.is_world_process_zero:
                write_sealed(counts, self._job.folder / _COUNTS)
            if self._reaches_goal(model, found):
                control.should_training_stop = True
                if state.is_world_process_zero:
                    write_sealed({"step": state.global_step}, self._job.folder / _GOAL)
            told += f", {found.format_rate:.0%} of {found.problems} well formed, {found.accuracy:.0%} right"
        self._tell(told)

    def _reaches_goal(self, model: Any, found: Quality) -> bool:
        goal, problems = self._job.stage.settings.goal, self._job.learning.problems
        if goal is None or found.accuracy < goal:
            return False
        return found.problems == len(problems) or self._check(model, problems).accuracy >= goal

    def _check(self, model: Any, problems: Sequence[dict[str, str]]) -> Quality:
        job = self._job
        return check(model, job.learning.tokenizing, problems, job.stage.forgetting, job.config.check)


def step_of_goal(folder: Path) -> int | None:
    """The step at which a stage has reached its goal, if it has one and has."""
    told = _read(folder / _GOAL)
    return int(told["step"]) if told else None


def format_counts(folder: Path) -> dict[str, dict[str, int]]:
    """By step how many of how many responses were well formed; shares alone, as once kept, are left out."""
    return {step: counts for step, counts in _read(folder / _COUNTS).items() if isinstance(counts, dict)}


def _read(path: Path) -> dict[str, Any]:
    """What is kept in a file; nothing where there is none, or it is damaged and set aside."""
    try:
        return read_sealed(path, always=False)
    except FileNotFoundError:
        return {}
    except DamageError as damage:
        set_aside(damage, then="made anew from the next evaluation on")
        return {}


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
