"""Published Parquet files: rows cut into row groups and files by bytes, the same bytes every time."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.publish.splits import TRAIN


def write_files(
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    folder: Path,
    split: str = TRAIN,
    *,
    file_bytes: int,
    row_group_bytes: int,
) -> list[Path]:
    """Writes the tables' rows, in order, as folder/train-00000-of-0000N.parquet …; the files' paths in order.

    file_bytes: a new file begins where the next row group would lead beyond (estimated by the compression
    so far). row_group_bytes: most uncompressed bytes of a row group, unless a single row is larger; from
    8 MB on, a row more or less leaves most of a file's bytes as they were. Without any row one file without
    rows is written for `train`, none for another split. Memory: one row group.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    writer: _File | None = None
    # A row group is never spread over files, so it has to fit one.
    for group in row_groups(tables, schema, min(row_group_bytes, file_bytes)):
        if writer is None or writer.size_with(group) > file_bytes:
            if writer is not None:
                writer.close()
            writer = _File(folder / f"{split}-{len(written):05d}.parquet", schema)
            written.append(writer.path)
        writer.write(group)
    if writer is None and split == TRAIN:
        writer = _File(folder / f"{split}-00000.parquet", schema)
        written.append(writer.path)
    if writer is not None:
        writer.close()
    return [
        path.rename(path.with_name(f"{path.stem}-of-{len(written):05d}{path.suffix}")) for path in written
    ]


def row_groups(tables: Iterable[pa.Table], schema: pa.Schema, most_bytes: int) -> Iterator[pa.Table]:
    """The rows again, as tables of at most `most_bytes` each (or of one row), however they came in."""
    waiting: list[pa.Table] = []
    waiting_bytes = 0
    for table in tables:
        start = 0
        for row in range(table.num_rows):
            row_bytes = table.slice(row, 1).nbytes
            if waiting_bytes and waiting_bytes + row_bytes > most_bytes:
                yield (
                    pa.concat_tables([*waiting, table.slice(start, row - start)])
                    .cast(schema)
                    .combine_chunks()
                )
                waiting, waiting_bytes, start = [], 0, row
            waiting_bytes += row_bytes
        waiting.append(table.slice(start))
    if waiting_bytes:
        yield pa.concat_tables(waiting).cast(schema).combine_chunks()


class _File:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self._uncompressed = 0
        self._sink = path.open("wb")
        # Content-defined chunking lets the Hub store a changed file as the few chunks that changed; it begins
        # anew with each row group, so groups must be much larger than a chunk (up to 1 MB). The page index
        # lets readers skip to the rows they want.
        self._writer = pq.ParquetWriter(
            self._sink,
            schema,
            compression="zstd",
            write_page_index=True,
            use_content_defined_chunking=True,
        )

    def size_with(self, group: pa.Table) -> float:
        """What the file's bytes will be about, with this row group."""
        written = self._sink.tell()
        ratio = written / self._uncompressed if self._uncompressed else 0.0
        return written + ratio * int(group.nbytes)

    def write(self, group: pa.Table) -> None:
        self._writer.write_table(group, row_group_size=max(1, group.num_rows))
        self._uncompressed += group.nbytes

    def close(self) -> None:
        self._writer.close()
        self._sink.close()
