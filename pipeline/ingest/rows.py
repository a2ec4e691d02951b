"""The rows of one source file, one after the other, in little memory."""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import SourceConfig
from pipeline.ingest.layouts import RawTrace, layout_of
from pipeline.ingest.sources import SourceFile
from pipeline.outcomes import Rejected, RejectReason


class Row(NamedTuple):
    """A row of a file: its trace, or why it has none.

    number: the row in a Parquet file, the line in a JSON lines file, from 1; 0 is the file as a whole.
    fields: what was read of the row; None where nothing could be.
    """

    number: int
    outcome: RawTrace | Rejected
    fields: dict[str, Any] | None


class DamagedFile(Exception):
    """The file's bytes are not what its name promises."""


def read_rows(file: SourceFile, config: SourceConfig, wanted: Sequence[int] | None = None) -> Iterator[Row]:
    """The file's rows in order; only those with the `wanted` numbers (ascending) where they are given.

    Raises DamagedFile for a truncated or otherwise broken file, and whatever the file system raises
    where the world is to blame.
    """
    with _opened(file) as stream:
        if file.name.endswith(".parquet"):
            yield from _parquet_rows(stream, file.name, config, wanted)
        else:
            yield from _json_rows(_decompressed(stream, file.name), file.name, config, wanted)


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
        yield Row(0, layout, None)
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
                    yield Row(number, fields, None)
                else:
                    yield Row(number, layout.trace(fields, name), fields)


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


def _json_rows(
    stream: BinaryIO, name: str, config: SourceConfig, wanted: Sequence[int] | None
) -> Iterator[Row]:
    picks = None if wanted is None else iter(wanted)
    pick = None if picks is None else next(picks, None)
    for number, line in enumerate(stream, start=1):
        if picks is not None:
            if pick is None:
                return
            if number < pick:
                continue
            pick = next(picks, None)
        elif not line.strip():
            continue
        yield _json_row(number, line, name, config)


def _json_row(number: int, line: bytes, name: str, config: SourceConfig) -> Row:
    try:
        fields = json.loads(line)
    except UnicodeDecodeError as error:
        return Row(number, Rejected(RejectReason.INVALID_UNICODE, str(error)), None)
    except (ValueError, RecursionError) as error:
        return Row(number, Rejected(RejectReason.UNREADABLE_ROW, f"no JSON: {error}"), None)
    if not isinstance(fields, dict):
        detail = f"no JSON object, but {type(fields).__name__}"
        return Row(number, Rejected(RejectReason.UNREADABLE_ROW, detail), None)
    layout = layout_of(tuple(fields), config, some_labels_missing=True)
    if isinstance(layout, Rejected):
        return Row(number, layout, fields)
    return Row(number, layout.trace(fields, name), fields)
