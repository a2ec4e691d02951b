"""What stands behind the counts of rejected rows: the commonest details, each with a row to look at."""

from dataclasses import dataclass

import polars as pl

from pipeline.run.outcomes import RejectReason

# What is told of these by their counts alone: the rows are sound, and others were taken before them.
SOUND = frozenset(
    {
        RejectReason.DUPLICATE,
        RejectReason.NEAR_DUPLICATE,
        RejectReason.ENOUGH_ANSWERS,
        RejectReason.NOT_CHOSEN,
    }
)


@dataclass(frozen=True)
class Example:
    """Rows that are left out for one reason with the same words but for numbers, and the first of them."""

    reason: str
    detail: str
    rows: int
    origin: str

    @property
    def text(self) -> str:
        """In words, on one line."""
        return f"{' '.join(self.detail.split())[:_LONGEST]} ({self.rows:,}, the first {self.origin})"


def commonest(left_out: pl.LazyFrame) -> list[Example]:
    """The commonest details of each reason but those of sound rows, most rows first, at most three a reason.

    left_out: reason, detail and origin of each row, in their order. Details that differ in numbers alone
    count as one.
    """
    told = (
        left_out.filter(~pl.col("reason").is_in([reason.value for reason in SOUND]))
        .with_columns(shape=pl.col("detail").str.slice(0, _LONGEST).str.replace_all(r"\d+", "0"))
        .group_by("reason", "shape", maintain_order=True)
        .agg(pl.col("detail").first(), rows=pl.len(), origin=pl.col("origin").first())
        .sort("rows", descending=True, maintain_order=True)
        .filter(pl.int_range(pl.len()).over("reason") < _EXAMPLES)
        .select("reason", "detail", "rows", "origin")
        .collect()
    )
    return [Example(*row) for row in told.iter_rows()]


_EXAMPLES = 3
# Characters of a detail.
_LONGEST = 160
