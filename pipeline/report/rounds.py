"""What the judge gave in each round: how many mementos came so far, their points, how many passed."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from pipeline.mementos.writing import MEMENTOS
from pipeline.run.store import RunFolder

_COLUMNS = [
    "mementos.list.element.best_round",
    *(f"mementos.list.element.rounds.list.element.{name}" for name in ("score", "rubric")),
]


@dataclass(frozen=True)
class RoundPoints:
    """Over all mementos written in a round, from 0. None where none of them was judged.

    passed: the judge's points alone; kept: rounds of this number that were kept; criteria: mean points.
    """

    round: int
    mementos: int
    judged: int
    score_mean: float | None
    passed: float | None
    kept: int
    criteria: dict[str, float]


def round_points(run: RunFolder, shards: Sequence[int], *, threshold: int) -> list[RoundPoints]:
    """The judge's points by round over these shards' mementos. threshold: points that pass.

    Some 40 bytes stay in memory per round of a memento.
    """
    tables = [_rounds(run, shard) for shard in shards if run.read_manifest(MEMENTOS.name, shard)]
    rounds = pl.concat([table for table in tables if table.height]) if any(t.height for t in tables) else None
    if rounds is None:
        return []
    found = rounds.group_by("round").agg(
        pl.len().alias("mementos"),
        pl.col("score").count().alias("judged"),
        pl.col("score").mean().alias("score_mean"),
        (pl.col("score") >= threshold).mean().alias("passed"),
        (pl.col("round") == pl.col("best_round")).sum().alias("kept"),
        *(pl.col(name).mean() for name in rounds.columns[3:]),
    )
    return [
        RoundPoints(
            **{name: row[name] for name in ("round", "mementos", "judged", "score_mean", "passed", "kept")},
            criteria={name: row[name] for name in rounds.columns[3:] if row[name] is not None},
        )
        for row in found.sort("round").to_dicts()
    ]


def _rounds(run: RunFolder, shard: int) -> pl.DataFrame:
    frame = pl.from_arrow(run.read(MEMENTOS.name, shard, _COLUMNS))
    assert isinstance(frame, pl.DataFrame)
    return (
        frame.explode("mementos", empty_as_null=False)
        .unnest("mementos")
        .with_columns(round=pl.int_ranges(pl.col("rounds").list.len(), dtype=pl.Int32))
        .explode("rounds", "round")
        .unnest("rounds")
        .select("round", "best_round", "score", "rubric")
        .unnest("rubric")
        .with_columns(pl.exclude("round", "best_round").cast(pl.Int32))
    )
