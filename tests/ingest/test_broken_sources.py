import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.ingest import SourceError
from tests.ingest.workshop import Workshop, make_row


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def misnamed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"difficulty", b"diff\xffculty"))


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncated, misnamed, overwritten])
def test_a_broken_parquet_file_is_one_counted_rejection(
    workshop: Workshop, damage: Callable[[Path], None]
) -> None:
    workshop.parquet("a.parquet", [make_row(1)])
    broken = workshop.parquet("b.parquet", [make_row(n) for n in range(50)])
    damage(broken)
    workshop.ingest()
    assert len(workshop.slot()) == 1
    (rejected,) = workshop.rejected()
    assert (rejected["trace_id"], rejected["origin"]) == ("", "b.parquet")
    assert rejected["reason"] == "unreadable_file"
    assert rejected["detail"]


@pytest.mark.parametrize("trouble", [pa.ArrowMemoryError, pa.ArrowCancelled, ConnectionError])
def test_trouble_of_the_world_rejects_no_file(
    workshop: Workshop, trouble: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.parquet("a.parquet", [make_row(1)])

    def fail(*_: object, **__: object) -> None:
        raise trouble("not now")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetFile", fail)
        with pytest.raises(trouble):
            workshop.ingest()
    workshop.ingest()
    assert len(workshop.slot()) == 1


@pytest.mark.parametrize("name", ["b.jsonl.gz", "b.jsonl.zst"])
def test_a_broken_compressed_file_is_one_counted_rejection(workshop: Workshop, name: str) -> None:
    plain = workshop.jsonl("a.jsonl", [make_row(n) for n in range(50)]).read_bytes()
    packed = gzip.compress(plain) if name.endswith("gz") else pa.Codec("zstd").compress(plain, asbytes=True)
    (workshop.folder / name).write_bytes(packed[: len(packed) // 2])
    workshop.ingest()
    assert len(workshop.slot()) == 50
    assert workshop.reasons() == ["unreadable_file"]


@pytest.mark.parametrize("name", ["b.jsonl", "b.parquet", "b.jsonl.gz"])
def test_a_file_of_no_bytes_is_one_counted_rejection(workshop: Workshop, name: str) -> None:
    workshop.jsonl("a.jsonl", [make_row(1)])
    (workshop.folder / name).write_bytes(b"")
    workshop.ingest()
    assert len(workshop.slot()) == 1
    assert workshop.reasons() == ["empty_file"]


def test_a_parquet_file_of_no_rows_is_one_counted_rejection(workshop: Workshop) -> None:
    table = pa.Table.from_pylist([make_row(1)])
    pq.write_table(table.slice(0, 0), workshop.folder / "a.parquet")
    assert workshop.ingest() == 1
    assert workshop.slot() == []
    assert workshop.reasons() == ["empty_file"]


def test_blank_lines_are_no_rows_but_count_as_lines(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [b"", make_row(1), b"  ", make_row(2)])
    workshop.ingest()
    assert [trace["origin"] for trace in workshop.slot()] == ["a.jsonl:2", "a.jsonl:4"]
    assert workshop.reasons() == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[1, 2]", "unreadable_row"),
        (b"null", "unreadable_row"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "unreadable_row"),
        (b"[" * 100_000, "unreadable_row"),
        (b'{"problem": "\xff"}', "invalid_unicode"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "unknown_layout"),
    ],
)
def test_no_line_of_json_stops_the_rest(workshop: Workshop, line: bytes, reason: str) -> None:
    workshop.jsonl("a.jsonl", [line, make_row(1)])
    workshop.ingest()
    assert len(workshop.slot()) == 1
    assert workshop.reasons() == [reason]


def test_bytes_in_parquet_that_are_no_text_reject_their_row_only(workshop: Workshop) -> None:
    problems = pa.array([b"1+1?", b"\xff\xfe", b"2+2?"], pa.binary()).view(pa.string())
    thoughts = pa.array(["<think>a</think>b"] * 3)
    pq.write_table(pa.table({"problem": problems, "response": thoughts}), workshop.folder / "a.parquet")
    workshop.ingest()
    assert [trace["problem"] for trace in workshop.slot()] == ["1+1?", "2+2?"]
    assert workshop.reasons() == ["invalid_unicode"]


def test_a_strange_file_among_others_is_one_counted_rejection(workshop: Workshop) -> None:
    workshop.jsonl("a.jsonl", [make_row(1)])
    workshop.parquet("b.parquet", [{"text": "1+1?"}] * 3)
    workshop.ingest()
    assert len(workshop.slot()) == 1
    assert workshop.reasons() == ["unknown_layout"]


def test_a_source_of_strange_files_only_is_refused_with_the_way_out(workshop: Workshop) -> None:
    workshop.parquet("b.parquet", [{"text": "1+1?"}])
    with pytest.raises(SourceError, match=r"b\.parquet: the columns are text; .* set source.columns"):
        workshop.ingest()
