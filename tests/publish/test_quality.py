"""publish.min_score and publish.only_passed, from the records to the published folder."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import schemas.tables
from pipeline.config import BuildConfig
from pipeline.publish import publish
from pipeline.publish.splits import split_of, split_shares
from pipeline.run.outcomes import ShardResult
from pipeline.run.store import RunFolder
from pipeline.run.totals import read_totals
from pipeline.stages.registry import config_digests, current_manifest, stage_named
from pipeline.stages.run_shard import run_stages
from tests.records.rows import memento, row, table

LOW = (3, 8, 20)


def traces(start: int, stop: int) -> list[dict[str, Any]]:
    """Traces with a problem each; those of LOW have a memento of five points."""
    return [
        row(
            f"t{n:02}",
            problem=f"problem {n}",
            mementos=[memento("12 + 30 = 42.", [9]), memento("It is 42.", [5 if n in LOW else 8])],
        )
        for n in range(start, stop)
    ]


def written(root: Path, *shards: list[dict[str, Any]]) -> RunFolder:
    """A run whose mementos are these, shard by shard."""
    run = RunFolder(root)
    for number, rows in enumerate(shards):
        before = "source"
        for stage in ("ingest", "split", "score", "partition", "mementos"):
            if manifest := run.read_manifest(stage, number):
                before = manifest.output
                continue
            columns = schemas.tables.TRACES.names if stage == "ingest" else table().column_names
            empty = schemas.tables.REJECTED.empty_table(), schemas.tables.FAILED.empty_table()
            facts: dict[str, Any] = {"config": "c", "version": 1, "usage": {}, "seconds": 0.1}
            result = ShardResult(table(*rows).select(columns), *empty)
            before = run.write(stage, number, result, rows_in=len(rows), input=before, **facts).output
    return run


def built(run: RunFolder, shards: int, **config: Any) -> BuildConfig:
    """Records and the published folder by this config's section publish."""
    build = BuildConfig(name="handmade", publish=config)
    for shard in range(shards):
        run_stages(["records"], shard, run, build, None)
    publish(run, range(shards), build, prompts=["judge@1"], models=("writer", "judge"))
    return build


def problems(run: RunFolder, split: str = "train") -> list[str]:
    files = sorted((run.publish / "data").glob(f"{split}-*"))
    return [problem for path in files for problem in pq.read_table(path)["problem"].to_pylist()]


def wanted(start: int, stop: int) -> list[str]:
    return [f"problem {n}" for n in range(start, stop) if n not in LOW]


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({"min_score": 6}, "low_score"),
    ({"only_passed": True}, "not_passed"),
]


@pytest.mark.parametrize(("filters", "reason"), FILTERS)
def test_traces_left_out_are_counted_everywhere_under_one_reason(
    tmp_path: Path, filters: dict[str, Any], reason: str
) -> None:
    run = written(tmp_path, traces(0, 10), traces(10, 22))
    build = built(run, 2, **filters)
    assert problems(run) == wanted(0, 22)
    totals = read_totals(run, build, 2, seconds=1)
    assert (totals.traces_in, totals.done, totals.rejected, totals.failed) == (22, 19, {reason: 3}, 0)
    assert totals.blocks == 2 * 19
    listed = [one for n in (0, 1) for one in pq.read_table(run.rejected("records", n)).to_pylist()]
    assert [(one["trace_id"], one["reason"]) for one in listed] == [(f"t{n:02}", reason) for n in LOW]
    for name in ("full", "audit"):
        assert pq.read_table(run.publish / name).num_rows == 19


@pytest.mark.parametrize(("filters", "reason"), FILTERS)
def test_the_card_says_what_was_asked_and_how_many_were_left_out(
    tmp_path: Path, filters: dict[str, Any], reason: str
) -> None:
    run = written(tmp_path, traces(0, 10))
    built(run, 1, **filters)
    card = (run.publish / "README.md").read_text(encoding="utf-8")
    assert "Of 10 traces, 8 are published." in card
    assert f"publish.{next(iter(filters))}" in card
    settings = yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])
    defaults = {
        "min_score": 0,
        "only_passed": False,
        "only_sufficient": False,
        "max_block_tokens": None,
    }
    assert settings["publish"] == defaults | filters
    assert "Only traces are published whose mementos all" in card
    assert ("stay below the judge's threshold" in card) == ("min_score" in filters)


def test_without_a_filter_nothing_of_it_stands_in_the_card(tmp_path: Path) -> None:
    run = written(tmp_path, traces(0, 10))
    built(run, 1)
    card = (run.publish / "README.md").read_text(encoding="utf-8")
    assert problems(run) == [f"problem {n}" for n in range(10)]
    assert "min_score" not in card
    assert "Only traces are published" not in card


def test_a_changed_filter_runs_the_records_again_and_nothing_else(tmp_path: Path) -> None:
    run = written(tmp_path, traces(0, 10))
    built(run, 1)
    before = contents(run.publish)
    digests = config_digests(BuildConfig(name="handmade"))
    changed = config_digests(BuildConfig(name="handmade", publish={"only_passed": True, "min_score": 3}))
    assert {name for name, digest in digests.items() if changed[name] != digest} == {"records"}
    assert current_manifest(run, changed, stage_named("records"), 0) is None
    built(run, 1, only_passed=True)
    assert problems(run) == wanted(0, 10)
    built(run, 1)
    assert contents(run.publish) == before
    assert not run.rejected("records", 0).exists()


def test_more_traces_later_come_after_the_old_ones(tmp_path: Path) -> None:
    written(tmp_path, traces(0, 10))
    run = RunFolder(tmp_path)
    built(run, 1, min_score=6)
    first = problems(run)
    written(tmp_path, traces(0, 10), traces(10, 25))
    built(run, 2, min_score=6)
    assert first == wanted(0, 10)
    assert problems(run) == wanted(0, 25)


def test_a_filter_moves_no_problem_to_another_split(tmp_path: Path) -> None:
    held_out = {"validation": 0.3, "test": 0.3}
    run = written(tmp_path, traces(0, 25))
    build = built(run, 1, **held_out)
    before = {split: problems(run, split) for split in ("train", "validation", "test")}
    built(run, 1, only_passed=True, **held_out)
    kept = set(wanted(0, 25))
    for split, there in before.items():
        assert problems(run, split) == [problem for problem in there if problem in kept]
        assert all(split_of(problem, split_shares(build.publish)) == split for problem in there)


def test_where_every_trace_is_left_out_the_folder_has_no_rows(tmp_path: Path) -> None:
    run = written(tmp_path, traces(3, 4))
    build = built(run, 1, min_score=10)
    assert problems(run) == []
    assert read_totals(run, build, 1, seconds=1).rejected == {"low_score": 1}
    assert pq.read_schema(next((run.publish / "data").iterdir())).field("problem").type == pa.string()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
