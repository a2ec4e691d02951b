"""Which checkpoint of a stage is the best: by held-out loss and the form of what it writes, or by a goal."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from pipeline.files.atomic import write_json
from pipeline.sft.check import Quality, check
from pipeline.sft.stage_plan import Job

# A format rate this much below the best is as good: with so few problems it is chance.
_SAME_FORMAT = 0.05
_RATES = "format_rates.json"
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
        rates = format_rates(self._job.folder)
        loss = (more.get("metrics") or {}).get("eval_loss", math.nan)
        told = f"{stage.title}: step {state.global_step:,}, held-out loss {loss:.4f}"
        if problems:
            found = self._check(model, problems)
            rates[str(state.global_step)] = found.format_rate
            if state.is_world_process_zero:
                write_json(rates, self._job.folder / _RATES)
            if self._reaches_goal(model, found):
                control.should_training_stop = True
                if state.is_world_process_zero:
                    write_json({"step": state.global_step}, self._job.folder / _GOAL)
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
    path = folder / _GOAL
    return int(json.loads(path.read_text())["step"]) if path.exists() else None


def format_rates(folder: Path) -> dict[str, float]:
    path = folder / _RATES
    return json.loads(path.read_text()) if path.exists() else {}


def evaluations_of(history: Sequence[dict[str, Any]], rates: dict[str, float]) -> list[dict[str, float]]:
    return [
        {
            "step": log["step"],
            "loss": log["eval_loss"],
            **({"format_rate": rate} if (rate := rates.get(str(log["step"]))) is not None else {}),
        }
        for log in history
        if "eval_loss" in log
    ]


def best_step(evaluations: Sequence[dict[str, float]]) -> int:
    """The step of least held-out loss, among those whose format rate is about the best."""
    most = max(each.get("format_rate", 0.0) for each in evaluations)
    good = [each for each in evaluations if each.get("format_rate", 0.0) >= most - _SAME_FORMAT]
    return int(min(good, key=lambda each: each["loss"])["step"])
