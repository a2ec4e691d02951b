"""Which checkpoint of a stage is the best: by held-out loss, and by the form of what it writes."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from pipeline.files.atomic import write_json
from pipeline.sft.check import check
from pipeline.sft.stage_plan import Job

# A format rate this much below the best is as good: with so few problems it is chance.
_SAME_FORMAT = 0.05
_RATES = "format_rates.json"


class FormatRate(TrainerCallback):
    """Generates at each evaluation, and keeps by step how many responses had the form."""

    def __init__(self, job: Job, tell: Callable[[str], None]) -> None:
        self._job, self._tell = job, tell

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        stage, learning, settings = self._job.stage, self._job.learning, self._job.config.check
        problems = learning.problems[: settings.problems_between]
        rates = format_rates(self._job.folder)
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
            rates[str(state.global_step)] = found.format_rate
            if state.is_world_process_zero:
                write_json(rates, self._job.folder / _RATES)
            told += f", {found.format_rate:.0%} of {found.problems} well formed, {found.accuracy:.0%} right"
        self._tell(told)


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
