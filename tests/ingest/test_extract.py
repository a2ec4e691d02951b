import tracemalloc

import polars as pl

from pipeline.config import SourceConfig
from pipeline.ingest.extract import Digests, extract
from pipeline.ingest.sources import SourceFile
from tests.ingest.workshop import Workshop


def left_out(rows: int) -> pl.DataFrame:
    """A selection of one file and shard that takes none of its rows."""
    numbers = pl.int_range(1, rows + 1, eager=True)
    return pl.DataFrame({"row": numbers, "content": numbers.cast(pl.UInt64)}).with_columns(
        file=0,
        answer=0,
        output=None,
        occurrence=1,
        verdict=pl.lit("not_chosen"),
        detail=pl.lit("by chance"),
        shard=0,
    )


def test_rows_that_are_left_out_need_less_memory_than_python_rows_would(workshop: Workshop) -> None:
    def write(rows: int) -> None:
        file = SourceFile(path="/source/a.jsonl", origin="a.jsonl", version="1")
        digests = Digests(str(rows), "config")
        extract(left_out(rows), [file], SourceConfig(), workshop.run, digests, lambda done, total: None)

    write(10)  # what is imported at the first use is not counted
    tracemalloc.start()
    try:
        write(30_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The strings of one column have some 80 bytes each, a Python row has more than 300.
    assert peak < 150 * 30_000
    workshop.shards = 1
    last = workshop.rejected()[-1]
    assert last == {
        "trace_id": f"{30_000:016x}",
        "origin": "a.jsonl:30000",
        "stage": "ingest",
        "reason": "not_chosen",
        "detail": "by chance",
    }
