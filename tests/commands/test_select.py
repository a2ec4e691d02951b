"""`openmementos select`: what a build would take, in numbers that add up and as a picture."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.config import BuildConfig
from pipeline.ingest import ingest
from pipeline.report import funnel
from pipeline.report.selection import SelectionCounts, draw_selection
from pipeline.run.store import RunFolder

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample" / "traces.jsonl"
CONFIG = ROOT / "flows" / "configs" / "sample.yaml"
PNG = b"\x89PNG"


def select(run: Path, *arguments: str) -> str:
    told = ["select", "--config", str(CONFIG), "--source", str(SAMPLE), "--run-dir", str(run), *arguments]
    done = CliRunner().invoke(app, told)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_counts_add_up_and_are_those_of_a_build(tmp_path: Path) -> None:
    told = json.loads(select(tmp_path / "run", "--limit", "10", "--dry-run", "--json"))
    assert told["rows"] == told["taken"] + sum(told["left_out"].values())
    assert told["taken"] == sum(told["taken_by_domain"].values()) == 10
    run = RunFolder(tmp_path / "built")
    run.root.mkdir()
    build = BuildConfig.model_validate(
        {"name": "b", "source": {"paths": [str(SAMPLE)]}, "select": {"limit": 10}}
    )
    shards = ingest(build, run, lambda done, total: None)
    assert funnel(run, range(shards))[0].rejected == told["left_out"]


def test_why_rows_are_left_out_is_told_with_a_row_and_a_hint_for_a_file_of_which_all_are(
    tmp_path: Path,
) -> None:
    good = {"problem": "1+1?", "response": "<think>We add the one to the other.</think>It is 2."}
    cut = [{"problem": f"{n}+1?", "response": "<think>" + "so " * n} for n in range(1, 5)]
    bad = [{"problem": "1+1?", "reasoning": "[so]", "answer": {"n": n}} for n in range(3)]
    for name, rows in (("mixed.jsonl", [*cut, good]), ("odd.jsonl", bad)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = ("--source", str(tmp_path / "mixed.jsonl"), "--source", str(tmp_path / "odd.jsonl"))
    told = " ".join(select(tmp_path / "run", "--dry-run", *source).split())
    assert "characters, no </think> (5, the first mixed.jsonl:1)" in told  # and the sample's
    assert "row that cannot be read: problem, reasoning or answer is no text: str, str, dict (3, the" in told
    assert (
        "no row can be taken of odd.jsonl: if its columns or marks have other names, set source.col" in told
    )
    data = json.loads(select(tmp_path / "run", "--dry-run", "--json", *source))
    assert [one["rows"] for one in data["examples"]][:2] == [5, 3]
    assert data["files_without_a_trace"] == ["odd.jsonl"]


def test_a_dry_run_writes_no_shards_and_without_it_they_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert "rows in the source" in select(folder, "--dry-run")
    assert not list(folder.rglob("shard-*"))
    select(folder)
    assert list((folder / "ingest").glob("shard-*.parquet"))


def test_a_picture_is_drawn_where_it_is_wanted(tmp_path: Path) -> None:
    select(tmp_path / "run", "--dry-run")
    assert (tmp_path / "run" / "selection.png").read_bytes().startswith(PNG)
    select(tmp_path / "run", "--dry-run", "--figure", str(tmp_path / "mine.png"))
    assert (tmp_path / "mine.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("taken", [{}, {"": 1}, {"$x_1": 3, "math": 2}])
def test_a_picture_is_drawn_of_any_counts(tmp_path: Path, taken: dict[str, int]) -> None:
    draw_selection(SelectionCounts(sum(taken.values()), {}, taken), tmp_path / "s.png")
    assert (tmp_path / "s.png").read_bytes().startswith(PNG)
