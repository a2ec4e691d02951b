"""Pass 1 over one file: writes a summary of every row."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import BuildConfig
from pipeline.files.atomic import file_digest, replacing, value_digest
from pipeline.files.damage import DamageError, check_file, set_aside
from pipeline.files.sealed_json import read_sealed, write_sealed
from pipeline.ingest.benchmarks import Benchmarks
from pipeline.ingest.filters import FACTS, Filters, RowSummary, rejected_row
from pipeline.ingest.row_reader import DamagedFile, read_rows
from pipeline.ingest.sources import SourceFile
from pipeline.run.outcomes import Rejected, RejectReason

# Raise when the same file would give other facts.
SCAN_VERSION = 7


def facts_path(folder: Path, file: SourceFile, config: BuildConfig, benchmarks: Benchmarks | None) -> Path:
    """Where the facts of this version of the file, read under this config, lie once it is scanned."""
    select = config.select
    key: list[object] = [
        SCAN_VERSION,
        file.path,
        file.version,
        config.source.layout,
        config.source.columns,
        config.source.think,
        [select.languages, select.min_tokens, select.max_tokens, select.max_looped, config.split.tokenizer],
    ]
    if select.near_duplicates is not None:
        key.append("sketches")
    if benchmarks is not None:
        key.append([benchmarks.digest, select.decontaminate_words])
    return folder / f"{value_digest(key)[:32]}.parquet"


def scan_file(
    file: SourceFile,
    config: BuildConfig,
    benchmarks: Benchmarks | None,
    target: Path,
    on_rows: Callable[[int], None],
) -> None:
    """Writes the file's facts to `target`, whole or not at all, in memory that its size does not change.

    Then the record that makes them count (`whole_facts`). A file that is empty or damaged gives one fact
    that says so. on_rows gets the number of rows that were read since it was last called.
    """
    with replacing(target) as temporary:
        try:
            _write(_facts(file, config, benchmarks), temporary, on_rows)
        except DamagedFile as error:
            damaged = Rejected(RejectReason.UNREADABLE_FILE, str(error))
            _write(iter([rejected_row(0, damaged)]), temporary, on_rows)
    write_sealed({"bytes": target.stat().st_size, "sha256": file_digest(target)}, record_of(target))


def record_of(facts: Path) -> Path:
    """Where it is written down what a file of facts was when it was written."""
    return facts.with_suffix(".json")


def whole_facts(facts: Path) -> str | None:
    """SHA-256 of a file of facts; None where it is not there. One that is damaged is set aside first."""
    try:
        record = read_sealed(record_of(facts))
        check_file(facts, record["bytes"], record["sha256"])
        return str(record["sha256"])
    except (FileNotFoundError, KeyError):
        return None
    except DamageError as damage:
        set_aside(damage)
        return None


_ROWS_AT_ONCE = 4_096


def _facts(file: SourceFile, config: BuildConfig, benchmarks: Benchmarks | None) -> Iterator[RowSummary]:
    filters = Filters.of(config, benchmarks)
    empty = True
    for row in read_rows(file, config.source):
        empty = False
        yield filters.summary(row)
    if empty:
        yield rejected_row(0, Rejected(RejectReason.EMPTY_FILE, "no rows"))


def _write(facts: Iterator[RowSummary], path: Path, on_rows: Callable[[int], None]) -> None:
    with pq.ParquetWriter(path, FACTS, compression="zstd") as writer:
        while some := list(islice(facts, _ROWS_AT_ONCE)):
            columns = zip(*some, strict=True)
            arrays = [pa.array(values, field.type) for field, values in zip(FACTS, columns, strict=True)]
            writer.write_table(pa.table(arrays, schema=FACTS))
            # A row with several answers is one row of the source.
            on_rows(sum(fact.answer <= 1 for fact in some))
