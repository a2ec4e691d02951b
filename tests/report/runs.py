"""A run folder whose stages are done, made by hand."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

import schemas.tables
from pipeline.records import RECORDS
from pipeline.run.outcomes import ShardResult
from pipeline.run.store import RunFolder
from tests.records.rows import table
from tests.through_stages import through


def rejected_rows(stage: str, reasons: Sequence[str]) -> pa.Table:
    """Rows of rejected traces, one per reason."""
    return pa.Table.from_pylist(
        [
            {"trace_id": f"r{n}", "origin": "x:1", "stage": stage, "reason": reason, "detail": ""}
            for n, reason in enumerate(reasons)
        ],
        schemas.tables.REJECTED,
    )


def finished_run(root: Path, *shards: Sequence[dict[str, Any]], refused: Sequence[str] = ()) -> RunFolder:
    """A run whose records are these rows per shard; ingest rejected `refused` in shard 0."""
    run = RunFolder(root)
    for number, rows in enumerate(shards):
        reasons = refused if number == 0 else ()
        ingested = ShardResult(
            table(*rows).select(schemas.tables.TRACES.names),
            rejected_rows("ingest", reasons),
            schemas.tables.FAILED.empty_table(),
            Counter(),
        )
        _write(run, "ingest", number, ingested, len(rows) + len(reasons))
        _write(run, RECORDS.name, number, through(RECORDS, table(*rows)), len(rows))
    return run


def _write(run: RunFolder, stage: str, shard: int, result: ShardResult, rows_in: int) -> None:
    run.write(
        stage,
        shard,
        result,
        rows_in=rows_in,
        input="i",
        config="c",
        version=1,
        usage={},
        seconds=0.5,
    )
