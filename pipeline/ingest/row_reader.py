"""Reads the rows of one source file, one after the other, in little memory."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import SourceConfig
from pipeline.ingest.columns import layout_of, layouts_of
from pipeline.ingest.conversation import is_turns
from pipeline.ingest.json_files import NoRows, json_rows, parsed
from pipeline.ingest.layouts import Layout, RawTrace, answers_of
from pipeline.ingest.sources import SourceFile
from pipeline.run.outcomes import Rejected, RejectReason


class Row(NamedTuple):
    """A trace of a row of a file, or why it has none.

    number: the row in a Parquet file, the line in a JSON lines file, the place in a JSON array, from 1; 0 is
    the file as a whole. answer: which of the row's answers, from 1; 0 where it holds one.
    fields: what was read of the row; None where nothing could be.
    """

    number: int
    answer: int
    outcome: RawTrace | Rejected
    fields: dict[str, Any] | None


class DamagedFile(Exception):
    """The file's bytes are not what its name promises."""


def read_rows(file: SourceFile, config: SourceConfig, wanted: Sequence[int] | None = None) -> Iterator[Row]:
    """The file's rows in order; only those with the `wanted` numbers (rising) where they are given.

    A row with several answers comes once for each of them.

    Raises DamagedFile for a truncated or otherwise broken file, and whatever the file system raises
    where it cannot be read for another reason.
    """
    with _opened(file) as stream:
        if file.kind in _TABLES:
            yield from _TABLES[file.kind](stream, file.name, config, wanted)
        else:
            for number, fields in _picked(_json_rows(stream, file.name), wanted):
                yield from _json_row(number, fields, file.name, config)


def told_of(file: SourceFile, config: SourceConfig) -> str:
    """Which columns of the file are taken by names that only resemble those of a trace's parts; often none.

    Of JSON the first row tells.
    """
    with _opened(file) as stream:
        if file.kind == "parquet":
            found = layout_of(pq.read_schema(stream).names, config)
        elif file.kind == "arrow":
            found = layout_of(_arrow(stream).schema.names, config)
        else:
            _, read = next(_json_rows(stream, file.name), (0, b""))
            fields = parsed(read)
            names = tuple(fields) if isinstance(fields, dict) else ()
            found = layout_of(names, config, some_labels_missing=True)
    return found.told if isinstance(found, Layout) else ""


def rows_in_total(file: SourceFile) -> int | None:
    """The number of rows that a Parquet file's footer tells; None where it cannot be told cheaply."""
    if file.kind != "parquet":
        return None
    try:
        with _opened(file) as stream:
            return int(pq.read_metadata(stream).num_rows)
    except DamagedFile:
        return None


@contextmanager
def _opened(file: SourceFile) -> Iterator[BinaryIO]:
    """The open file; what Arrow says of broken bytes is raised as DamagedFile."""
    filesystem, path = fsspec.core.url_to_fs(file.path)
    with filesystem.open(path, "rb") as stream:
        try:
            yield stream
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, OSError) as error:
            # Arrow reports broken bytes as one of these, OSErrors then without a number; disks and networks
            # have numbers or types of their own. No memory and cancellation are not the file's fault.
            if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
                raise
            raise DamagedFile(" ".join(str(error).split())) from error


# Rows in memory at once; long traces have some 60,000 characters.
_BATCH_ROWS = 128
_BUFFER_BYTES = 1 << 20


def _parquet_rows(
    stream: BinaryIO, name: str, config: SourceConfig, wanted: Sequence[int] | None
) -> Iterator[Row]:
    if not stream.read(1):
        return
    stream.seek(0)
    # Without pre-buffering a column chunk is read through a small buffer, not held as a whole.
    file = pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    if not file.metadata.num_rows:
        return
    layouts = layouts_of(file.schema_arrow.names, config)
    if isinstance(layouts, Rejected):
        yield Row(0, 0, layouts, None)
        return
    columns = list(dict.fromkeys(name for layout in layouts for name in layout.needed))
    picks = None if wanted is None else np.asarray(wanted, np.int64)
    after = 0
    for group in range(file.num_row_groups):
        before, after = after, after + file.metadata.row_group(group).num_rows
        if picks is not None and not _between(picks, before, after).size:
            continue
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns):
            yield from _batch_rows(batch, before, picks, layouts, name)
            before += batch.num_rows


def _arrow(stream: BinaryIO) -> pa.RecordBatchStreamReader | pa.RecordBatchFileReader:
    """A reader of a file of Arrow, as `datasets` saves it (a stream) or others do (a file)."""
    try:
        return pa.ipc.open_stream(stream)
    except pa.ArrowInvalid:
        stream.seek(0)
        return pa.ipc.open_file(stream)


def _arrow_rows(
    stream: BinaryIO, name: str, config: SourceConfig, wanted: Sequence[int] | None
) -> Iterator[Row]:
    reader = _arrow(stream)
    layouts = layouts_of(reader.schema.names, config)
    if isinstance(layouts, Rejected):
        yield Row(0, 0, layouts, None)
        return
    picks = None if wanted is None else np.asarray(wanted, np.int64)
    before = 0
    streamed = isinstance(reader, pa.RecordBatchStreamReader)
    batches = reader if streamed else map(reader.get_batch, range(reader.num_record_batches))
    for batch in batches:
        # A batch may be all of a small file: some rows at a time become Python.
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            part = batch.slice(start, _BATCH_ROWS)
            yield from _batch_rows(part, before, picks, layouts, name)
            before += part.num_rows


_TABLES = {"parquet": _parquet_rows, "arrow": _arrow_rows}


def _batch_rows(
    batch: pa.RecordBatch, before: int, picks: np.ndarray | None, layouts: Sequence[Layout], name: str
) -> Iterator[Row]:
    """The rows of a batch that are wanted; before: how many rows of the file stand before it."""
    numbers = list(range(before + 1, before + batch.num_rows + 1))
    if picks is not None:
        numbers = _between(picks, before, before + batch.num_rows).tolist()
    if len(numbers) == batch.num_rows:
        rows = _python_rows(batch)
    else:  # not by `take`, which some types of column do not have
        rows = chain.from_iterable(_python_rows(batch.slice(n - before - 1, 1)) for n in numbers)
    for number, fields in zip(numbers, rows, strict=True):
        if isinstance(fields, Rejected):
            yield Row(number, 0, fields, None)
        else:
            yield from _rows(number, layouts, fields, name)


def _between(numbers: np.ndarray, after: int, to: int) -> np.ndarray:
    low, high = np.searchsorted(numbers, [after + 1, to + 1])
    return numbers[low:high]


def _python_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | Rejected]:
    try:
        yield from [_with_texts(row) for row in batch.to_pylist()]
        return
    except UnicodeDecodeError:
        pass  # some row holds bytes that are no UTF-8: find it
    for i in range(batch.num_rows):
        try:
            yield _with_texts(batch.slice(i, 1).to_pylist()[0])
        except UnicodeDecodeError as error:
            yield Rejected(RejectReason.INVALID_UNICODE, str(error))


def _with_texts(row: dict[str, Any]) -> dict[str, Any]:
    """The row, texts in columns of bytes as texts. Raises UnicodeDecodeError."""
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in row.items()}


def _decompressed(stream: BinaryIO, name: str) -> BinaryIO:
    suffix = name.lower().rsplit(".", 1)[-1]
    kinds = {"gz": "gzip", "zst": "zstd", "bz2": "bz2"}
    if suffix not in kinds:
        return stream
    unpacked = pa.CompressedInputStream(pa.PythonFile(stream, "r"), kinds[suffix])
    return io.BufferedReader(unpacked, _BUFFER_BYTES)


def _json_rows(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Numbered rows, as bytes."""
    try:
        yield from json_rows(_decompressed(stream, name), array=".json" in name.lower().replace(".jsonl", ""))
    except NoRows as error:
        raise DamagedFile(str(error)) from error


def _picked(rows: Iterator[tuple[int, bytes]], wanted: Sequence[int] | None) -> Iterator[tuple[int, bytes]]:
    """Those of the numbered rows that are wanted; all where nothing is said."""
    if wanted is None:
        yield from rows
        return
    picks = iter(wanted)
    pick = next(picks, None)
    for number, row in rows:
        if pick is None:
            return
        if number == pick:
            pick = next(picks, None)
            yield number, row


def _json_row(number: int, read: bytes, name: str, config: SourceConfig) -> Iterator[Row]:
    fields = parsed(read)
    if isinstance(fields, Rejected):
        yield Row(number, 0, fields, None)
    elif not isinstance(fields, dict):
        detail = f"no JSON object, but {type(fields).__name__}"
        yield Row(number, 0, Rejected(RejectReason.UNREADABLE_ROW, detail), None)
    else:
        layouts = layouts_of(tuple(fields), config, some_labels_missing=True)
        if isinstance(layouts, Rejected):
            inner = [name for name, value in fields.items() if is_turns(value)]
            hint = (
                f"; `{inner[0]}` is a list of objects: write those into the file, one a line" if inner else ""
            )
            yield Row(number, 0, Rejected(layouts.reason, layouts.detail + hint), fields)
        else:
            yield from _rows(number, layouts, fields, name)


def _rows(number: int, layouts: Sequence[Layout], fields: dict[str, Any], name: str) -> Iterator[Row]:
    for answer, outcome in answers_of(layouts, fields, name):
        yield Row(number, answer, outcome, fields)
