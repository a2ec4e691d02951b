"""The mementos of a run as a table of figures, and the pairs of two runs that differ most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.inspection.traces import finished_rows, finished_shards, left_out
from pipeline.recheck.folder import RECHECK_NAME, is_recheck, rechecked_shards
from pipeline.run.outcomes import RejectReason
from pipeline.run.store import RunFolder
from schemas.replies import Verdict

CRITERIA = tuple(Verdict.most_points())
# Of the texts the mementos' only, and none stays: they are needed for a few pairs.
_COLUMNS = [
    "trace_id",
    "domain",
    "sentence_ends",
    "block_ends",
    "block_tokens",
    *(f"mementos.list.element.{name}" for name in ("text", "tokens", "score", "best_round")),
    *(f"mementos.list.element.rounds.list.element.{name}" for name in ("score", "rubric", "checks")),
]
_EMPTY = pl.DataFrame(
    schema={
        "trace_id": pl.String,
        "domain": pl.String,
        "start": pl.Int64,
        "end": pl.Int64,
        "block": pl.Int64,
        "block_tokens": pl.Int64,
        "text": pl.UInt64,
        "tokens": pl.Int64,
        "score": pl.Int64,
        "first_score": pl.Int64,
        "rounds": pl.Int64,
        **dict.fromkeys(CRITERIA, pl.Int64),
        "checks": pl.List(pl.String),
    }
)
_SPAN = ("trace_id", "start", "end")


@dataclass(frozen=True)
class Pair:
    """The mementos of two runs for one block: characters `start` to `end` of the trace's reasoning."""

    trace_id: str
    start: int
    end: int
    text: str
    """The block."""
    scores: tuple[int, int]
    mementos: tuple[str, str]
    points: tuple[dict[str, int], dict[str, int]]
    """By criterion."""
    missing: tuple[list[str], list[str]]
    """What the judge names."""
    left_out: tuple[str | None, str | None]
    """Reason for which the run does not publish the trace."""


def mementos_of(run: RunFolder) -> pl.DataFrame:
    """One row per memento of the finished traces, whether they are published or `not_published`.

    start, end: the block's characters in the reasoning; block: its number; text: a hash of it; checks: those
    the kept memento does not pass; a column of points for each of CRITERIA. A recheck has judged kept rounds
    only: first_score and rounds are null. Some 150 bytes stay in memory per memento.
    """
    table = pl.concat([_EMPTY, *map(_figures, _finished(run, _COLUMNS))])
    if is_recheck(run):
        return table.with_columns(pl.lit(None, pl.Int64).alias(name) for name in ("first_score", "rounds"))
    return table


def not_published(run: RunFolder) -> dict[str, RejectReason]:
    """The finished traces that a run leaves out for their mementos' points or checks, by id."""
    shards = () if is_recheck(run) else finished_shards(run)
    return {trace_id: reason for shard in shards for trace_id, reason in left_out(run, shard).items()}


def same_blocks(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """The mementos of both tables whose blocks have the same span; columns of `after` end in _after."""
    return before.join(after, on=_SPAN, suffix="_after")


def differing_most(before: RunFolder, after: RunFolder, same: pl.DataFrame, top: int) -> list[Pair]:
    """At most `top` pairs of `same_blocks`, the largest difference of judge's points first, then of tokens.

    Pairs with neither difference are left out.
    """
    chosen = (
        same.with_columns(
            points=(pl.col("score") - pl.col("score_after")).abs(),
            size=(pl.col("tokens") - pl.col("tokens_after")).abs(),
        )
        .filter((pl.col("points") > 0) | (pl.col("size") > 0))
        .sort("points", "size", *_SPAN, descending=[True, True, False, False, False])
        .head(top)
        .to_dicts()
    )
    ids = {row["trace_id"] for row in chosen}
    old, new = _stories(before, ids), _stories(after, ids)
    reasons = tuple(not_published(run) if ids else {} for run in (before, after))
    return [
        _pair(row, old[row["trace_id"]], new[row["trace_id"]], [of.get(row["trace_id"]) for of in reasons])
        for row in chosen
    ]


def _pair(row: dict[str, Any], old: "_Story", new: "_Story", reasons: Sequence[RejectReason | None]) -> Pair:
    one, other = old.mementos[row["block"]], new.mementos[row["block_after"]]
    kept, kept_after = (memento["rounds"][memento["best_round"]] for memento in (one, other))
    return Pair(
        row["trace_id"],
        row["start"],
        row["end"],
        old.reasoning[row["start"] : row["end"]],
        (row["score"], row["score_after"]),
        (one["text"], other["text"]),
        (kept["rubric"], kept_after["rubric"]),
        (kept["missing"], kept_after["missing"]),
        (reasons[0] and reasons[0].text, reasons[1] and reasons[1].text),
    )


def _finished(run: RunFolder, columns: list[str]) -> Iterator[pa.Table]:
    """These columns of the traces with finished mementos of a run, or of a recheck, shard by shard.

    Raises DamageError.
    """
    if is_recheck(run):
        for shard in rechecked_shards(run):
            yield run.read(RECHECK_NAME, shard, columns)
    else:
        for shard in finished_shards(run):
            yield finished_rows(run, shard, columns)


def _figures(rows: pa.Table) -> pl.DataFrame:
    records = pl.from_arrow(rows)
    assert isinstance(records, pl.DataFrame)
    ends = pl.col("sentence_ends").list.gather(pl.col("block_ends") - 1)
    rounds = pl.col("rounds").list
    kept = rounds.get(pl.col("best_round")).struct
    return (
        records.select("trace_id", "domain", "block_tokens", "mementos", end=ends)
        .explode("block_tokens", "mementos", "end")
        .unnest("mementos")
        .with_columns(
            start=pl.col("end").shift(1, fill_value=0).over("trace_id"),
            block=pl.int_range(pl.len()).over("trace_id"),
            text=pl.col("text").hash(),
            first_score=rounds.first().struct.field("score"),
            checks=kept.field("checks"),
            rounds=rounds.len(),
            **{name: kept.field("rubric").struct.field(name) for name in CRITERIA},
        )
        .select(_EMPTY.columns)
        .cast(_EMPTY.schema)
    )


@dataclass(frozen=True)
class _Story:
    """A trace's reasoning, and its mementos as schemas.tables.MEMENTO has them."""

    reasoning: str
    mementos: list[dict[str, Any]]


def _stories(run: RunFolder, ids: set[str]) -> dict[str, _Story]:
    wanted = pa.array(sorted(ids), pa.string())
    return {
        row["trace_id"]: _Story(row["reasoning"], row["mementos"])
        for rows in (_finished(run, ["trace_id", "reasoning", "mementos"]) if ids else ())
        for row in rows.filter(pc.is_in(rows["trace_id"], wanted)).to_pylist()
    }
