"""A run at work as plain lines, for a log or a pipe."""

import time
from collections.abc import Callable

from pipeline.run.status import StageStatus, Status
from pipeline.run.status_words import duration_words, stage_sentence

SECONDS_BETWEEN_LINES = 10.0


class ProgressLines:
    """Says which lines are due: every ten seconds one for each stage at work, also where nothing has ended.

    A step is told at once, and so is a stage that all traces have left. Where no stage is at work, the step
    is told again with how long it has lasted. clock: seconds.
    """

    def __init__(
        self, seconds: float = SECONDS_BETWEEN_LINES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._next = clock() + seconds
        self._last_line = clock()
        self._step_since = clock()
        self._told: dict[str, int] = {}

    def due(self, status: Status | None, news: str, step: str, *, is_last: bool = False) -> list[str]:
        """Lines to be printed now. news: a step that is new, else empty; step: the last one, new or not."""
        now = self._clock()
        is_due = now >= self._next
        if is_due:
            self._next = now + self._seconds
        if news:
            self._step_since = now
        stages = status.stages if status is not None else ()
        told = [stage for stage in stages if self._is_told(stage, is_due=is_due, is_last=is_last)]
        self._told |= {stage.name: stage.done for stage in told}
        cost = "" if status is None or status.cost is None else f"; cost so far {status.cost:,.2f}"
        lines = [news] if news else []
        lines += [f"{stage_sentence(stage)}{cost}" for stage in told]
        if not lines and step and not is_last and now - self._last_line >= self._seconds:
            lines.append(f"{step} ({duration_words(now - self._step_since)} so far)")
        if lines:
            self._last_line = now
        return lines

    def _is_told(self, stage: StageStatus, *, is_due: bool, is_last: bool) -> bool:
        if is_due and stage.at_work:
            return True
        has_moved = stage.begun and stage.done != self._told.get(stage.name)
        return has_moved and (stage.is_complete or is_last)
