"""Pass 2: the chosen rows, read again and written as shards of traces."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import NamedTuple

import polars as pl
import pyarrow as pa

import schemas.tables
from pipeline.config import SourceConfig
from pipeline.ingest.filters import Utf8, content_hash, output_hash, trace_id
from pipeline.ingest.layouts import RawTrace
from pipeline.ingest.row_reader import DamagedFile, read_rows
from pipeline.ingest.shard_assignment import keep_list
from pipeline.ingest.sources import SourceError, SourceFile
from pipeline.run.outcomes import ShardResult
from pipeline.run.store import RunFolder

STAGE = "ingest"
# Raise when the same facts and config would give other shards.
INGEST_VERSION = 2
# Counter of traces whose answer ended with a marker of a tokenizer, which was taken off.
END_TOKENS = "end_tokens_taken_off"


class Digests(NamedTuple):
    """What a shard's manifest says it was made from."""

    input: str
    config: str


def number_of_shards(selection: pl.DataFrame) -> int:
    """How many shards the rows are placed in; at least one, even without any row."""
    return int(selection["shard"].max() or 0) + 1  # type: ignore[arg-type]


def extract(
    selection: pl.DataFrame,
    files: Sequence[SourceFile],
    source: SourceConfig,
    run: RunFolder,
    digests: Digests,
    on_progress: Callable[[int, int], None],
) -> None:
    """Writes the shards that the run folder does not have yet; only files with rows in them are read.

    selection: as `place` gives it. on_progress(traces read so far, traces to read).
    Raises SourceError where a file is no longer what was scanned.
    """
    shards = number_of_shards(selection)
    due = [
        n for n in range(shards) if run.current(STAGE, n, **digests._asdict(), version=INGEST_VERSION) is None
    ]
    rows = selection.filter(pl.col("shard").is_in(due))
    chosen = rows.filter(pl.col("verdict") == "")
    traces = _traces(chosen, files, source)
    done = 0
    parts = {int(str(shard)): part for (shard,), part in rows.group_by("shard", maintain_order=True)}
    for shard in due:
        started = time.monotonic()
        part = parts.get(shard, rows.clear())
        result = _shard(part, traces, files)
        keep_list(run, shard, result.done["trace_id"].to_pylist())
        run.write(
            STAGE,
            shard,
            result,
            rows_in=part.height,
            **digests._asdict(),
            version=INGEST_VERSION,
            usage={},
            seconds=time.monotonic() - started,
        )
        done += result.done.num_rows
        on_progress(done, chosen.height)


def _shard(part: pl.DataFrame, traces: Iterator[RawTrace], files: Sequence[SourceFile]) -> ShardResult:
    chosen = part.filter(pl.col("verdict") == "")
    named = zip(_ids(chosen), _origins(chosen, files), islice(traces, chosen.height), strict=True)
    done, taken_off = [], 0
    for id, origin, trace in named:
        columns = trace._asdict()
        taken_off += bool(columns.pop("taken_off"))
        done.append({"trace_id": id, "origin": origin, **columns})
    return ShardResult(
        pa.Table.from_pylist(done, schemas.tables.TRACES),
        _rejected(part.filter(pl.col("verdict") != ""), files),
        schemas.tables.FAILED.empty_table(),
        Counter({END_TOKENS: taken_off} if taken_off else {}),
    )


def _rejected(left_out: pl.DataFrame, files: Sequence[SourceFile]) -> pa.Table:
    # Column by column, not as Python rows: with a small limit nearly the whole source is left out at once.
    columns: dict[str, Iterable[str]] = {
        "trace_id": _ids(left_out),
        "origin": _origins(left_out, files),
        "stage": repeat(STAGE, left_out.height),
        "reason": left_out["verdict"],
        "detail": left_out["detail"],
    }
    arrays = [pa.array(iter(column), pa.string(), size=left_out.height) for column in columns.values()]
    return pa.table(dict(zip(columns, arrays, strict=True)), schemas.tables.REJECTED)


def _ids(rows: pl.DataFrame) -> Iterator[str]:
    return map(trace_id, rows["content"], rows["occurrence"])


def _origins(rows: pl.DataFrame, files: Sequence[SourceFile]) -> Iterator[str]:
    for file, row, answer in zip(rows["file"], rows["row"], rows["answer"], strict=True):
        origin = files[file].origin
        yield ":".join([origin, *(str(number) for number in (row, answer) if number)])


def _traces(chosen: pl.DataFrame, files: Sequence[SourceFile], source: SourceConfig) -> Iterator[RawTrace]:
    # A stretch of rows that one pass over their file gives: old traces come before new ones, so a file may
    # be read again, but no more often than the source has grown.
    starts = (pl.col("file") != pl.col("file").shift()) | (pl.col("row") < pl.col("row").shift())
    starts |= (pl.col("row") == pl.col("row").shift()) & (pl.col("answer") <= pl.col("answer").shift())
    stretches = chosen.with_columns(starts.fill_null(True).cum_sum().alias("stretch"))
    for _, rows in stretches.group_by("stretch", maintain_order=True):
        file = files[rows["file"][0]]
        wanted = dict(zip(zip(rows["row"], rows["answer"], strict=True), rows["output"], strict=True))
        try:
            yield from _checked(file, source, wanted)
        except DamagedFile as error:
            raise _changed(file) from error


def _checked(
    file: SourceFile, source: SourceConfig, wanted: dict[tuple[int, int], int]
) -> Iterator[RawTrace]:
    """The wanted traces, as long as they are those that were scanned. wanted: output by row and answer."""
    expected = iter(wanted.items())
    for row in read_rows(file, source, list(dict.fromkeys(number for number, _ in wanted))):
        if (row.number, row.answer) not in wanted:
            continue  # another answer of a row that is wanted
        trace = row.outcome
        if not isinstance(trace, RawTrace):
            raise _changed(file)
        if ((row.number, row.answer), _output(trace)) != next(expected, None):
            raise _changed(file)
        yield trace
    if next(expected, None) is not None:
        raise _changed(file)


def _output(trace: RawTrace) -> int:
    return output_hash(trace, content_hash(Utf8.of(trace)))


def _changed(file: SourceFile) -> SourceError:
    return SourceError(f"{file.path} changed while it was read: run again, it will be scanned anew")
