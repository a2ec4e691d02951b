"""Reads the rows of one source file, one after the other, in little memory."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import SourceConfig
from pipeline.ingest.columns import layout_of
from pipeline.ingest.json_files import NoRows, array_rows, line_rows, parsed
from pipeline.ingest.layouts import Layout, RawTrace
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
        if file.name.endswith(".parquet"):
            yield from _parquet_rows(stream, file.name, config, wanted)
        else:
            for number, fields in _picked(_json_rows(stream, file.name), wanted):
                yield from _json_row(number, fields, file.name, config)


def told_of(file: SourceFile, config: SourceConfig) -> str:
    """Which columns of the file are taken by names that only resemble those of a trace's parts; often none.

    Of JSON the first row tells.
    """
    with _opened(file) as stream:
        if file.name.endswith(".parquet"):
            found = layout_of(pq.read_schema(stream).names, config)
        else:
            _, read = next(_json_rows(stream, file.name), (0, None))
            fields = parsed(read) if isinstance(read, bytes) else read
            names = tuple(fields) if isinstance(fields, dict) else ()
            found = layout_of(names, config, some_labels_missing=True)
    return found.told if isinstance(found, Layout) else ""


def rows_in_total(file: SourceFile) -> int | None:
    """The number of rows that a Parquet file's footer tells; None where it cannot be told cheaply."""
    if not file.name.endswith(".parquet"):
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
    layout = layout_of(file.schema_arrow.names, config)
    if isinstance(layout, Rejected):
        yield Row(0, 0, layout, None)
        return
    picks = None if wanted is None else np.asarray(wanted, np.int64)
    after = 0
    for group in range(file.num_row_groups):
        before, after = after, after + file.metadata.row_group(group).num_rows
        if picks is not None and not _between(picks, before, after).size:
            continue
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=layout.needed):
            first, before = before + 1, before + batch.num_rows
            numbers = list(range(first, before + 1))
            if picks is not None:
                numbers = _between(picks, first - 1, before).tolist()
                batch = batch.take(pa.array([number - first for number in numbers], pa.int64()))
            for number, fields in zip(numbers, _python_rows(batch), strict=True):
                if isinstance(fields, Rejected):
                    yield Row(number, 0, fields, None)
                else:
                    yield from _rows(number, layout, fields, name)


def _between(numbers: np.ndarray, after: int, to: int) -> np.ndarray:
    low, high = np.searchsorted(numbers, [after + 1, to + 1])
    return numbers[low:high]


def _python_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | Rejected]:
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        pass  # some row holds bytes that are no UTF-8: find it
    for i in range(batch.num_rows):
        try:
            yield batch.slice(i, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield Rejected(RejectReason.INVALID_UNICODE, str(error))


def _decompressed(stream: BinaryIO, name: str) -> BinaryIO:
    suffix = name.rsplit(".", 1)[-1]
    kinds = {"gz": "gzip", "zst": "zstd"}
    if suffix not in kinds:
        return stream
    unpacked = pa.CompressedInputStream(pa.PythonFile(stream, "r"), kinds[suffix])
    return io.BufferedReader(unpacked, _BUFFER_BYTES)


def _json_rows(stream: BinaryIO, name: str) -> Iterator[tuple[int, object]]:
    """Numbered rows, parsed where they are elements of an array, as bytes where they are lines."""
    if not name.endswith(".json"):
        yield from line_rows(_decompressed(stream, name))
        return
    try:
        yield from array_rows(stream)
    except NoRows as error:
        raise DamagedFile(str(error)) from error


def _picked(rows: Iterator[tuple[int, object]], wanted: Sequence[int] | None) -> Iterator[tuple[int, object]]:
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


def _json_row(number: int, read: object, name: str, config: SourceConfig) -> Iterator[Row]:
    fields = parsed(read) if isinstance(read, bytes) else read
    if isinstance(fields, Rejected):
        yield Row(number, 0, fields, None)
    elif not isinstance(fields, dict):
        detail = f"no JSON object, but {type(fields).__name__}"
        yield Row(number, 0, Rejected(RejectReason.UNREADABLE_ROW, detail), None)
    else:
        layout = layout_of(tuple(fields), config, some_labels_missing=True)
        if isinstance(layout, Rejected):
            yield Row(number, 0, layout, fields)
        else:
            yield from _rows(number, layout, fields, name)


def _rows(number: int, layout: Layout, fields: dict[str, Any], name: str) -> Iterator[Row]:
    for answer, outcome in layout.answers(fields, name):
        yield Row(number, answer, outcome, fields)
