import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import schemas.tables
from pipeline.cli import app
from pipeline.records import RECORDS
from pipeline.run.outcomes import RejectReason, ShardResult
from pipeline.run.store import RunFolder
from pipeline.stages.registry import INGEST, STAGES
from schemas.replies import Verdict
from tests.records.rows import BLOCKS, memento, row, table
from tests.through_stages import through


def run_of(root: Path, *rows: dict[str, Any], **publish: Any) -> Path:
    """A run whose one shard holds these rows in each stage, each following from the one before."""
    run, before = RunFolder(root), "source"
    for stage in (INGEST, *(stage.name for stage in STAGES)):
        result = ShardResult(
            table(*rows), schemas.tables.REJECTED.empty_table(), schemas.tables.FAILED.empty_table()
        )
        if stage == STAGES[-1].name:
            result = through(RECORDS, table(*rows), publish=publish)
        facts: dict[str, Any] = {"config": "c", "version": 1, "usage": {}, "seconds": 0.1}
        before = run.write(stage, 0, result, rows_in=len(rows), input=before, **facts).output
    return root


def pair(trace_id: str, first: int, second: int, text: str = "12 + 30 = 42.", **columns: Any):
    return row(trace_id, mementos=[memento(text, [first]), memento("It is 42.", [second])], **columns)


def told(*arguments: object):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": "150"})


def found(*arguments: object) -> dict[str, Any]:
    result = told(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_run_differs_in_nothing_from_itself(tmp_path):
    run = run_of(tmp_path / "a", pair("t0", 7, 9), pair("t1", 8, 8, domain="code"))
    same = found(run, run)
    assert same["traces"] == {"both": 2, "only_a": 0, "only_b": 0}
    assert same["domains"]["all"]["same_blocks"] == 4
    assert same["domains"]["all"]["same_verdict"] == 1
    assert same["domains"]["all"]["correlation"] == pytest.approx(1)
    assert same["mementos"] == []
    figures = [f for domain in same["domains"].values() for f in domain["figures"].values()]
    assert {f["difference"] for f in figures} == {0}


def test_figures_are_those_of_the_mementos(tmp_path):
    one = [memento("12 + 30 = 42.", [5, 8]), memento("It is 42.", [9], checks=["number_not_in_block"])]
    a, b = run_of(tmp_path / "a", row("t0", mementos=one)), run_of(tmp_path / "b", pair("t0", 6, 6))
    figures = found(a, b)["domains"]["all"]["figures"]
    assert figures["passed_first"] == {"a": 0.5, "b": 0.0, "difference": -0.5}
    assert figures["passed_any"] == {"a": 1.0, "b": 0.0, "difference": -1.0}
    assert figures["score_mean"] == {"a": 8.5, "b": 6.0, "difference": -2.5}
    assert figures["rounds_mean"] == {"a": 1.5, "b": 1.0, "difference": -0.5}
    assert figures["failed_checks"] == {"a": 1, "b": 0, "difference": -1}
    assert figures["failed_number_not_in_block"]["a"] == 1
    words = sum(len(sentence.split()) for block in BLOCKS for sentence in block)
    assert figures["compression"]["a"] == pytest.approx(words / 8)


def test_counts_of_the_domains_add_up(tmp_path):
    rows = [pair("t0", 8, 8), pair("t1", 8, 8), pair("t2", 8, 8, domain="code")]
    domains = found(run_of(tmp_path / "a", *rows), run_of(tmp_path / "b", *rows))["domains"]
    assert list(domains) == ["all", "math", "code"]
    assert domains["all"]["traces"] == domains["math"]["traces"] + domains["code"]["traces"] == 3
    mementos = {name: domain["figures"]["mementos"]["b"] for name, domain in domains.items()}
    assert mementos == {"all": 6, "math": 4, "code": 2}


def test_traces_of_one_run_only_are_counted_and_weigh_nothing(tmp_path):
    a = run_of(tmp_path / "a", pair("t0", 8, 8), pair("t1", 0, 0), pair("t2", 0, 0))
    compared = found(a, run_of(tmp_path / "b", pair("t0", 8, 8), pair("t3", 0, 0)))
    assert compared["traces"] == {"both": 1, "only_a": 2, "only_b": 1}
    assert compared["domains"]["all"]["figures"]["score_mean"] == {"a": 8, "b": 8, "difference": 0}


def test_traces_that_a_run_does_not_publish_are_compared_and_told_with_the_reason(tmp_path):
    a = run_of(tmp_path / "a", pair("t0", 8, 8), pair("t1", 9, 3), min_score=6)
    b = run_of(tmp_path / "b", pair("t0", 8, 8), pair("t1", 9, 7), only_passed=True)
    compared = found(a, b)
    assert compared["traces"]["both"] == 2
    assert compared["left_out"] == {"a": {"low_score": 1}, "b": {"not_passed": 1}}
    (one,) = compared["mementos"]
    assert one["left_out"] == [RejectReason.LOW_SCORE.text, RejectReason.NOT_PASSED.text]
    shown = told(a, b).stdout
    assert "A does not publish 1 for a memento with fewer points than publish.min_score" in shown
    assert "not published by B: a memento that did not pass its judge" in shown


def test_a_filter_changes_no_figure(tmp_path):
    rows = [pair("t0", 8, 8), pair("t1", 9, 3)]
    a, b = run_of(tmp_path / "a", *rows), run_of(tmp_path / "b", *rows, min_score=6)
    figures = found(a, b)["domains"]["all"]["figures"]
    assert {figure["difference"] for figure in figures.values()} == {0}


def test_a_record_that_fails_a_check_is_not_compared(tmp_path):
    a = run_of(tmp_path / "a", pair("t0", 8, 8), pair("t1", 8, 8, answer="<think>"))
    assert found(a, a)["traces"]["both"] == 1


def test_the_biggest_differences_come_first_with_their_texts(tmp_path):
    a = run_of(tmp_path / "a", pair("t0", 8, 8), pair("t1", 9, 2), pair("t2", 8, 8))
    b = run_of(tmp_path / "b", pair("t0", 6, 8), pair("t1", 9, 9), pair("t2", 8, 8, "So it is 42 in all."))
    pairs = found(a, b)["mementos"]
    assert [(p["trace_id"], p["scores"]) for p in pairs] == [("t1", [2, 9]), ("t0", [8, 6]), ("t2", [8, 8])]
    assert pairs[0]["text"] == "".join(BLOCKS[1])
    assert pairs[2]["mementos"] == ["12 + 30 = 42.", "So it is 42 in all."]
    assert found(a, b, "--top", 1)["mementos"] == pairs[:1]


def judged(points: dict[str, int], *missing: str) -> dict[str, Any]:
    """A memento of one round with the points of a rubric."""
    one = memento("It is 42.", [sum(points.values())])
    (kept,) = one["rounds"]
    return {**one, "rounds": [{**kept, "rubric": points, "missing": list(missing)}]}


def test_runs_are_compared_criterion_by_criterion(tmp_path):
    full = Verdict.most_points()
    less = {**full, "formulas": 1, "validation": 0}
    a = run_of(tmp_path / "a", row("t0", mementos=[judged(full), judged(full)]))
    b = run_of(tmp_path / "b", row("t0", mementos=[judged(full), judged(less, "a = b", "why")]))
    compared = found(a, b)
    figures = compared["domains"]["all"]["figures"]
    assert figures["points_formulas"] == {"a": 3, "b": 2, "difference": -1}
    assert figures["points_validation"] == {"a": 1, "b": 0.5, "difference": -0.5}
    assert figures["points_values"]["difference"] == 0
    (pair,) = compared["mementos"]
    assert (pair["points"], pair["missing"]) == ([full, less], [[], ["a = b", "why"]])
    shown = told(a, b).stdout
    for piece in (
        "both: It is 42.",
        "points: formulas 3 and 1, validation 1 and 0",
        "missing by B: a = b; why",
    ):
        assert piece in shown


def test_agreement_is_counted_over_blocks_of_the_same_span(tmp_path):
    a = run_of(tmp_path / "a", pair("t0", 9, 9), pair("t1", 9, 2), pair("t2", 9, 9, domain="code"))
    b = run_of(tmp_path / "b", pair("t0", 8, 7), pair("t1", 9, 3), pair("t2", 9, 9, domain="code"))
    domains = found(a, b)["domains"]
    assert {name: domain["same_verdict"] for name, domain in domains.items()} == {
        "all": pytest.approx(5 / 6),
        "math": 0.75,
        "code": 1,
    }
    correlation = np.corrcoef([9, 9, 9, 2], [8, 7, 9, 3])[0, 1]
    assert domains["math"]["correlation"] == pytest.approx(correlation)
    assert domains["code"]["correlation"] is None, "all have the same points"
    assert f"both pass or neither for 75.0%, points correlate by {correlation:.2f}" in told(a, b).stdout


def test_a_recheck_of_a_run_that_was_built_again_is_told(tmp_path):
    run = run_of(tmp_path / "a", pair("t0", 9, 9), pair("t1", 9, 9))
    folder = RunFolder(run / "rechecks" / "judge-1")
    rows = RunFolder(run).read(STAGES[-1].name, 0)
    result = ShardResult(rows, schemas.tables.REJECTED.empty_table(), schemas.tables.FAILED.empty_table())
    facts: dict[str, Any] = {"config": "c", "version": 1, "usage": {}, "seconds": 0.1}
    folder.write("recheck", 0, result, rows_in=2, input="records", **facts)
    compared = found(run, folder.root)
    assert (compared["outdated"], compared["domains"]["all"]["same_text"]) == (False, 1)
    run_of(run, pair("t0", 9, 9, "It is so."), pair("t1", 9, 9))
    compared = found(folder.root, run)
    assert (compared["outdated"], compared["domains"]["all"]["same_text"]) == (True, 0.75)
    assert "has been built again since it was rechecked" in " ".join(told(run, folder.root).stdout.split())
    assert not found(run, run_of(tmp_path / "b", pair("t0", 9, 9)))["outdated"], "two runs may differ"
    second = RunFolder(run / "rechecks" / "judge-2")
    second.write("recheck", 0, result, rows_in=2, input="records", **facts)
    assert not found(folder.root, second.root)["outdated"], "both judged the same mementos"
    result = replace(result, done=RunFolder(run).read(STAGES[-1].name, 0))
    second.write("recheck", 0, result, rows_in=2, input="records", **facts)
    assert found(folder.root, second.root)["outdated"]


def test_blocks_of_another_span_are_no_pair(tmp_path):
    whole = [[sentence for block in BLOCKS for sentence in block]]
    b = run_of(tmp_path / "b", row("t0", whole, [memento("It is 42.", [1])]))
    compared = found(run_of(tmp_path / "a", pair("t0", 9, 9)), b)
    assert compared["traces"]["both"] == 1
    everything = compared["domains"]["all"]
    assert (everything["same_blocks"], compared["mementos"]) == (0, [])
    assert (everything["same_verdict"], everything["correlation"]) == (None, None)


def test_people_see_both_runs_and_no_markup_is_obeyed(tmp_path):
    a = run_of(tmp_path / "a", pair("t0", 9, 9, "[red]42[/]\x1b[31m"))
    shown = told(a, run_of(tmp_path / "b", pair("t0", 1, 9))).stdout
    assert "1 traces in both" not in shown
    for piece in ("1 trace in both", "A: [red]42[/]", "9 and 1 points", "-50.0 %"):
        assert piece in shown
    assert "\x1b" not in shown


def test_what_an_older_config_left_behind_is_not_compared(tmp_path):
    a = run_of(tmp_path / "a", pair("t0", 9, 9))
    run = RunFolder(a)
    empty = ShardResult(
        pa.table({}), schemas.tables.REJECTED.empty_table(), schemas.tables.FAILED.empty_table()
    )
    run.write("split", 0, empty, rows_in=0, input="x", config="c", version=1, usage={}, seconds=0.1)
    assert found(a, a)["traces"]["both"] == 0


def test_a_folder_that_is_no_run_is_told(tmp_path):
    result = told(tmp_path, tmp_path)
    assert result.exit_code == 1
    assert "no run folder" in result.stderr
