"""What a selection takes of a source and what it leaves out, in numbers and as a picture of flows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.report.colours import COLOURS, INK, REFUSED
from pipeline.run.outcomes import RejectReason
from pipeline.run.reasons import SOUND, Example, commonest

_SLOT = 0.035  # least height of a flow's end, as part of all rows: a label has to fit
_BAR = 0.02


@dataclass(frozen=True)
class SelectionCounts:
    """Rows of a source: left out by reason, in the order the rules look, and taken by domain, most first.

    examples: what the reasons say; barren: files of which no row is sound.
    """

    rows: int
    left_out: dict[RejectReason, int]
    taken: dict[str, int]
    examples: Sequence[Example] = ()
    barren: Sequence[str] = ()

    @property
    def rows_taken(self) -> int:
        return sum(self.taken.values())


def count_selection(rows: pl.DataFrame) -> SelectionCounts:
    """Counts of rows, as `choose` gives them."""
    verdicts = dict(rows.filter(pl.col("verdict") != "")["verdict"].value_counts().iter_rows())
    domains = rows.filter(pl.col("verdict") == "").group_by("domain").len()
    return SelectionCounts(
        rows.height,
        {reason: verdicts[reason.value] for reason in RejectReason if reason.value in verdicts},
        dict(domains.sort("len", "domain", descending=[True, False]).iter_rows()),
        commonest(
            rows.lazy().filter(pl.col("verdict") != "").select("detail", "origin", reason=pl.col("verdict"))
        ),
        rows.group_by("file", maintain_order=True)
        .agg(sound=pl.col("verdict").is_in(["", *(reason.value for reason in SOUND)]).any())
        .filter(~pl.col("sound"))["file"]
        .to_list(),
    )


def draw_selection(counts: SelectionCounts, path: Path) -> None:
    """A PNG of one flow per domain that is taken and per reason that rows are left out for."""
    ends = [(domain or "no domain", rows, COLOURS[2]) for domain, rows in counts.taken.items()]
    ends += [(reason.text, rows, REFUSED) for reason, rows in counts.left_out.items()]
    figure = Figure(figsize=(8, 1.2 + 0.42 * len(ends)), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axis_off()
    total = max(counts.rows, 1)
    heights = [max(rows / total, _SLOT) for _, rows, _ in ends]
    gap = 0.02
    top = (sum(heights) + gap * (len(ends) - 1) + 1) / 2
    _bar(axes, 0, top - 1, 1, COLOURS[0])
    axes.text(-0.02, top - 0.5, f"{counts.rows:,} rows", ha="right", va="center", color=INK)
    left, right = top, sum(heights) + gap * (len(ends) - 1)
    for (name, rows, colour), height in zip(ends, heights, strict=True):
        share = rows / total
        middle = right - height / 2
        _flow(axes, left - share, left, middle - share / 2, middle + share / 2, colour)
        _bar(axes, 1, middle - share / 2, share, colour)
        label = name.replace("$", r"\$")
        axes.text(1 + 2 * _BAR, middle, f"{label}: {rows:,} ({share:.1%})", va="center", color=INK)
        left -= share
        right -= height + gap
    axes.set_xlim(-0.3, 2.0)
    figure.savefig(path, format="png", metadata={"Software": None})


def _bar(axes: Axes, x: float, bottom: float, height: float, colour: str) -> None:
    axes.bar(x + _BAR / 2, height, _BAR, bottom, color=colour)


def _flow(
    axes: Axes, left_low: float, left_high: float, right_low: float, right_high: float, colour: str
) -> None:
    x = np.linspace(0, 1, 60)
    eased = x * x * (3 - 2 * x)
    low, high = left_low + (right_low - left_low) * eased, left_high + (right_high - left_high) * eased
    axes.fill_between(_BAR + x * (1 - _BAR), low, high, color=colour, alpha=0.35, linewidth=0)
