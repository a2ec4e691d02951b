"""What one verdict on a memento, or several of them, come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from schemas.replies import Verdict

Combination = Literal["mean", "minimum"]


@dataclass(frozen=True)
class Judgement:
    """Points by criterion, what is missing, and the total of each verdict, the first judge's first."""

    points: dict[str, int]
    missing: list[str]
    verdict_totals: list[int]

    @property
    def total(self) -> int:
        """Points of 10."""
        return sum(self.points.values())

    def as_row(self) -> dict[str, Any]:
        """Its fields in schemas.tables.ROUND."""
        return {
            "score": self.total,
            "rubric": self.points,
            "missing": self.missing,
            "verdict_totals": self.verdict_totals,
        }

    @property
    def shortfalls(self) -> list[tuple[str, int, int]]:
        """Criteria without full points: name, points given, points possible."""
        most = Verdict.most_points()
        return [(name, given, most[name]) for name, given in self.points.items() if given < most[name]]


def combined(verdicts: Sequence[Verdict], how: Combination) -> Judgement:
    """The judgement that at least one verdict makes; a single one is taken as it is.

    Each criterion is combined by itself: to its smallest points, or to the mean, rounded to the nearest whole
    point and a half down, so that of a single point more than half of the judges must be sure. `missing` has
    what any of them names, once, however it is spaced or capitalised.
    """
    totals = [verdict.total for verdict in verdicts]
    if len(verdicts) == 1:
        return Judgement(verdicts[0].points, list(verdicts[0].missing), totals)
    combine = min if how == "minimum" else _mean_rounded
    given = [verdict.points for verdict in verdicts]
    points = {name: combine([points[name] for points in given]) for name in given[0]}
    missing: dict[str, str] = {}
    for text in (text for verdict in verdicts for text in verdict.missing):
        missing.setdefault(" ".join(text.split()).casefold(), text)
    return Judgement(points, list(missing.values()), totals)


def _mean_rounded(values: Sequence[int]) -> int:
    # ceil(mean - 1/2) in whole numbers.
    return -((len(values) - 2 * sum(values)) // (2 * len(values)))
