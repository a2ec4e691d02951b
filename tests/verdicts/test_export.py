import csv
import json

import polars as pl
import pytest

from pipeline.run.store import RunFolder
from pipeline.verdicts import ExportError, Opinion, export_verdicts, put
from tests.commands.runs import REASONING
from tests.verdicts.runs import done_trace, judged_run, verdict, verdict_on


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A verdict about a memento of the run, and one about a text that the run does not have."""
    folder = judged_run(tmp_path / "run")
    put(folder, verdict_on(folder, 1, Opinion.BAD, why='loses, "the" 13\nand more'))
    put(folder, verdict("gone", 4))
    return folder


def expected(run: RunFolder) -> list[tuple]:
    trace_id = done_trace(run)["trace_id"]
    return sorted([(trace_id, 1, "bad", 5, False, True), ("gone", 4, "good", 8, True, False)])


def test_json_lines_have_the_verdict_with_memento_block_and_domain(run, tmp_path):
    to = tmp_path / "out.jsonl"
    assert export_verdicts(run, to) == 2
    rows = [json.loads(line) for line in to.read_text().splitlines()]
    names = ("trace_id", "block", "verdict", "score", "passed", "current")
    assert [tuple(row[name] for name in names) for row in rows] == expected(run)
    bad = next(row for row in rows if row["current"])
    assert (bad["domain"], bad["memento"]) == ("math", "First try 1.")
    assert (bad["why"], bad["at"]) == ('loses, "the" 13\nand more', "2026-03-04T12:00:00.005+00:00")
    assert len(bad["block_text"]) > 20
    assert bad["block_text"] in REASONING
    gone = next(row for row in rows if not row["current"])
    assert gone["memento"] is gone["block_text"] is gone["domain"] is None


def test_parquet_and_csv_have_the_same_rows(run, tmp_path):
    for name in ("out.parquet", "out.csv", "out.jsonl"):
        export_verdicts(run, tmp_path / name)
    table = pl.read_parquet(tmp_path / "out.parquet")
    assert table.schema["score"] == pl.Int32
    columns = ["trace_id", "block", "verdict", "score", "passed", "current"]
    assert table.select(columns).rows() == expected(run)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    with (tmp_path / "out.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert cells == [{k: "" if v is None else str(v) for k, v in line.items()} for line in lines]


@pytest.mark.parametrize("why", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_no_cell_of_a_csv_file_is_a_formula(run, tmp_path, why):
    put(run, verdict("gone", 4, why=why))
    export_verdicts(run, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        cells = {row["trace_id"]: row["why"] for row in csv.DictReader(file)}
    assert cells["gone"] == f"'{why}"


def test_other_files_have_the_words_as_they_were_given(run, tmp_path):
    put(run, verdict("gone", 4, why="=1+1"))
    export_verdicts(run, tmp_path / "out.jsonl")
    assert '"why": "=1+1"' in (tmp_path / "out.jsonl").read_text()


def test_a_suffix_that_names_no_form_is_refused_before_anything_is_written(run, tmp_path):
    with pytest.raises(ExportError, match=r"out\.xlsx: .* \.csv, \.jsonl, \.parquet"):
        export_verdicts(run, tmp_path / "out.xlsx")
    assert not (tmp_path / "out.xlsx").exists()


def test_the_file_that_holds_the_verdicts_is_not_written_over(run):
    before = run.verdicts.read_bytes()
    with pytest.raises(ExportError, match="name another file"):
        export_verdicts(run, run.root / "ingest" / ".." / "verdicts.parquet")
    assert run.verdicts.read_bytes() == before
