"""Assigns rows to shards: a trace stays where it was, so that a grown source does not undo finished work."""

import re

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files.damage import DamageError, set_aside
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.ingest.filters import trace_id
from pipeline.run.store import RunFolder

_EARLIER = {"trace_id": pl.String, "shard": pl.Int64}
_LIST = re.compile(r"shard-(\d+)\.json")


def earlier_assignments(run: RunFolder) -> pl.DataFrame:
    """`trace_id` and `shard` of the traces that ingest has put into shards, in their order; a trace once.

    The shards themselves are the record, with or without their manifests: a run that was killed while it
    wrote the shard again goes on as if it had not been. For a shard that is lost, its list of traces tells,
    else what splitting has made of it.
    """
    found = sorted({*run.shards("ingest"), *_listed(run)})
    tables = [
        pl.DataFrame({"trace_id": _ids(run, shard)}, {"trace_id": pl.String}).with_columns(
            pl.lit(shard, pl.Int64).alias("shard")
        )
        for shard in found
    ]
    return pl.concat([pl.DataFrame(schema=_EARLIER), *tables]).unique(
        "trace_id", keep="first", maintain_order=True
    )


def keep_lists(run: RunFolder, shards: int) -> None:
    """Sees that the list of each shard's traces is there, where the shard's own damage does not reach."""
    for shard in range(shards):
        if _list(run, shard) is None:
            keep_list(run, shard, run.read("ingest", shard, ["trace_id"])["trace_id"].to_pylist())
    for shard in _listed(run):
        if shard >= shards:
            run.places(shard).unlink()


def keep_list(run: RunFolder, shard: int, ids: list[str]) -> None:
    """Writes down which traces a shard has."""
    write_sealed({"traces": ids}, run.places(shard))


def place(selection: pl.DataFrame, earlier: pl.DataFrame, traces_per_shard: int) -> pl.DataFrame:
    """The selection with the `shard` of each row, chosen or not, sorted by shard and place in it.

    selection: as `select` gives it; earlier: as `earlier_assignments` does. A chosen trace stays in its
    shard, at its place; new ones follow in source order, in new shards of `traces_per_shard`. A shard may so
    become empty. Left-out rows are spread over the shards, so that the rows of all shards add up. There is
    always at least one shard.
    """
    rows = selection.with_row_index("index")
    chosen = rows.filter(pl.col("verdict") == "")
    ids = pl.Series("trace_id", map(trace_id, chosen["content"], chosen["occurrence"]), pl.String)
    known = chosen.with_columns(ids).join(
        earlier.with_row_index("rank"), on="trace_id", how="left", maintain_order="left"
    )
    kept = known.filter(pl.col("shard").is_not_null())
    first_new = int(kept["shard"].max()) + 1 if kept.height else 0  # type: ignore[arg-type]
    new = known.filter(pl.col("shard").is_null()).with_columns(
        (first_new + pl.int_range(pl.len()) // traces_per_shard).cast(pl.Int64).alias("shard"),
        (earlier.height + pl.int_range(pl.len())).cast(pl.UInt32).alias("rank"),
    )
    taken = pl.concat([kept, new])
    shards = max(int(taken["shard"].max() or 0) + 1, 1) if taken.height else 1  # type: ignore[arg-type]
    left_out = rows.filter(pl.col("verdict") != "").with_columns(
        (pl.int_range(pl.len()) * shards // pl.len()).cast(pl.Int64).alias("shard"),
        pl.lit(None, pl.UInt32).alias("rank"),
    )
    columns = [*rows.columns, "shard", "rank"]
    placed = pl.concat([taken.select(columns), left_out.select(columns)])
    return placed.sort("shard", "rank", "index", nulls_last=True).drop("index", "rank")


def _listed(run: RunFolder) -> list[int]:
    names = (path.name for path in run.places(0).parent.glob("*"))
    return [int(found[1]) for name in names if (found := _LIST.fullmatch(name))]


def _ids(run: RunFolder, shard: int) -> list[str]:
    for path in (run.shard("ingest", shard), run.shard("split", shard)):
        try:
            # Not against its manifest, which it may have lost.
            ids: list[str] = pq.read_table(path, columns=["trace_id"])["trace_id"].to_pylist()
            return ids
        except (pa.ArrowException, KeyError, OSError):
            # Not by this program, or damaged by somebody; it will be written again.
            pass
        if (listed := _list(run, shard)) is not None:
            return listed
    return []


def _list(run: RunFolder, shard: int) -> list[str] | None:
    try:
        ids: list[str] = read_sealed(run.places(shard))["traces"]
        return ids
    except FileNotFoundError:
        return None
    except DamageError as damage:
        set_aside(damage)
        return None
