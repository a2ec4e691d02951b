"""What a training run says while it works: loss, speed, and how long it will take."""

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from pipeline.sft.errors import SftError
from pipeline.sft.stage_plan import Stage

_SECONDS = 10.0


class Progress(TrainerCallback):
    """Tells a line every ten seconds or so, and at each evaluation. pack: tokens of a pack, on average."""

    def __init__(self, stage: str, tokens_per_step: float, tell: Callable[[str], None]) -> None:
        self._stage, self._tell = stage, tell
        self._tokens_per_step = tokens_per_step
        self._loss: float | None = None
        self._began = self._next = time.monotonic()
        self._first = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began = self._next = time.monotonic()
        self._first = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self._loss = (logs or {}).get("loss", self._loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _SECONDS
        done = state.global_step - self._first
        seconds = now - self._began
        rate = done * self._tokens_per_step / seconds
        left = (state.max_steps - state.global_step) * seconds / done
        loss = "" if self._loss is None else f", loss {self._loss:.3f}"
        self._tell(
            f"{self._stage}: step {state.global_step:,} of {state.max_steps:,}{loss}, {rate:,.0f} tokens/s, "
            f"{duration(left)} left"
        )


class FiniteLoss(TrainerCallback):
    """Ends a training whose loss is no number any more, before a checkpoint of it. Raises SftError."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        for name, title in (("loss", "the loss"), ("eval_loss", "the held-out loss")):
            loss = (logs or {}).get(name)
            if loss is not None and not math.isfinite(loss):
                rate = self._stage.settings.learning_rate
                raise SftError(
                    f"{self._stage.title}: {title} is {loss} at step {state.global_step:,}, and no step "
                    f"mends that; try {self._stage.name}.learning_rate below {rate:g}, or a longer "
                    f"{self._stage.name}.warmup, in another run folder (--run-dir)"
                )


def duration(seconds: float) -> str:
    """Seconds in words, e.g. "3 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"
