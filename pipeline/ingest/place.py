"""Which shard each row goes to: where it was before, so that a grown source leaves finished work as it is."""

import re
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ingest.facts import trace_id

_EARLIER = {"trace_id": pl.String, "shard": pl.Int64}
_SHARD = re.compile(r"shard-(\d+)\.parquet")


def earlier_places(folder: Path) -> pl.DataFrame:
    """`trace_id` and `shard` of the traces in a folder of shards, in their order; a trace once.

    The shards themselves are the record. One counts without its manifest, too: a run that was killed while
    it wrote the shard again goes on as if it had not been.
    """
    found = sorted((int(name[1]), path) for path in folder.glob("*") if (name := _SHARD.fullmatch(path.name)))
    tables = [
        pl.DataFrame({"trace_id": _ids(path)}, {"trace_id": pl.String}).with_columns(
            pl.lit(shard, pl.Int64).alias("shard")
        )
        for shard, path in found
    ]
    return pl.concat([pl.DataFrame(schema=_EARLIER), *tables]).unique(
        "trace_id", keep="first", maintain_order=True
    )


def place(selection: pl.DataFrame, earlier: pl.DataFrame, traces_per_shard: int) -> pl.DataFrame:
    """The selection with the `shard` of each row, chosen or not, sorted by shard and place in it.

    selection: as `select` gives it; earlier: as `earlier_places` does. A chosen trace stays in its shard, at
    its place; new ones follow in source order, in new shards of `traces_per_shard`. A shard may so become
    empty. Left-out rows are spread over the shards, so that the rows of all shards add up. There is always
    at least one shard.
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


def _ids(path: Path) -> list[str]:
    try:
        ids: list[str] = pq.read_table(path, columns=["trace_id"])["trace_id"].to_pylist()
    except (pa.ArrowException, KeyError):
        # Not by this program, or damaged by somebody; it will be written again.
        return []
    return ids
