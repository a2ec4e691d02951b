"""A run at work as one panel of a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.run.status import StageStatus, Status
from pipeline.run.status_words import duration_words, stage_numbers

_WIDTH_WITH_BARS = 110
_WIDTH_OF_A_BAR = 20
# Enough to know a stage by.
_WIDTH_OF_A_NAME = 16
# What a narrow terminal does without, the first first: it all stands in status.json, too.
_LEFT_OUT = ("cached", "tokens/s", "running", "rate", "rejected", "left")


def panel(status: Status | None, step: str, seconds: float, width: int) -> RenderableType:
    """A table of the stages, with a line on what is going on; for a terminal of so many columns.

    status: None before there is a run. seconds: since the command began.
    """
    below = [f"{duration_words(seconds)} elapsed"]
    if status is not None and status.cost is not None:
        below.append(f"cost so far {status.cost:,.2f}")
    below.append(" ".join(step.split()))
    now = Text(" · ".join(filter(None, below)), style="bold", no_wrap=True, overflow="ellipsis")
    if status is None or not status.stages:
        return now
    return Group(_table(status.stages, width), now)


def _table(stages: tuple[StageStatus, ...], width: int) -> Table:
    has_bars = width >= _WIDTH_WITH_BARS
    shown = [stage_numbers(stage) for stage in stages]
    columns = _columns(shown, width)
    table = Table(box=None, padding=(0, 2 if has_bars else 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("stage")
    if has_bars:
        table.add_column("", width=_WIDTH_OF_A_BAR)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for stage, numbers in zip(stages, shown, strict=True):
        style = None if stage.at_work else "dim"
        bar = [ProgressBar(total=stage.expected, completed=stage.done)] if has_bars else []
        verb = Text(stage.verb, no_wrap=True, overflow="ellipsis")
        table.add_row(verb, *bar, *(numbers[name] for name in columns), style=style)
    return table


def _columns(shown: Sequence[Mapping[str, str]], width: int) -> list[str]:
    """The numbers that a terminal has room for beside the names of the stages."""
    columns = list(shown[0])
    widths = {name: max(len(name), *(len(numbers[name]) for numbers in shown)) for name in columns}
    for name in _LEFT_OUT:
        if _WIDTH_OF_A_NAME + sum(1 + widths[name] for name in columns) > width:
            columns.remove(name)
    return columns
