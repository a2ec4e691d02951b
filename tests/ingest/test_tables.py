"""Rows of Parquet and Arrow files, whatever kind of column holds their texts."""

from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ingest.workshop import Workshop

TEXTS = {
    "problem": [f"What is {n} + 1?" for n in range(300)],
    "reasoning": [f"Let me add {n} and 1 to it." for n in range(300)],
    "answer": [f"It is {n + 1}." for n in range(300)],
}


def table(kind: Any = None, **columns: Any) -> pa.Table:
    kind = kind or pa.string()
    texts = {name: pa.array(values, pa.string()).cast(kind) for name, values in TEXTS.items()}
    return pa.table({**texts, **columns})


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.large_string(), pa.string_view(), pa.string()], ids=str
)
def test_texts_of_every_kind_of_column_are_read(workshop: Workshop, kind: Any) -> None:
    pq.write_table(table(kind), workshop.folder / "a.parquet")
    workshop.ingest()
    assert [row["problem"] for row in workshop.slot()] == TEXTS["problem"]


def test_bytes_that_are_no_text_cost_their_row(workshop: Workshop) -> None:
    rows = table(pa.binary()).slice(0, 3)
    bad = pa.array([b"fine", b"\xff", b"fine, too"], pa.binary())
    pq.write_table(rows.set_column(2, "answer", bad), workshop.folder / "a.parquet")
    workshop.ingest()
    assert (len(workshop.slot()), workshop.reasons()) == (2, ["invalid_unicode"])


def test_a_row_is_read_from_the_columns_that_it_has(workshop: Workshop) -> None:
    turns = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "<think>so</think>2"}]
    rows = table(messages=[turns if n % 2 else None for n in range(300)])
    pq.write_table(rows, workshop.folder / "a.parquet")
    workshop.ingest(select={"languages": "any"})
    assert sum(row["answer"] == "2" for row in workshop.slot()) == 1  # the others of them are duplicates
    assert sum(row["problem"] in TEXTS["problem"][::2] for row in workshop.slot()) == 150


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_arrow_files_are_read_row_by_row(workshop: Workshop, kind: str) -> None:
    new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with new(workshop.folder / "a.arrow", table().schema) as writer:
        writer.write_table(table(), max_chunksize=170)
    workshop.ingest(select={"limit": 9})
    origins = [row["origin"] for row in workshop.slot()]
    assert len(origins) == 9
    for row in workshop.slot():
        number = int(row["origin"].split(":")[1])
        assert row["problem"] == TEXTS["problem"][number - 1]


def test_a_broken_arrow_file_is_left_out_and_named(workshop: Workshop) -> None:
    (workshop.folder / "a.arrow").write_bytes(b"no Arrow at all")
    pq.write_table(table(), workshop.folder / "b.parquet")
    workshop.ingest()
    assert workshop.reasons() == ["unreadable_file"]


def test_a_folder_that_datasets_has_saved_is_read(workshop: Workshop) -> None:
    rows = datasets.Dataset.from_dict(TEXTS)
    datasets.DatasetDict({"train": rows}).save_to_disk(str(workshop.folder / "saved"))
    workshop.ingest()
    assert len(workshop.slot()) == 300
    assert Path(workshop.slot()[0]["origin"].split(":")[0]).parts[:2] == ("saved", "train")
