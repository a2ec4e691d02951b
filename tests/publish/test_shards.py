"""Rows into row groups and files by bytes."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from pipeline.publish.shards import row_groups, write_files

SCHEMA = pa.schema([("text", pa.string())])


def tables(*sizes: list[int]) -> list[pa.Table]:
    return [pa.table({"text": ["x" * size for size in of_table]}, SCHEMA) for of_table in sizes]


def noise(rows: int, size: int, seed: int = 0) -> pa.Table:
    # Bytes that do not compress, so that files grow with the rows.
    rng = random.Random(seed)
    return pa.table({"text": [rng.randbytes(size // 2).hex() for _ in range(rows)]}, SCHEMA)


@given(st.lists(st.lists(st.integers(0, 300), max_size=8), max_size=6), st.integers(1, 500))
def test_row_groups_hold_all_rows_in_order_and_none_is_too_large(sizes: list[list[int]], most: int) -> None:
    groups = list(row_groups(tables(*sizes), SCHEMA, most))
    lengths = [len(text) for group in groups for text in group.column("text").to_pylist()]
    assert lengths == [size for of_table in sizes for size in of_table]
    assert all(group.nbytes <= most or group.num_rows == 1 for group in groups)


@given(st.lists(st.integers(0, 300), max_size=20), st.integers(1, 500), st.integers(1, 7))
def test_row_groups_do_not_depend_on_the_tables_the_rows_come_in(
    sizes: list[int], most: int, rows_per_table: int
) -> None:
    parts = [sizes[start : start + rows_per_table] for start in range(0, len(sizes), rows_per_table)]
    together = [group.to_pylist() for group in row_groups(tables(sizes), SCHEMA, most)]
    assert [group.to_pylist() for group in row_groups(tables(*parts), SCHEMA, most)] == together


def test_files_are_cut_by_bytes_and_named_by_their_count(tmp_path: Path) -> None:
    rows = noise(400, 20_000)
    paths = write_files([rows], SCHEMA, tmp_path, file_bytes=1_500_000, row_group_bytes=500_000)
    assert len(paths) > 1
    assert [path.name for path in paths] == [
        f"train-{number:05d}-of-{len(paths):05d}.parquet" for number in range(len(paths))
    ]
    assert sorted(tmp_path.iterdir()) == paths
    sizes = [path.stat().st_size for path in paths]
    assert max(sizes) <= 1_500_000 * 1.02
    assert min(sizes[:-1]) >= 1_000_000
    texts = [text for path in paths for text in pq.read_table(path).column("text").to_pylist()]
    assert texts == rows.column("text").to_pylist()


def test_a_row_group_is_never_larger_than_a_file_may_be(tmp_path: Path) -> None:
    rows = noise(400, 20_000)
    paths = write_files([rows], SCHEMA, tmp_path, file_bytes=1_000_000, row_group_bytes=10**9)
    assert max(path.stat().st_size for path in paths) <= 1_000_000


def test_no_row_gives_one_file_with_the_schema(tmp_path: Path) -> None:
    (path,) = write_files([], SCHEMA, tmp_path, file_bytes=10**6, row_group_bytes=10**6)
    assert path.name == "train-00000-of-00001.parquet"
    assert pq.read_table(path) == SCHEMA.empty_table()


def test_files_have_zstd_and_a_page_index(tmp_path: Path) -> None:
    (path,) = write_files([noise(9, 100)], SCHEMA, tmp_path, file_bytes=10**6, row_group_bytes=10**6)
    column = pq.read_metadata(path).row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_column_index
    assert column.has_offset_index


def test_appending_rows_leaves_most_of_the_files_bytes_as_they_were(tmp_path: Path) -> None:
    size = {"file_bytes": 10**9, "row_group_bytes": 10**9}
    (before,) = write_files([noise(8000, 1000)], SCHEMA, tmp_path / "a", **size)
    grown = [noise(8000, 1000), noise(400, 1000, seed=1)]
    (after,) = write_files(grown, SCHEMA, tmp_path / "b", **size)
    assert _shared(before, after) > 0.8 * before.stat().st_size


def test_rows_put_in_near_the_start_leave_most_of_the_files_bytes_as_they_were(tmp_path: Path) -> None:
    size = {"file_bytes": 10**9, "row_group_bytes": 10**9}
    (before,) = write_files([noise(8000, 1000)], SCHEMA, tmp_path / "a", **size)
    changed = [noise(8000, 1000).slice(0, 300), noise(7, 990, seed=1), noise(8000, 1000).slice(300)]
    (after,) = write_files(changed, SCHEMA, tmp_path / "b", **size)
    assert _shared(before, after) > 0.6 * before.stat().st_size


def test_with_several_row_groups_rows_put_in_leave_most_of_the_bytes_as_they_were(tmp_path: Path) -> None:
    size = {"file_bytes": 10**9, "row_group_bytes": 8_000_000}
    rows = noise(30_000, 1000)
    (before,) = write_files([rows], SCHEMA, tmp_path / "a", **size)
    changed = [rows.slice(0, 300), noise(7, 990, seed=1), rows.slice(300)]
    (after,) = write_files(changed, SCHEMA, tmp_path / "b", **size)
    assert pq.read_metadata(before).num_row_groups == 4
    assert _shared(before, after) > 0.7 * before.stat().st_size


def _shared(before: Path, after: Path) -> int:
    """Bytes of the old file's pages that stand in the new one, too."""
    new = after.read_bytes()
    old = before.read_bytes()
    piece = 4096
    return piece * sum(old[at : at + piece] in new for at in range(0, len(old), piece))
